"""A log as an old server has it: many events, of which the first are kept elsewhere by now."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

import apsw

from spear.adapters.system import SystemClock
from spear.adapters.threads import InlineThreads
from spear.domain.node import Node
from spear.events._bell import ThreadBell
from spear.events.log import EventLog
from spear.events.mapper import pend
from spear.events.record import Origin, Pending
from spear.events.recorder import ApswRecorder, checksummed_vfs
from spear.projections.views import open_views

ORIGIN = Origin("chaos")
NODES, TOGETHER = 10, 1000


def write(data: Path, *, events: int, without: int) -> list[UUID]:
    """Make the log `data/sms.db` of at least so many events, the first ones missing; nodes whose history is whole."""
    data.mkdir(parents=True)
    with closing(ApswRecorder(data / "sms.db")) as recorder:
        _fill(recorder, _lives([uuid4() for _ in range(NODES)]), until=without)
        nodes, first_kept = [uuid4() for _ in range(NODES)], recorder.position + 1
        _fill(recorder, _lives(nodes), until=events)
    _fold(data)
    with closing(apsw.Connection(str(data / "sms.db"), vfs=checksummed_vfs())) as db:
        db.execute("DROP TRIGGER events_keep_delete")
        db.execute("DELETE FROM events WHERE position < ?", (first_kept,))
    return nodes


def _fold(data: Path) -> None:
    with EventLog(data / "sms.db", clock=SystemClock(), bell=ThreadBell(), threads=InlineThreads()) as log:
        open_views(data / "views.db", log).close()


def _fill(recorder: ApswRecorder, pending: Iterator[Pending], *, until: int) -> None:
    clock = SystemClock()
    while recorder.position < until:
        together = list(islice(pending, min(TOGETHER, max(until - recorder.position, NODES))))
        recorder.append([(together, ORIGIN)], time_us=clock.now_us())


def _lives(idents: list[UUID]) -> Iterator[Pending]:
    """Nodes that are taken out of work and put back to it, for ever."""
    nodes = [Node(id=ident, ip_address="127.0.0.1", port=1, http_port=1, metadata={}) for ident in idents]
    while True:
        for node in nodes:
            yield from (pend(event) for event in node.collect_events())
            (node.undrain if node.drained else node.drain)("chaos")
