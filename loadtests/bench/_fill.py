"""Fills a new log with the events of a fleet at work and prints how many a second that were: `PATH EVENTS`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from time import perf_counter

from loadtests.bench import _events
from spear.adapters.system import SystemClock
from spear.events.mapper import pend
from spear.events.record import Origin, Pending
from spear.events.recorder import ApswRecorder

NODES = 100
TOGETHER = 5000


def main(path: Path, events: int) -> None:
    """Write `events` events, and a few more to fill the last batch."""
    clock, began = SystemClock(), perf_counter()
    with closing(ApswRecorder(path)) as recorder:
        commits = _commits()
        while recorder.position < events:
            recorder.append(list(islice(commits, TOGETHER)), time_us=clock.now_us())
        print(recorder.position / (perf_counter() - began))


def _commits() -> Iterator[tuple[Sequence[Pending], Origin]]:
    nodes = [_events.node(str(number)) for number in range(NODES)]
    registered = (node.collect_events() for node in nodes)
    streams = [_events.mixed(str(number), node) for number, node in enumerate(nodes)]
    later = (commit for turn in zip(*streams, strict=True) for commit in turn)
    return (([pend(event) for event in commit], _events.ORIGIN) for commit in chain(registered, later))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
