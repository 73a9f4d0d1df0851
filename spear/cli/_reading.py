"""The tools that read events: tail and show."""

import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from spear.cli._place import events, find, head_of, opened, position_of
from spear.cli._text import as_json, brief, everything, plain, rfc3339, state_of
from spear.domain.base import TOPICS
from spear.errors import Invalid
from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder
from spear.events.streams import last_of, page_of

_POLL_S = 0.1
_SHOWN = 20
_SEARCHED = 100_000


def tail(args: Namespace) -> int:
    """Print events, one a line; the last ones when no `--after` is given."""
    topics = [topic for name in args.type for topic in _topics_named(name)]
    with opened(find(args.data_dir)) as recorder:
        if args.after is None:
            after = _before_last(recorder, args.limit or _SHOWN, topics)
        else:
            after = position_of(recorder, "--after", args.after)
        read = _follow if args.follow else _until_now
        for fact in islice(read(recorder, after, topics), args.limit):
            print(as_json(everything(fact)) if args.json else brief(fact), flush=args.follow)
    return 0


def _topics_named(name: str) -> list[str]:
    found = [topic for topic in sorted(TOPICS) if name in (topic, topic.partition(".")[2])]
    if not found:
        raise Invalid.field("--type", name, "an event type such as NodeRegistered or node.NodeRegistered")
    return found


def _before_last(recorder: ApswRecorder, count: int, topics: Sequence[str]) -> int:
    if not topics:
        return max(0, head_of(recorder) - count)
    one = "SELECT * FROM (SELECT position FROM events WHERE topic = ? ORDER BY position DESC LIMIT ?)"
    each = " UNION ALL ".join([one] * len(topics))
    sql = f"SELECT min(position) FROM (SELECT position FROM ({each}) ORDER BY position DESC LIMIT ?)"
    first = recorder.value(sql, [value for topic in topics for value in (topic, count)] + [count])
    return int(first or 1) - 1


def _until_now(recorder: ApswRecorder, after: int, topics: Sequence[str]) -> Iterator[Recorded]:
    return events(recorder, after=after, until=head_of(recorder), topics=topics)


def _follow(recorder: ApswRecorder, after: int, topics: Sequence[str]) -> Iterator[Recorded]:
    while True:
        head = head_of(recorder)
        yield from events(recorder, after=after, until=head, topics=topics)
        after = head
        time.sleep(_POLL_S)


def show(args: Namespace) -> int:
    """Print one event in full, with what stands before and after it in its stream and what it led to."""
    with opened(find(args.data_dir)) as recorder:
        found = recorder.query("WHERE position = ?", (args.position,))
        if not found:
            raise Invalid.field("POSITION", args.position, f"a position from 1 to {head_of(recorder)}")
        links = _links(recorder, found[0])
    print(as_json({**everything(found[0]), "links": links}) if args.json else _full(found[0], links))
    return 0


def _links(recorder: ApswRecorder, fact: Recorded) -> dict[str, Any]:
    head, stream = head_of(recorder), [fact.originator_id]
    after = page_of(recorder, (fact.position, head, 1), streams=stream, topics=())
    led_to = _led_to(recorder, fact)
    return {
        "previous": last_of(recorder, fact.position - 1, streams=stream, topics=()) or None,
        "next": after[0].position if after else None,
        "led_to": [{"position": f.position, "topic": f.topic, "by": _by(f, fact)} for f in led_to[:_SHOWN]],
        "led_to_cut": len(led_to) > _SHOWN,
        "searched_until": min(fact.position + _SEARCHED, head),
    }


def _led_to(recorder: ApswRecorder, fact: Recorded) -> list[Recorded]:
    related = "(cause = ? OR correlation = ?)" if fact.correlation else "(cause = ? OR 0 = ?)"
    return recorder.query(
        f"WHERE position > ? AND position <= ? AND {related} ORDER BY position LIMIT ?",
        (fact.position, fact.position + _SEARCHED, fact.position, fact.correlation, _SHOWN + 1),
    )


def _by(later: Recorded, fact: Recorded) -> str:
    return "cause" if later.cause == fact.position else "correlation"


def _full(fact: Recorded, links: dict[str, Any]) -> str:
    lines = [
        ("position", str(fact.position)),
        ("time", rfc3339(fact.time_us)),
        ("type", fact.topic),
        ("stream", f"{fact.originator_id} (version {fact.version})"),
        ("in stream", f"before: {links['previous'] or '-'}, after: {links['next'] or '-'}"),
        ("actor", fact.actor),
        ("cause", str(fact.cause or "-")),
        ("correlation", fact.correlation or "-"),
        ("hash", fact.hash.hex()),
        *(("led to", f"{later['position']} {later['topic']} (by {later['by']})") for later in links["led_to"]),
        *([("led to", f"more than these {_SHOWN}")] if links["led_to_cut"] else []),
    ]
    state = msgspec.json.format(as_json(state_of(fact)), indent=2)
    return "\n".join([*(f"{name:<12} {plain(text)}" for name, text in lines), "state", state])
