"""`spear events`: everything that happened, as the server tells it."""

from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from spear.cli._arguments import at_least_one, whole
from spear.cli._text import as_json, plain
from spear.cli.remote.command import Command
from spear.cli.remote.endings import Ended
from spear.cli.remote.following import Message, follow
from spear.cli.remote.output import Output, local
from spear.cli.remote.server import Query, Server, path_of

_SHOWN = 20
_PAGE = 1000
_WIDER = 8
_CANNOT_GO_ON = ("CURSOR_RESET", "CURSOR_GAP")
Fact = dict[str, Any]


def _which(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on with what is recorded from now on, until Ctrl-C"
    )
    parser.add_argument("--after", type=whole, metavar="POSITION", help="begin after this position")
    parser.add_argument(
        "--type", action="append", default=[], help="only this type, such as NodeLost or node.NodeLost; may be repeated"
    )
    parser.add_argument("--id", default="", help="only events of this node, task, execution, object, ...")
    parser.add_argument(
        "--limit", type=at_least_one, metavar="N", help="end after N events; without --after, the last N (default 20)"
    )


def _tail(args: Namespace, server: Server, out: Output) -> None:
    """Print events, one a line and oldest first; the last ones when no --after is given."""
    query = {"type": ",".join(args.type), "id": args.id}
    for fact in islice(_wanted(args, server, query), args.limit):
        out.item(fact, _shown(fact))


def _wanted(args: Namespace, server: Server, query: dict[str, str]) -> Iterator[Fact]:
    after = args.after
    if after is None:
        after = server.get("events", limit=1)["head"]
        yield from _last(server, query, until=after, count=args.limit or _SHOWN)
    if args.follow:
        yield from _from_now_on(server, query, after)
    elif args.after is not None:
        yield from _until_now(server, query, after)


def _from_now_on(server: Server, query: dict[str, str], after: int) -> Iterator[Fact]:
    """Every event after a position, each proved to be the next one; raises `Ended` where that cannot be said."""
    seen = after
    try:
        for message in follow(server, path_of("events"), query=query, after=after, beyond=_beyond):
            fact = message.data
            if fact["previous"] > seen:
                raise Ended(f"the event at position {fact['previous']} was not given")
            seen = fact["position"]
            yield fact
    except Ended as error:
        if error.code not in _CANNOT_GO_ON:
            raise
        what, on = error.message.rpartition(";")[0], error.details.get("missing_to", 0)
        raise Ended(f"{what}; go on with --after {on}", error.exit, code=error.code, details=error.details) from None


def _beyond(message: Message) -> Query:
    return {"cursor": message.data["cursor"]}


def _until_now(server: Server, query: dict[str, str], after: int) -> Iterator[Fact]:
    while True:
        page = server.get("events", limit=_PAGE, after=after, **query)
        yield from page["events"]
        if page["next_after"] >= page["head"]:
            return
        after = page["next_after"]


def _last(server: Server, query: dict[str, str], *, until: int, count: int) -> Iterator[Fact]:
    """The last `count` events up to a position, looked for further and further back."""
    span = count
    while True:
        after = max(0, until - span)
        early = (fact for fact in _until_now(server, query, after) if fact["position"] <= until)
        found = deque(early, maxlen=count)
        if len(found) == count or after == 0:
            return iter(found)
        span *= _WIDER


def _shown(fact: Fact) -> str:
    at = local(datetime.fromisoformat(fact["time"]), precise=True)
    where = f"{fact['position']:>8}  {at}  {plain(fact['topic']):<28}  {plain(fact['id'])}"
    return f"{where}  {plain(fact['actor'], width=24):<12}  {plain(as_json(fact['data']), width=100)}"


COMMANDS = (Command("events tail", _tail, _which),)
