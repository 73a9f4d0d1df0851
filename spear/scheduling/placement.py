"""Which nodes should run a task, best first."""

from collections.abc import Iterable
from dataclasses import dataclass

_FIRST_BLOCK_S, _STEP_S, _LONGEST_S = 20, 10, 300


@dataclass(frozen=True, slots=True)
class Candidate:
    """What placement knows of a node: percents 0..100, the one-minute load, times in microseconds."""

    node_uuid: str
    ip_address: str
    port: int
    status: str
    last_heartbeat_us: int
    known: bool
    cpu_percent: float
    memory_percent: float
    disk_percent: float
    load_1m: float
    failures: int
    failed_at_us: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A node that may run the task and its score, at most 100."""

    node_uuid: str
    ip_address: str
    port: int
    score: float


def place(
    candidates: Iterable[Candidate], *, now_us: int, heartbeat_timeout_s: int, most: int, pinned: str = ""
) -> list[Placed]:
    """The `most` best of the nodes that live, are not blocked by recent failures and fit the pin; best first."""
    fits = [
        Placed(c.node_uuid, c.ip_address, c.port, score(c))
        for c in candidates
        if _lives(c, now_us, heartbeat_timeout_s) and now_us >= blocked_until_us(c) and pinned in ("", c.node_uuid)
    ]
    return sorted(fits, key=lambda p: (-p.score, p.node_uuid))[:most]


def score(candidate: Candidate) -> float:
    """100 less weighted use and past failures; a node that never reported counts as half used."""
    c = candidate
    if not c.known:
        return 50.0 - 5 * min(c.failures, 10)
    used = 0.5 * min(c.cpu_percent, 100) + 0.3 * min(c.memory_percent, 100) + 0.1 * min(c.disk_percent, 100)
    return 100 - used - 10 * min(c.load_1m, 16) / 16 - 5 * min(c.failures, 10)


def blocked_until_us(candidate: Candidate) -> int:
    """Until when failures keep the node out: 20 s after one, doubling from 40 s to 300 s after more."""
    n = candidate.failures
    if n == 0:
        return 0
    seconds = _FIRST_BLOCK_S if n == 1 else min(_STEP_S * 2 ** min(n, 5), _LONGEST_S)
    return candidate.failed_at_us + seconds * 1_000_000


def _lives(candidate: Candidate, now_us: int, heartbeat_timeout_s: int) -> bool:
    fresh = now_us - candidate.last_heartbeat_us <= heartbeat_timeout_s * 1_000_000
    return fresh and candidate.status.lower() in ("online", "active")
