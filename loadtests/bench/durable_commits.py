"""Durable, folded commits from 64 concurrent writers against the library's own `save()` on SQLite by as many."""

from functools import partial

from loadtests.bench._common import Pair, alternate, child, show_fact, show_rates

WRITERS = 64


def main() -> None:
    """Print one line for each kind of commit, and what the library does with a single writer."""
    for kind in ("registrations", "beats", "mixed"):
        title, pair, alone = _measured(kind)
        show_rates(title, pair, against=f"library save(), {WRITERS} writers", at_least=10, durable=True)
        show_fact("the same by the library with 1 writer", f"{alone:,.0f}/s, {pair.ours / alone:.2f}x")


def _measured(kind: str) -> tuple[str, Pair, float]:
    ours, library = partial(child, "_our_commits.py", kind), partial(child, "_library_commits.py", kind)
    pair = alternate(partial(ours, WRITERS), partial(library, WRITERS), rounds=5)
    return f"durable commits, {WRITERS} writers, {kind}", pair, library(1)


if __name__ == "__main__":
    main()
