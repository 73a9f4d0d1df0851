"""What to do with an execution that a node did not answer for: ask it again, go to the next node, or end."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spear.domain.node import OutcomeClass
from spear.errands import Arrival, Declined

MOST_HOPS = 8
SPILLING = (OutcomeClass.OVERLOADED, OutcomeClass.UNAVAILABLE, OutcomeClass.TIMEOUT)


class Move(StrEnum):
    """The next step."""

    AGAIN = "again"
    NEXT = "next"
    END = "end"


def move(declined: Declined, *, doubt: bool, hops: int) -> Move:
    """The next step; `doubt` says that the node may have the execution from an earlier attempt.

    An execution leaves a node only if it is certain that it does not run there.
    """
    if declined.arrival is Arrival.UNKNOWN or (doubt and declined.arrival is Arrival.UNSENT):
        return Move.AGAIN
    return Move.NEXT if declined.outcome in SPILLING and hops < MOST_HOPS else Move.END


@dataclass
class Patience:
    """How long to go on without progress: `limit_s` seconds, with pauses that double from `first_s` to `longest_s`."""

    now_s: Callable[[], float]
    limit_s: float
    first_s: float = 0.05
    longest_s: float = 2.0

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """There was progress, or there is hope."""
        self._until_s, self._pause_s = self.now_s() + self.limit_s, self.first_s

    def hope(self) -> None:
        """It may still become something; the pauses stay as long as they are."""
        self._until_s = self.now_s() + self.limit_s

    @property
    def spent(self) -> bool:
        """Whether it is over."""
        return self.left_s <= 0

    @property
    def left_s(self) -> float:
        """For how many seconds it lasts without progress."""
        return self._until_s - self.now_s()

    def pause_s(self) -> float:
        """How long to wait before the next attempt."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, self.longest_s)
        return pause_s
