"""The one thread that writes: what waits together commits together, is folded, and only then acknowledged."""

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


class Folder(Protocol):
    """What must know of an event before it is acknowledged."""

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Take the next facts in, durably enough to be rebuilt; raise `Unavailable` when they cannot be kept."""
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
    """One caller's commit on its way: its events, then its outcome."""

    __slots__ = ("events", "origin", "outcome", "ticket")

    def __init__(self, events: Sequence[Pending] | Sequence[Recorded], origin: Origin, ticket: Ticket) -> None:
        self.events, self.origin, self.ticket = events, origin, ticket
        self.outcome: Committed | SpearError = Unavailable("the log was closed before this was recorded")


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
        while more and not self._sealed and (first := self._queue.get()) is not None:
            batch, more = self._gather(first)
            self._write(batch)

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
        try:
            wake.extend(self._fold_backlog())
            outcomes = self._record(batch)
            wake.extend(self._fold_backlog())
            for entry, facts in zip(batch, outcomes, strict=True):
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
