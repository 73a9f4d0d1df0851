"""Durable, folded commits from 64 concurrent writers against the library's own `save()` on SQLite."""

from loadtests.bench._common import alternate, child, show_rates

WRITERS = 64


def main() -> None:
    """Print one line for heartbeats and one for a mix of events."""
    for kind in ("registrations", "beats", "mixed"):
        pair = alternate(
            lambda kind=kind: child("_our_commits.py", kind, WRITERS), lambda: child("_library_commits.py"), rounds=5
        )
        title = f"durable commits, {WRITERS} writers, {kind}"
        show_rates(title, pair, against="library save()", at_least=10, durable=True)


if __name__ == "__main__":
    main()
