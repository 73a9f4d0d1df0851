"""`python -m spear.events`: tools for looking at a log from outside."""


def main() -> int:
    """Run one command; returns the exit status."""
    try:
        from spear.cli import events  # here, so that Ctrl-C finds no moment without a handler

        return events.main()
    except KeyboardInterrupt:
        return 130


raise SystemExit(main())
