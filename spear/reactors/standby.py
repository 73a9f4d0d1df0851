"""Keeps a log the verified copy of another one, event by event; what does not fit ends it."""

import logging
from typing import Any, Protocol

from spear.errors import CursorGap, CursorReset, Forbidden, SpearError, StartupError, Unauthenticated, Unavailable
from spear.events.log import EventLog
from spear.events.record import Recorded
from spear.projections.views import Progress
from spear.protocols import bus
from spear.protocols.cursor import Cursor, mark_of
from spear.services.following import Following

log = logging.getLogger(__name__)
_LATER = (Unavailable, Unauthenticated, Forbidden)  # what the SMS, or who cares for it, may put right
_ANEW = "nothing was changed here; to make a new copy, start with an empty data directory"


class Leader(Protocol):
    """The bus of the log that is copied."""

    def read(self, **wanted: Any) -> bus.Page[Recorded]:
        """The next page for the fields of `bus.Read`; raises what the leader refuses with, `Unavailable` when it is away."""
        ...

    def wait(self, position: int) -> None:
        """Return when the leader's log is longer than `position`, or a while later."""
        ...


def log_id(leader: Leader) -> bytes:
    """The identity of the leader's log; raises `Unavailable` when it is away."""
    return Cursor.parse(leader.read(after=bus.NOW, limit=1).cursor).log


class Standby:
    """Copies what the leader recorded, in order and chained as it is there; it remembers nothing but the log itself."""

    def __init__(self, events: EventLog, leader: Leader, following: Following) -> None:
        self._events, self._leader, self._following = events, leader, following
        self._away = ""

    def catch_up(self, progress: Progress) -> None:
        """Copy what the leader has by now, if it answers; raises `StartupError` when this log is no copy of it."""
        start = self._events.head
        try:
            head = self._copy_page()
            while self._events.head < head:
                progress(self._events.head - start, head - start)
                self._copy_page()
        except _LATER as error:
            self._note(error.message)
        except SpearError as error:
            raise StartupError(f"follow: {self._parted(error)}") from error

    def follow(self) -> bool:
        """Copy what comes next, or wait a while for it; False when that has to be tried again later.

        Raises `SpearError` when this log is no copy of the leader's.
        """
        try:
            if self._copy_page() <= self._events.head:
                self._leader.wait(self._events.head)
            self._note("")
            return True
        except _LATER as error:
            self._note(error.message)
            return False
        except SpearError as error:
            raise SpearError(self._parted(error), code=error.code, details=error.details) from error

    def _copy_page(self) -> int:
        """Copy one page; how far the leader's log reaches."""
        recorded = self._events.recorder
        at = Cursor(self._events.id, recorded.position, mark_of(recorded.digest))
        page = self._leader.read(cursor=str(at))
        if page.facts:
            self._events.copy(page.facts)
        self._following.heard(page.head)
        return page.head

    def _note(self, away: str) -> None:
        if away and not self._away:
            log.warning("%s; this standby answers reads as of position %d, and tries again", away, self._events.head)
        elif self._away and not away:
            log.info("the SMS at %s is followed again", self._following.leader)
        self._away = away

    def _parted(self, error: SpearError) -> str:
        leader = self._following.leader
        if isinstance(error, CursorReset):
            reason = error.message.partition(";")[0]
            return f"this log is no copy of that of the SMS at {leader} ({reason}); {_ANEW}"
        if isinstance(error, CursorGap):
            return f"the SMS at {leader} no longer holds what comes after position {self._events.head}; {_ANEW}"
        return f"what the SMS at {leader} says does not continue this log: {error.message}; {_ANEW}"
