"""Passes at work: an SMS issues them, each for one node, and that node's gate knows them by a key that the SMS told it."""

from spear.ports import Clock
from spear.protocols import passes

LONGEST_S = 1200
_UNNAMED = "anybody"


class Passes:
    """What an SMS gives out; from its one secret, so that it keeps nothing of its nodes and issues at once after a restart."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret, self._clock = secret, clock

    def key_of(self, node_uuid: str) -> bytes:
        """What the node's gate needs; for that node alone."""
        return passes.key_of(self._secret, node_uuid.lower())

    @property
    def now_s(self) -> int:
        """The seconds by which passes are dated."""
        return self._clock.now_us() // 1_000_000

    def issue(self, node_uuid: str, holder: str) -> str:
        """A pass that lets `holder`, a node or somebody who is not named, have executions run at the node."""
        return passes.written(self.key_of(node_uuid), holder or _UNNAMED, self.now_s)


class Gate:
    """A node's side: good is what its SMS issued in the last 20 minutes, by the clock of the SMS, as it last told it."""

    def __init__(self) -> None:
        self._key, self._now_s = b"", 0

    def learn(self, key: bytes, now_s: int) -> None:
        """What the SMS told: the key, and the time; nothing for what it did not tell."""
        self._key, self._now_s = key or self._key, now_s or self._now_s

    def holder(self, authorization: str) -> str:
        """Who shows a good pass, "" for nobody."""
        found = passes.read(self._key, authorization)
        return found[0] if found and found[1] + LONGEST_S >= self._now_s else ""
