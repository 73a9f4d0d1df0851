"""Ends what a token opened once the token is revoked."""

from spear.events.log import EventLog
from spear.services.tokens import Tokens


class Doorkeeper:
    """Looks whether anything happened to tokens; most looks cost one comparison."""

    def __init__(self, log: EventLog, tokens: Tokens) -> None:
        self._log, self._tokens, self._seen = log, tokens, 0

    def look(self) -> None:
        """Let nobody go on whose token is good no longer."""
        last = self._log.changed("token")
        if last > self._seen:
            self._tokens.end_revoked()
            self._seen = last
