"""Prints how many commits a second `writers` greenlets get recorded, folded and acknowledged: `registrations|beats|mixed WRITERS`."""

from gevent import monkey

monkey.patch_all()

import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import gevent

from loadtests.bench import _events
from loadtests.bench._common import disk
from spear.adapters.hub import HubBell
from spear.adapters.system import SystemClock
from spear.adapters.threads import SWITCH_INTERVAL_S, native_threads
from spear.events.log import EventLog
from spear.projections.views import open_views

SECONDS = 1.5


def main(kind: str, writers: int) -> None:
    """Measure once."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with disk("commits") as folder, ExitStack() as stack:
        log = _log(folder, stack)
        streams = _events.streams(kind, writers)
        _write(log, streams, 0.3)
        print(_write(log, streams, SECONDS))


def _log(folder: Path, stack: ExitStack) -> EventLog:
    bell = stack.enter_context(HubBell())
    log = EventLog(folder / "log.db", clock=SystemClock(), bell=bell, threads=native_threads(4), reserve=True)
    stack.callback(log.close)
    views = open_views(folder / "views.db", log)
    stack.callback(views.close)
    log.start(views)
    stack.callback(log.close)
    return log


def _write(log: EventLog, streams: list, seconds: float) -> float:
    began = perf_counter()
    until = began + seconds
    counts = gevent.joinall([gevent.spawn(_writer, log, stream, until) for stream in streams])
    return sum(greenlet.get() for greenlet in counts) / (perf_counter() - began)


def _writer(log: EventLog, stream, until: float) -> int:
    count = 0
    while perf_counter() < until:
        log.commit(next(stream), _events.ORIGIN)
        count += 1
    return count


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
