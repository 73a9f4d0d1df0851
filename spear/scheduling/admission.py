"""How much work runs at once: limits per task and per node, and one bounded queue in which priorities take turns."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from spear.domain.task import Priority
from spear.errors import Overloaded

E = TypeVar("E")
_STRIDES = {Priority.URGENT: 1, Priority.HIGH: 2, Priority.NORMAL: 4, Priority.LOW: 8}


class Waiting(NamedTuple, Generic[E]):
    """An entry that waits."""

    entry: E
    task_id: str
    per_task: int


@dataclass
class Line(Generic[E]):
    """Those of one priority, in the order they came; whose `turn` is lowest is next, and each turn taken adds `stride`."""

    stride: int
    turn: int = 0
    waiting: deque[Waiting[E]] = field(default_factory=deque)


class Admission(Generic[E]):
    """Decides who runs, who waits, and who is refused; entries are whatever the caller wants back.

    While all priorities wait, of fifteen turns eight are urgent, four high, two normal and one low: nobody starves.
    """

    def __init__(self, *, per_node: int, queue_limit: int) -> None:
        self._per_node, self._queue_limit = per_node, queue_limit
        self._running: Counter[str] = Counter()
        self._total = 0
        self._lines: dict[str, Line[E]] = {priority.value: Line(stride) for priority, stride in _STRIDES.items()}
        self._turn = 0

    def enter(self, entry: E, task_id: str, *, per_task: int, priority: str = Priority.NORMAL.value) -> bool:
        """True if the entry may run now, False if it waits; raises `Overloaded` when the queue is full."""
        if self.fits(task_id, per_task=per_task):
            self.admit(task_id)
            return True
        if self.waiting >= self._queue_limit:
            raise Overloaded(f"{self._total} executions run and {self.waiting} wait; the queue is full")
        line = self._lines[priority]
        if not line.waiting:
            line.turn = max(line.turn, self._turn + line.stride)  # what it did not use while nobody waited is gone
        line.waiting.append(Waiting(entry, task_id, per_task))
        return False

    def leave(self, task_id: str) -> list[E]:
        """One run of the task ended; the entries that may run now, in the order of their turns."""
        self._running[task_id] -= 1
        if not self._running[task_id]:
            del self._running[task_id]
        self._total -= 1
        return self._admitted()

    def resize(self, per_node: int) -> list[E]:
        """As many may run at once from now on; the entries that may run now. What runs goes on."""
        self._per_node = per_node
        return self._admitted()

    def _admitted(self) -> list[E]:
        admitted: list[E] = []
        while self._total < self._per_node and (found := self._next()):
            self.admit(found.task_id)
            admitted.append(found.entry)
        return admitted

    def abandon(self, entry: E) -> bool:
        """Take a waiting entry out; False when it does not wait any more."""
        for line in self._lines.values():
            for place, found in enumerate(line.waiting):
                if found.entry is entry:
                    del line.waiting[place]
                    return True
        return False

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return sum(len(line.waiting) for line in self._lines.values())

    @property
    def running(self) -> int:
        """How many entries run."""
        return self._total

    def fits(self, task_id: str, *, per_task: int) -> bool:
        """Whether an entry of the task may run now."""
        return self._total < self._per_node and self._running[task_id] < per_task

    def admit(self, task_id: str) -> None:
        """Count a run of the task that goes on already, whether or not it fits."""
        self._running[task_id] += 1
        self._total += 1

    def _next(self) -> Waiting[E] | None:
        passed: list[Line[E]] = []
        lines = [line for line in self._lines.values() if line.waiting]
        for line in sorted(lines, key=lambda line: line.turn):  # ties: the more urgent one
            if found := self._first_that_fits(line):
                self._turn = line.turn
                line.turn += line.stride
                for other in passed:
                    other.turn = self._turn  # turns are not saved up while tasks are at their limits either
                return found
            passed.append(line)
        return None

    def _first_that_fits(self, line: Line[E]) -> Waiting[E] | None:
        for place, found in enumerate(line.waiting):
            if self.fits(found.task_id, per_task=found.per_task):
                del line.waiting[place]
                return found
        return None
