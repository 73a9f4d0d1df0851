"""What the log stores: one recorded event, and who caused it."""

from functools import cache

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """Why something is recorded: who acted, within which request, and the position of the event that led here (0: none)."""

    actor: str
    correlation: str = ""
    cause: int = 0

    def because_of(self, position: int) -> "Origin":
        """The same, led to by the event at `position`."""
        return Origin(self.actor, self.correlation, position)


UNNUMBERED = -1


class Pending(msgspec.Struct, frozen=True, gc=False):
    """An event on its way into the log; an `UNNUMBERED` version becomes the next one of its stream."""

    originator_id: str
    version: int
    topic: str
    state: bytes


class Recorded(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A fact: the event at `position`, recorded at `time_us`, chained by `hash` to the one before it."""

    position: int
    originator_id: str
    version: int
    topic: str
    time_us: int
    actor: str
    cause: int
    correlation: str
    state: bytes
    hash: bytes

    @property
    def noun(self) -> str:
        """The part of the topic before the dot: node, task, execution, ..."""
        return noun_of(self.topic)

    @property
    def name(self) -> str:
        """The part of the topic after the dot: NodeLost, TaskCreated, ..."""
        return self.topic.partition(".")[2]


@cache
def noun_of(topic: str) -> str:
    """The part of a topic before the dot."""
    return topic.partition(".")[0]


class Committed(msgspec.Struct, frozen=True, gc=False):
    """Where a commit landed: positions `first..last` (both 0 for an empty one), all at `time_us`."""

    first: int
    last: int
    time_us: int
