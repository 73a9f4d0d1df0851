"""Durable, folded commits of one event by one writer against bare SQLite's commits of the same bytes."""

from loadtests.bench._common import alternate, child, show_rates


def main() -> None:
    """Print one line."""
    pair = alternate(lambda: child("_our_commits.py", "beats", 1), lambda: child("_bare_commits.py"), rounds=5)
    show_rates("durable commits, 1 writer", pair, against="bare SQLite FULL commit", at_least=0.4, durable=True)


if __name__ == "__main__":
    main()
