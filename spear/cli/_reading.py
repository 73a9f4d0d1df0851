"""The tools that read events: tail and show."""

import time
from argparse import Namespace
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from spear.cli._place import events, find, head_of, opened, position_of
from spear.cli._progress import Progress
from spear.cli._text import as_json, brief, everything, plain, rfc3339, state_of
from spear.domain.base import TOPICS
from spear.errors import Invalid
from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder
from spear.events.streams import last_of, page_of

_POLL_S = 0.1
_SHOWN = 20
_SEARCHED = 100_000
_CHUNK = 5000


def tail(args: Namespace, progress: Progress) -> int:
    """Print events, one a line; the last ones when no `--after` is given."""
    topics = [topic for name in args.type for topic in _topics_named(name)]
    with opened(find(args.data_dir)) as recorder:
        if args.after is None:
            after = _before_last(recorder, args.limit or _SHOWN, topics)
        else:
            after = position_of(recorder, "--after", args.after)
        read = _follow if args.follow else _past
        for fact in islice(read(recorder, after, topics, progress), args.limit):
            progress.say(as_json(everything(fact)) if args.json else brief(fact), flush=args.follow)
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


def _past(
    recorder: ApswRecorder, after: int, topics: Sequence[str], progress: Progress
) -> Generator[Recorded, None, int]:
    """What is recorded by now, and the position where that ends."""
    head = head_of(recorder)
    for fact in events(recorder, after=after, until=head, topics=topics):
        yield fact
        progress(fact.position - after, head - after)
    return head


def _follow(recorder: ApswRecorder, after: int, topics: Sequence[str], progress: Progress) -> Iterator[Recorded]:
    after = yield from _past(recorder, after, topics, progress)
    progress.end()  # what comes now has no end
    while True:
        head = head_of(recorder)
        yield from events(recorder, after=after, until=head, topics=topics)
        after = head
        time.sleep(_POLL_S)


def show(args: Namespace, progress: Progress) -> int:
    """Print one event in full, with what stands before and after it in its stream and what it led to."""
    with opened(find(args.data_dir)) as recorder:
        found = recorder.query("WHERE position = ?", (args.position,))
        if not found:
            raise Invalid.field("POSITION", args.position, f"a position from 1 to {head_of(recorder)}")
        links = _links(recorder, found[0], progress)
    progress.say(as_json({**everything(found[0]), "links": links}) if args.json else _full(found[0], links))
    return 0


def _links(recorder: ApswRecorder, fact: Recorded, progress: Progress) -> dict[str, Any]:
    head, stream = head_of(recorder), [fact.originator_id]
    after = page_of(recorder, (fact.position, head, 1), streams=stream, topics=())
    until = min(fact.position + _SEARCHED, head)
    led_to = list(islice(_led_to(recorder, fact, until, progress), _SHOWN + 1))
    return {
        "previous": last_of(recorder, fact.position - 1, streams=stream, topics=()) or None,
        "next": after[0].position if after else None,
        "led_to": [{"position": f.position, "topic": f.topic, "by": _by(f, fact)} for f in led_to[:_SHOWN]],
        "led_to_cut": len(led_to) > _SHOWN,
        "searched_until": until,
    }


def _led_to(recorder: ApswRecorder, fact: Recorded, until: int, progress: Progress) -> Iterator[Recorded]:
    related = "(cause = ? OR correlation = ?)" if fact.correlation else "(cause = ? OR 0 = ?)"
    for start in range(fact.position, until, _CHUNK):
        end = min(start + _CHUNK, until)
        bounds = (start, end, fact.position, fact.correlation, _SHOWN + 1)
        yield from recorder.query(
            f"WHERE position > ? AND position <= ? AND {related} ORDER BY position LIMIT ?", bounds
        )
        progress(end - fact.position, until - fact.position)


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
