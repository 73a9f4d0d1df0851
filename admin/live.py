"""Server-sent events: what changed in the log, gathered so that a busy log cannot flood a browser."""

import json
import time
from collections.abc import Iterator

from admin.client import Client
from spear.errors import SpearError

TICK_S = 0.5
KEEP_ALIVE_TICKS = 30
SNAPSHOT_TICKS = 10
AT_ONCE = 100
NOUNS = ("endpoint", "execution", "file", "instance", "node", "object", "task")


def message(event: str, data: object, *, position: int | None = None) -> str:
    """One server-sent event; `position` becomes its id."""
    ident = "" if position is None else f"id: {position}\n"
    return f"{ident}event: {event}\ndata: {json.dumps(data)}\n\n"


def ticks(rest: Client, after: int) -> Iterator[tuple[int, list[str]]]:
    """Twice a second, for ever: the head of the log and the nouns that changed since the tick before."""
    while True:
        page = rest.get("events", after=after, limit=AT_ONCE)
        last = page["events"][-1]["position"] if page["events"] else after
        behind = last != page["head"]  # too many to look at one by one: say that everything changed
        yield page["head"], list(NOUNS) if behind else sorted({event["noun"] for event in page["events"]})
        after = page["head"]
        time.sleep(TICK_S)


def changes(rest: Client, after: int) -> Iterator[str]:
    """An event named after each noun that changed, then one named `log` with the position to resume from."""
    try:
        for tick, (head, nouns) in enumerate(ticks(rest, after)):
            if nouns:
                yield "".join(message(noun, head) for noun in nouns) + message("log", head, position=head)
            elif tick % KEEP_ALIVE_TICKS == 0:
                yield ": alive\n\n"
    except SpearError:
        yield message("error", {})


def node_snapshots(rest: Client) -> Iterator[str]:
    """How many nodes there are: now, every 5 s, and whenever something changes on one."""
    try:
        for tick, (_, nouns) in enumerate(ticks(rest, rest.head())):
            if "node" in nouns or tick % SNAPSHOT_TICKS == 0:
                yield message("snapshot", {"count": rest.total("nodes"), "type": "snapshot"})
    except SpearError:
        yield message("error", {})
