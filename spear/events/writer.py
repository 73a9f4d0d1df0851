"""The one thread that writes: what waits together commits together, is folded, and only then acknowledged.

The folded rows are written to their file behind that: when nobody waits, when a reader does, or when they are many.
"""

import logging
from _queue import Empty, SimpleQueue  # the C queue blocks natively, patched or not
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import apsw

from spear.errors import Conflict, SpearError, Unavailable
from spear.events.record import Committed, Origin, Pending, Recorded
from spear.events.witness import Witness
from spear.ports import Bell, Clock, Threads, Ticket

log = logging.getLogger(__name__)
_SMALL = 32
_MOST_BEHIND = 2048  # events; each row is written once, however often it changed meanwhile
_LULL_S = 0.002
_SHOWN = Committed(0, 0, 0)


class Folder(Protocol):
    """What must know of an event before it is acknowledged."""

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Take the next facts in; raise `Unavailable` when that cannot be."""
        ...

    def write(self) -> None:
        """Let every reader see what was taken in; raise `Unavailable`, and keep it, when that cannot be."""
        ...

    @property
    def behind(self) -> int:
        """How many facts readers do not see yet."""
        ...


class Appends(Protocol):
    """Where the writer records: each commit's events, durably and in order, and how far that reaches."""

    def append(self, commits: Any, *, time_us: int) -> list[list[Recorded] | Conflict]:
        """Record all commits; one that clashes fails alone. Blocks."""
        ...

    @property
    def position(self) -> int:
        """The last position."""
        ...

    @property
    def digest(self) -> bytes:
        """The chain's hash there."""
        ...


class Entry:
    """One caller's commit on its way: its events, then its outcome. Without events it asks that readers see all before it."""

    __slots__ = ("events", "origin", "outcome", "ticket")

    def __init__(self, events: Sequence[Pending] | Sequence[Recorded], origin: Origin, ticket: Ticket) -> None:
        self.events, self.origin, self.ticket = events, origin, ticket
        self.outcome: Committed | SpearError | None = None  # the log was closed before


class Writer:
    """Owns the recorder's writing side on a native thread of its own; everything else talks to it through `put`."""

    def __init__(
        self,
        recorder: Appends,
        witness: Witness,
        *,
        clock: Clock,
        bell: Bell,
        threads: Threads,
        folder: Folder,
        committed: Callable[[Sequence[Recorded]], Sequence[Ticket]],
        died: Callable[[str], None],
    ) -> None:
        self._recorder, self._witness = recorder, witness
        self._clock, self._bell, self._threads, self._folder = clock, bell, threads, folder
        self._committed, self._died = committed, died
        self._staged: deque[Entry] = deque()
        self._handing_over = False
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._unfolded: list[Recorded] = []
        self._hidden = False  # what was folded could not be written when it was tried
        self._sealed = ""
        self._ended = bell.ticket()
        self._running = False

    def start(self) -> None:
        """Begin to write."""
        self._running = True
        self._threads.start(self._main)

    def put(self, entry: Entry) -> None:
        """Hand over one commit; its ticket is rung when the outcome is there.

        What a hub's greenlets put in one turn arrives together, so that it becomes one batch and not one and the rest.
        """
        self._staged.append(entry)
        if not self._handing_over:
            self._handing_over = True
            self._bell.soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False  # first: whoever stages from here on hands over again
        with suppress(IndexError):
            while True:
                self._queue.put(self._staged.popleft())
        if self._sealed:  # the thread may have looked into the queue for the last time
            self._refuse_waiting()

    def close(self) -> None:
        """Write what waits, then end the thread; blocks this caller only; may be called twice."""
        if self._running:
            self._running = False
            self._hand_over()
            self._queue.put(None)
            self._ended.wait()

    def _main(self) -> None:
        reason = "the log's writer ended unexpectedly; restart the server"
        expected = False
        try:
            self._loop()
            reason, expected = "the log is closed", True
        finally:
            self._sealed = self._sealed or reason
            self._refuse_waiting()
            self._bell.ring([self._ended])
            if not expected:
                self._died(self._sealed)

    def _loop(self) -> None:
        more = True
        while more and not self._sealed and (first := self._next()) is not None:
            batch, more = self._gather(first)
            self._write(batch)

        self._show_at_leisure()

    def _next(self) -> Entry | None:
        if self._folder.behind and not self._hidden:
            try:
                return self._queue.get(timeout=_LULL_S)
            except Empty:
                self._show_at_leisure()
        return self._queue.get()

    def _show(self) -> None:
        self._hidden = True
        self._folder.write()
        self._hidden = False

    def _show_at_leisure(self) -> None:
        with suppress(Unavailable):  # whoever reads or writes next, tries again and hears of it
            self._show()

    def _gather(self, first: Entry) -> tuple[list[Entry], bool]:
        batch = [first]
        most = max(_SMALL, (self._queue.qsize() + 1) // 2)  # the other half is prepared while this one is synced
        while len(batch) < most and not self._queue.empty():
            entry = self._queue.get()
            if entry is None:
                return batch, False
            batch.append(entry)
        return batch, True

    def _write(self, batch: list[Entry]) -> None:
        wake = [entry.ticket for entry in batch]
        commits = [entry for entry in batch if entry.events]
        try:
            wake.extend(self._fold_backlog())
            if self._hidden or len(commits) < len(batch) or self._folder.behind >= _MOST_BEHIND:
                self._show()
            outcomes = self._record(commits) if commits else []
            wake.extend(self._fold_backlog())
            for entry in batch if len(commits) < len(batch) else ():
                entry.outcome = _SHOWN
            for entry, facts in zip(commits, outcomes, strict=True):
                entry.outcome = facts if isinstance(facts, Conflict) else _where(facts)
        except SpearError as error:
            _fail(batch, error)
        except apsw.FullError:
            _fail(batch, Unavailable("the disk is full: nothing more can be recorded until there is room"))
        except (apsw.Error, OSError) as error:
            self._seal(f"the log cannot be written ({error}); restart the server when the storage is healthy")
            _fail(batch, Unavailable(self._sealed))
        finally:
            self._bell.ring(wake)

    def _record(self, batch: list[Entry]) -> list[list[Recorded] | Conflict]:
        outcomes = self._recorder.append([(e.events, e.origin) for e in batch], time_us=self._clock.now_us())
        self._witness.note(self._recorder.position, self._recorder.digest)
        self._unfolded = [fact for facts in outcomes if not isinstance(facts, Conflict) for fact in facts]
        return outcomes

    def _fold_backlog(self) -> Sequence[Ticket]:
        if not self._unfolded:
            return ()
        self._folder.fold(self._unfolded)
        facts, self._unfolded = self._unfolded, []
        return self._committed(facts)

    def _seal(self, reason: str) -> None:
        self._sealed = reason
        log.error(reason)
        self._show_at_leisure()

    def _refuse_waiting(self) -> None:
        while True:
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return
            if entry is not None:
                entry.outcome = Unavailable(self._sealed)
                self._bell.ring([entry.ticket])


def _where(facts: Sequence[Recorded]) -> Committed:
    return Committed(facts[0].position, facts[-1].position, facts[-1].time_us)


def _fail(batch: Sequence[Entry], error: SpearError) -> None:
    for entry in batch:
        entry.outcome = error
