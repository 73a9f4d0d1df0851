"""Session tokens: who asked for one may open the user streams of one execution, once, within a minute."""

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from spear.errors import Forbidden, Overloaded, Unauthenticated
from spear.ports import Clock
from spear.services.tokens import Caller

EXPIRES_IN_MS = 60_000
MOST = 10_000


class _Session(NamedTuple):
    execution_id: str
    expires_us: int
    caller: Caller


class Sessions:
    """The tokens that are good now, by their hash; forgotten when the process ends."""

    def __init__(self, *, secret: Callable[[], str], clock: Clock) -> None:
        self._secret, self._clock = secret, clock
        self._good: dict[bytes, _Session] = {}  # in the order in which they expire

    def issue(self, execution_id: str, caller: Caller) -> str:
        """A new token; raises `Overloaded` when too many wait to be used."""
        now_us = self._clock.now_us()
        while self._good and (oldest := next(iter(self._good.items())))[1].expires_us <= now_us:
            del self._good[oldest[0]]
        if len(self._good) >= MOST:
            raise Overloaded(f"{MOST} session tokens wait to be used, which is the limit; try again later")
        token = self._secret()
        self._good[_hash(token)] = _Session(execution_id, now_us + EXPIRES_IN_MS * 1000, caller)
        return token

    def redeem(self, token: str, execution_id: str) -> Caller:
        """Use a token up; who asked for it. Raises `Unauthenticated`, and `Forbidden` for one of another execution, which stays good."""
        found = self._good.get(_hash(token))
        if found is None or found.expires_us <= self._clock.now_us():
            raise Unauthenticated(
                "token: it is unknown, was used or has expired; ask for a new one", code="TOKEN_INVALID"
            )
        if found.execution_id != execution_id:
            raise Forbidden("token: it is for another execution", code="TOKEN_FORBIDDEN")
        del self._good[_hash(token)]
        return found.caller


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
