"""How lists are asked for: a page, or with --all every page."""

from argparse import ArgumentParser, Namespace
from typing import Any

from spear.cli._arguments import at_least_one
from spear.cli.remote.server import Server

_MOST = 1000


def takes_pages(parser: ArgumentParser) -> None:
    """The options of every list."""
    parser.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="at most N (default 100)")
    parser.add_argument("--after", default="", metavar="CURSOR", help="begin where the page before ended")
    parser.add_argument("--all", action="store_true", help="every one, whatever --limit says")


def listed(server: Server, args: Namespace, *path: str, key: str, **query: object) -> dict[str, Any]:
    """The list's document with up to --limit items, or all of them, and the cursor that continues."""
    left = float("inf") if args.all else args.limit
    document: dict[str, Any] = server.get(*path, limit=min(left, _MOST), after=args.after, **query)
    items = document[key]
    while document["next_after"] and len(items) < left:
        more = min(left - len(items), _MOST)
        document = server.get(*path, limit=more, after=document["next_after"], **query)
        items.extend(document[key])
    return {**document, key: items}
