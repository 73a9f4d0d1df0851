"""Writing what another log recorded: the same positions, times and hashes, or nothing."""

from collections.abc import Sequence

import apsw

from spear.errors import Conflict, Corrupt
from spear.events.record import Origin, Recorded
from spear.events.recorder import ApswRecorder


class Copying:
    """A recorder as its writer sees it, for events that are recorded already."""

    def __init__(self, recorder: ApswRecorder) -> None:
        self._recorder = recorder

    @property
    def position(self) -> int:
        """The last position."""
        return self._recorder.position

    @property
    def digest(self) -> bytes:
        """The chain's hash there."""
        return self._recorder.digest

    def append(
        self, commits: Sequence[tuple[Sequence[Recorded], Origin]], *, time_us: int
    ) -> list[list[Recorded] | Conflict]:
        """Record each page durably; raises `Corrupt` for one that does not continue this log."""
        return [self._restored(facts) for facts, _ in commits]

    def _restored(self, facts: Sequence[Recorded]) -> list[Recorded]:
        try:
            self._recorder.restore(facts)
        except apsw.ConstraintError as error:
            first, last = facts[0].position, facts[-1].position
            text = f"events {first} to {last}: two events have the same place in a stream"
            raise Corrupt(text, details={"position": first}) from error
        return list(facts)
