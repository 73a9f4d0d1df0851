"""A log with its views in a directory, and what must be true of them after any crash."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from spear.adapters.threads import InlineThreads
from spear.events import observed
from spear.events._bell import ThreadBell
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.events.verify import verify
from spear.projections.views import Views, compare, open_views, rebuild, remove_views

LOG, VIEWS = "log.db", "views.db"
ORIGIN = Origin("test")
observed.AT_ONCE = 8  # so that even a short history has some that are indexed and some that are not yet


class SteadyClock:
    """A clock that moves one millisecond each time it is read, or wherever a test sets it."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self.time_us = now_us

    def now_us(self) -> int:
        """Microseconds since the Unix epoch."""
        self.time_us += 1000
        return self.time_us


class Store(NamedTuple):
    """A log that takes commits, and its live views."""

    log: EventLog
    views: Views


def make_log(folder: Path, **changes) -> EventLog:
    """The log of this directory, not started."""
    return EventLog(
        folder / LOG, **{"clock": SteadyClock(), "bell": ThreadBell(), "threads": InlineThreads()} | changes
    )


@contextmanager
def store(folder: Path, **changes) -> Iterator[Store]:
    """Open the log and the views of this directory as the platform does."""
    with make_log(folder, **changes) as log, closing(open_views(folder / VIEWS, log)) as views:
        log.start(views)
        yield Store(log, views)
        log.close()


def check_after_crash(folder: Path, acknowledged: Mapping[int, str]) -> int:
    """Assert the promise of durability for what was `acknowledged` (position -> stream); returns the log's head."""
    assert verify(folder / LOG) == []
    with make_log(folder) as log:
        facts = log.recorder.query("ORDER BY position")
        assert [fact.position for fact in facts] == list(range(1, len(facts) + 1))
        streams = {fact.position: fact.originator_id for fact in facts}
        assert {position: streams.get(position) for position in acknowledged} == dict(acknowledged)
        open_views(folder / VIEWS, log).close()
        assert differences_from_rebuilt(folder, log) == {}
        return log.head


def differences_from_rebuilt(folder: Path, log: EventLog) -> dict[str, list[str]]:
    """Where the live views differ from views that are made from the log alone."""
    fresh = folder / "fresh.db"
    rebuild(fresh, log.recorder, until=log.head)
    try:
        return compare(folder / VIEWS, fresh)
    finally:
        remove_views(fresh)
