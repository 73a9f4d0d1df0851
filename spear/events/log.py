"""The log as everybody uses it: commit, read since a position, follow without gaps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from shutil import disk_usage
from time import monotonic
from types import TracebackType
from typing import Self

import apsw
from eventsourcing.domain import AggregateEvent

from spear.errors import Corrupt, SpearError, StartupError, Unavailable
from spear.events import chain
from spear.events.copying import Copying
from spear.events.mapper import pend
from spear.events.record import Committed, Origin, Recorded, noun_of
from spear.events.recorder import ApswRecorder
from spear.events.streams import last_of, page_of
from spear.events.witness import Witness
from spear.events.writer import Entry, Folder, Writer
from spear.ports import Bell, Clock, Threads, Ticket

_ANY = ""
_PAGE = 1000
SLICE = 200  # what a follower reads at once: a millisecond's work or two, sent and all
_LEAST_ROOM = 65536  # what SQLite needs beside the log to open it
_COPY = Origin("copy")  # of no event: each keeps its own
_READ = Origin("read")  # of no event: there is none


def witness_path(path: Path) -> Path:
    """The file beside the log that remembers how far it reached."""
    return path.with_name(path.name + "-head")


def position_at(recorder: ApswRecorder, time_us: int, *, head: int) -> int:
    """The last position up to `head` recorded at or before `time_us`; raises `Corrupt` when one it looks at is missing."""
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        found = recorder.value("SELECT time_us FROM events WHERE position = ?", (middle,))
        if found is None:
            raise Corrupt(f"position {middle} is missing", details={"position": middle})
        low, high = (middle, high) if found <= time_us else (low, middle - 1)
    return low


class EventLog:
    """Facts in order. A position that `commit` returned is durable and folded; `head` never goes back.

    `id` is the log's own, wherever its file is copied; `floor` is the first position that it still holds.

    Args: `path` is the SQLite file; with `reserve` its tail gets room on the disk in advance; a new one takes `identity` as its id.
    Raises `StartupError` when the log lost its end or its last event is damaged.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        bell: Bell,
        threads: Threads,
        died: Callable[[str], None] = lambda reason: None,
        vfs: str | None = None,
        reserve: bool = False,
        identity: bytes | None = None,
    ) -> None:
        self._clock, self._bell, self._threads, self._died = clock, bell, threads, died
        self._followers: dict[str, set[Ticket]] = {_ANY: set()}  # by the topics that they wait for
        self._changed: dict[str, int] = {}
        with ExitStack() as opened:
            self._witness = opened.enter_context(closing(Witness(witness_path(path))))
            self.recorder = opened.enter_context(
                closing(_open(path, self._witness, vfs=vfs, reserve=reserve, identity=identity))
            )
            self._stack = opened.pop_all()
        self._head = self.recorder.position
        self.id: bytes = self.recorder.value("SELECT id FROM identity")
        self.floor: int = self.recorder.value("SELECT min(position) FROM events") or 1
        self._writer: Writer | None = None
        self._refusal: Callable[[], Exception] | None = _not_started

    def start(self, folder: Folder) -> None:
        """Begin to accept commits; `folder` must already know everything up to `head`."""
        self._write(self.recorder, folder)
        self._refusal = None

    def start_copying(self, folder: Folder, *, refusal: Callable[[], Exception]) -> None:
        """Begin to accept what another log recorded, by `copy`; a commit is refused with what `refusal` makes."""
        self._write(Copying(self.recorder), folder)
        self._refusal = refusal

    def _write(self, recorder: ApswRecorder | Copying, folder: Folder) -> None:
        self._writer = Writer(
            recorder,
            self._witness,
            clock=self._clock,
            bell=self._bell,
            threads=self._threads,
            folder=folder,
            committed=self._advance,
            died=self._died,
        )
        self._writer.start()
        self._stack.callback(self._writer.close)

    def commit(self, events: Sequence[AggregateEvent], origin: Origin) -> Committed:
        """Record `events` together or not at all; returns when they are durable and folded. Blocks only this caller.

        Raises `Conflict` when another commit reached one of their streams first, `Unavailable` when nothing can
        be recorded now.
        """
        if not events:
            return Committed(0, 0, self._clock.now_us())
        if self._refusal is not None:
            raise self._refusal()
        return self._put(Entry([pend(event) for event in events], origin, self._bell.ticket()))

    def copy(self, facts: Sequence[Recorded]) -> Committed:
        """Record what comes next exactly as another log of the same `id` did; returns when it is durable and folded.

        Raises `Corrupt`, and records nothing, where the chain does not fit; `Unavailable` as `commit` does.
        """
        return self._put(Entry(facts, _COPY, self._bell.ticket()))

    def _put(self, entry: Entry) -> Committed:
        if self._writer is None:
            raise _not_started()
        self._writer.put(entry)
        entry.ticket.wait()
        outcome = entry.outcome
        if outcome is None:
            raise Unavailable("the log was closed before this was recorded")
        if isinstance(outcome, SpearError):
            raise outcome
        return outcome

    def show(self) -> None:
        """Return when every reader of the views sees what is acknowledged now. Blocks only this caller.

        Raises `Unavailable` when the views cannot be written.
        """
        self._put(Entry((), _READ, self._bell.ticket()))

    @property
    def head(self) -> int:
        """The last position that is durable and folded."""
        return self._head

    def since(
        self, position: int, *, limit: int = _PAGE, topics: Sequence[str] = (), streams: Sequence[str] = ()
    ) -> list[Recorded]:
        """Up to `limit` events after `position`, oldest first; of these topics or streams if any are given.

        Raises `Corrupt` with the position of the first event that cannot be read.
        """
        try:
            return self._since((position, self._head, limit), topics, streams)
        except Corrupt as error:
            raise self._located(position, error) from error

    def _located(self, after: int, error: Corrupt) -> Corrupt:
        for position in range(after + 1, min(after + _PAGE, self._head) + 1):
            try:
                self.recorder.query("WHERE position = ?", (position,))
            except Corrupt:
                return Corrupt(f"event {position} cannot be read; run `verify`", details={"position": position})
        return error

    def _since(self, bounds: tuple[int, int, int], topics: Sequence[str], streams: Sequence[str]) -> list[Recorded]:
        if streams:
            return page_of(self.recorder, bounds, streams=streams, topics=topics)
        if topics:
            return self._of_topics(topics, bounds)
        return self.recorder.query("WHERE position > ? AND position <= ? ORDER BY position LIMIT ?", bounds)

    def _of_topics(self, topics: Sequence[str], bounds: tuple[int, int, int]) -> list[Recorded]:
        found = [
            fact
            for topic in topics
            for fact in self.recorder.query(
                "WHERE topic = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?", (topic, *bounds)
            )
        ]
        return sorted(found, key=lambda fact: fact.position)[: bounds[2]]

    def last(self, until: int, *, topics: Sequence[str] = (), streams: Sequence[str] = ()) -> int:
        """The last position up to `until` of these topics or streams, of any without both; 0 if there is none."""
        if streams:
            return last_of(self.recorder, until, streams=streams, topics=topics)
        if not topics:
            return until
        sql = "SELECT position FROM events WHERE topic = ? AND position <= ? ORDER BY position DESC LIMIT 1"
        return max(self.recorder.value(sql, (topic, until)) or 0 for topic in topics)

    def digest_at(self, position: int) -> bytes:
        """The chain's hash at `position`, zeros where the log holds no event; raises `Corrupt` when one is missing."""
        if not self.floor <= position <= self._head:
            return chain.GENESIS
        found: bytes | None = self.recorder.value("SELECT hash FROM events WHERE position = ?", (position,))
        if found is None:
            raise Corrupt(f"position {position} is missing", details={"position": position})
        return found

    def stream(self, originator_id: str, *, after_version: int = 0, limit: int = -1) -> list[Recorded]:
        """One stream's events by version, the first `limit` of them if it is given."""
        return self.recorder.stream(originator_id, after=after_version, limit=limit)

    def wait(self, position: int, *, timeout_s: float | None = None, topics: Sequence[str] = ()) -> bool:
        """Block this caller until the log is longer than `position`; False when `timeout_s` ran out first.

        With `topics`, what is recorded from now on wakes it only if it is one of these.
        """
        ticket, waiting = self._bell.ticket(), [self._followers.setdefault(topic, set()) for topic in topics or (_ANY,)]
        for followers in waiting:
            followers.add(ticket)
        try:
            return self._head > position or ticket.wait(timeout_s)
        finally:
            for followers in waiting:
                followers.discard(ticket)

    def follow(
        self,
        position: int,
        *,
        idle_s: float,
        topics: Sequence[str] = (),
        streams: Sequence[str] = (),
        limit: int = SLICE,
    ) -> Iterator[list[Recorded]]:
        """Every event after `position`, in order, for ever; an empty list after each `idle_s` seconds without any.

        It reads the log itself: a slow reader reads further back, and between past and present there is no gap. Who has
        more than `limit` before him takes turns with everybody else.
        """
        spoke = monotonic()
        while True:
            head = self._head
            facts = self.since(position, limit=limit, topics=topics, streams=streams)
            position = facts[-1].position if facts else max(position, head)
            left_s = spoke + idle_s - monotonic()
            if facts or left_s <= 0 or not self.wait(position, timeout_s=left_s, topics=topics):
                yield facts
                spoke = monotonic()
            if len(facts) == limit:
                self._bell.turn()

    def position_at(self, time_us: int) -> int:
        """The last position recorded at or before `time_us`; times never go back along the log."""
        return position_at(self.recorder, time_us, head=self._head)

    def changed(self, noun: str) -> int:
        """The last position since the start at which something happened to this noun, 0 if nothing did; for caches."""
        return self._changed.get(noun, 0)

    def _advance(self, facts: Sequence[Recorded]) -> Sequence[Ticket]:
        for fact in facts:
            self._changed[noun_of(fact.topic)] = fact.position
        self._head = facts[-1].position
        wake = set(self._followers[_ANY])
        for topic in {fact.topic for fact in facts} & self._followers.keys():
            wake |= self._followers[topic]
        return list(wake)

    def close(self) -> None:
        """Write what waits and close; may be called twice."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _not_started() -> Exception:
    return RuntimeError("the log was not started")


def _open(path: Path, witness: Witness, *, vfs: str | None, reserve: bool, identity: bytes | None) -> ApswRecorder:
    noted, _ = witness.latest()
    if noted and not path.exists():
        raise StartupError(f"{path} is gone, but position {noted} was acknowledged: put the log back")
    with ExitStack() as opened:
        try:
            recorder = opened.enter_context(closing(ApswRecorder(path, vfs=vfs, reserve=reserve, identity=identity)))
            recorder.checkpoint_on_close(False)  # it would delete a damaged write-ahead log
            _check_end(recorder, witness)
            recorder.checkpoint_on_close(True)
        except (apsw.Error, Corrupt) as error:
            what = "the disk is full: make room" if disk_usage(path.parent).free < _LEAST_ROOM else "run `verify`"
            raise StartupError(f"the log {path} cannot be opened ({error}); {what}") from error
        opened.pop_all()
        return recorder


def _check_end(recorder: ApswRecorder, witness: Witness) -> None:
    noted, digest = witness.latest()
    end = recorder.position
    if noted > end:
        raise StartupError(f"the log ends at position {end}, but position {noted} was acknowledged: it lost events")
    if 0 < noted == end and digest != recorder.digest:
        raise StartupError(f"the log's last event {end} is not the one that was acknowledged")
    tail = recorder.query("WHERE position > ? ORDER BY position", (max(end - 2, 0),))
    broken = chain.first_break(tail[0].hash, tail[1:], after=tail[0].position) if len(tail) > 1 else None
    if broken:
        raise StartupError(f"the log is damaged at position {broken[0]}: {broken[1]}; run `verify`")
