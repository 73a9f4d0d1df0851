"""How much work runs at once: limits per task and per node, and one bounded queue."""

from collections import Counter, deque
from typing import Generic, TypeVar

from spear.errors import Overloaded

E = TypeVar("E")


class Admission(Generic[E]):
    """Decides who runs, who waits in order, and who is refused; entries are whatever the caller wants back."""

    def __init__(self, *, per_node: int, queue_limit: int) -> None:
        self._per_node, self._queue_limit = per_node, queue_limit
        self._running: Counter[str] = Counter()
        self._total = 0
        self._queue: deque[tuple[E, str, int]] = deque()

    def enter(self, entry: E, task_id: str, *, per_task: int) -> bool:
        """True if the entry may run now, False if it waits; raises `Overloaded` when the queue is full."""
        if self._fits(task_id, per_task):
            self._admit(task_id)
            return True
        if len(self._queue) >= self._queue_limit:
            raise Overloaded(f"{self._total} executions run and {len(self._queue)} wait; the queue is full")
        self._queue.append((entry, task_id, per_task))
        return False

    def leave(self, task_id: str) -> list[E]:
        """One run of the task ended; the entries that may run now, in the order they came."""
        self._running[task_id] -= 1
        if not self._running[task_id]:
            del self._running[task_id]
        self._total -= 1
        return self._next()

    def abandon(self, entry: E) -> bool:
        """Take a waiting entry out; False when it does not wait any more."""
        kept = deque(waiting for waiting in self._queue if waiting[0] is not entry)
        found = len(kept) < len(self._queue)
        self._queue = kept
        return found

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """How many entries run."""
        return self._total

    def _fits(self, task_id: str, per_task: int) -> bool:
        return self._total < self._per_node and self._running[task_id] < per_task

    def _admit(self, task_id: str) -> None:
        self._running[task_id] += 1
        self._total += 1

    def _next(self) -> list[E]:
        admitted: list[E] = []
        kept: deque[tuple[E, str, int]] = deque()
        while self._queue and self._total < self._per_node:
            entry, task_id, per_task = self._queue.popleft()
            if self._fits(task_id, per_task):
                self._admit(task_id)
                admitted.append(entry)
            else:
                kept.append((entry, task_id, per_task))
        self._queue.extendleft(reversed(kept))
        return admitted
