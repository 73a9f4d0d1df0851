"""`python -m spear.events`: tools for looking at a log from outside."""

from spear.cli.events import main

raise SystemExit(main())
