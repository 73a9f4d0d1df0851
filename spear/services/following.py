"""Whom a read-only standby follows, and how far it is behind."""

from time import monotonic

from spear.errors import Unavailable

LOGS_AT_LEADER = "LOGS_AT_LEADER"


class Following:
    """The SMS at the bus `leader`, as this process last heard of it; `content` is how far content was brought here."""

    def __init__(self, leader: str) -> None:
        self.leader = leader
        self.leader_head: int | None = None
        self.content = 0
        self._heard = 0.0

    def heard(self, head: int) -> None:
        """The leader answered that its log reaches `head`."""
        self.leader_head, self._heard = head, monotonic()

    @property
    def silent_s(self) -> float | None:
        """Seconds since the leader last answered; None if it never did."""
        return None if self.leader_head is None else monotonic() - self._heard

    def refusal(self) -> Unavailable:
        """What whoever wants to change something hears."""
        text = (
            f"this server only reads: it is a standby of the SMS at {self.leader}; ask that one,"
            " or promote this one by a restart without --follow"
        )
        return Unavailable(text, code="READ_ONLY_STANDBY", details={"leader": self.leader})

    def no_lines(self) -> Unavailable:
        """What whoever wants to read what an execution wrote hears: lines are files where they were written."""
        text = f"this server is a standby, and log lines are not copied; ask the SMS at {self.leader}"
        return Unavailable(text, code=LOGS_AT_LEADER, details={"leader": self.leader})
