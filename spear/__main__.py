"""`python -m spear`: the command line to a SPEAR server."""


def main() -> int:
    """Run one command; returns the exit status."""
    try:
        from spear.cli.remote import main as command  # here, so that Ctrl-C finds no moment without a handler

        return command.main()
    except KeyboardInterrupt:
        return 130


raise SystemExit(main())
