"""`python -m spear`: the command line to a SPEAR server."""

from spear.cli.remote.main import main

raise SystemExit(main())
