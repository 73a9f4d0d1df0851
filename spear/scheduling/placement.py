"""The default placement policy: which nodes may run a task, and in which order, as functions of what is known of a node."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import NamedTuple

import msgspec

from spear.domain.node import NodeStatus

_FIRST_BLOCK_S, _STEP_S, _LONGEST_S = 20, 10, 300
_SILENT_ON_SLOTS = 16  # how many a node counts as having that does not say
_WORST_REPORTED = -70.0
_S = 1_000_000
_WHOLE, _NUMBER = re.compile(r"[0-9]{1,6}"), re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")


class Reason(StrEnum):
    """Why a node may not run a task; the first that applies is the one that is counted."""

    PINNED = "pinned_elsewhere"
    DRAINED = "drained"
    OFFLINE = "offline"
    STATUS = "status"
    SILENT = "silent"
    BLOCKED = "blocked"
    FULL = "no_free_slot"
    LABEL = "label_missing"
    RUNTIME = "runtime_missing"
    CAPABILITY = "capability_missing"
    CPU = "cpu_short"
    MEMORY = "memory_short"


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What a node says in its metadata that it offers; `None` where it says nothing, which is never held against it."""

    labels: dict[str, str]
    runtimes: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None
    slots: int | None = None
    cpu_cores: float | None = None


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """What placement knows of a node: percents 0..100, the one-minute load, times in microseconds.

    `free_cpu` is how many of its cores are idle; what a node says nothing about counts as more than anybody needs.
    """

    node_uuid: str
    ip_address: str
    port: int
    status: str
    last_heartbeat_us: int
    offer: Offer
    reported: bool = False
    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    disk_percent: float = 0.0
    load_1m: float = 0.0
    failures: int = 0
    failed_at_us: int = 0
    in_flight: int = 0
    drained: bool = False
    drain_reason: str = ""
    free_cpu: float = inf
    free_memory_mb: float = inf


@dataclass(frozen=True, slots=True)
class Want:
    """What a task asks of a node; nothing by default."""

    pinned: str = ""
    runtime: str = ""
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    cpu_cores: float = 0
    memory_mb: float = 0


class Refused(NamedTuple):
    """A node that may not run a task, and why: a word for programs and a text for people."""

    node_uuid: str
    reason: Reason
    text: str


class Ranked(NamedTuple):
    """A node that may, and its score, at most 100."""

    candidate: Candidate
    score: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The best candidates, best first, of all that fit; the first refused nodes, and how many were refused for what."""

    nodes: int
    fitting: int
    ranked: list[Ranked]
    refused: list[Refused]
    counts: dict[Reason, int]


def offer(metadata: Mapping[str, str]) -> Offer:
    """What a node's metadata says: all of it as labels; two lists by commas, `slots` and `cpu_cores` as numbers."""
    slots, cores = metadata.get("slots", ""), metadata.get("cpu_cores", "")
    return Offer(
        dict(metadata),
        _words(metadata.get("runtimes")),
        _words(metadata.get("capabilities")),
        int(slots) if _WHOLE.fullmatch(slots) else None,
        float(cores) if _NUMBER.fullmatch(cores) else None,
    )


def _words(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(word.strip() for word in text.split(",") if word.strip())


@dataclass(frozen=True, slots=True)
class LeastUsed:
    """Prefers the node that uses least of what it has and did not fail lately; ties break by id."""

    heartbeat_timeout_s: int
    name: str = "least-used"
    version: int = 1

    def score(self, candidate: Candidate) -> float:
        """100 less weighted use, past failures and taken slots; lower than any other for a node that never reported."""
        c = candidate
        taken = 20 * min(c.in_flight / slots_of(c), 1) + 5 * min(c.failures, 10)
        if not c.reported:
            return _WORST_REPORTED - 1 - taken
        used = 0.5 * min(c.cpu_percent, 100) + 0.3 * min(c.memory_percent, 100) + 0.1 * min(c.disk_percent, 100)
        return 100 - used - 10 * min(c.load_1m, 16) / 16 - taken

    def closed(self, candidate: Candidate, *, now_us: int) -> Iterator[Reason]:
        """Why the node takes no work now, whatever the task."""
        c = candidate
        if c.drained:
            yield Reason.DRAINED
        status = c.status.lower()
        if status == NodeStatus.OFFLINE:
            yield Reason.OFFLINE
        elif status not in (NodeStatus.ONLINE, NodeStatus.ACTIVE):
            yield Reason.STATUS
        if now_us >= self._silent_from_us(c):
            yield Reason.SILENT
        if now_us < blocked_until_us(c):
            yield Reason.BLOCKED
        if c.offer.slots is not None and c.in_flight >= c.offer.slots:
            yield Reason.FULL

    def lacks(self, candidate: Candidate, want: Want) -> Iterator[Reason]:
        """What the node does not offer that the task asks for."""
        given = candidate.offer
        if any(given.labels.get(name) != value for name, value in want.labels.items()):
            yield Reason.LABEL
        if want.runtime and given.runtimes is not None and want.runtime not in given.runtimes:
            yield Reason.RUNTIME
        if given.capabilities is not None and not given.capabilities.issuperset(want.capabilities):
            yield Reason.CAPABILITY
        if candidate.free_cpu < want.cpu_cores:
            yield Reason.CPU
        if candidate.free_memory_mb < want.memory_mb:
            yield Reason.MEMORY

    def refusals(self, candidate: Candidate, want: Want, *, now_us: int) -> list[Refused]:
        """Everything that keeps the task off the node; nothing when it may run there."""
        reasons = [Reason.PINNED] if want.pinned not in ("", candidate.node_uuid) else []
        reasons += self.closed(candidate, now_us=now_us)
        told = [Refused(candidate.node_uuid, r, self._text(r, candidate, want, now_us)) for r in reasons]
        return told + self.unsuited(candidate, want)

    def unsuited(self, candidate: Candidate, want: Want) -> list[Refused]:
        """What the node lacks for the task, in words."""
        c = candidate
        return [Refused(c.node_uuid, reason, self._text(reason, c, want, 0)) for reason in self.lacks(c, want)]

    def turns_at_us(self, candidate: Candidate, *, now_us: int) -> int | None:
        """When, with nothing happening, the node next closes or opens; `None` if never."""
        return min(
            (t for t in (self._silent_from_us(candidate), blocked_until_us(candidate)) if t > now_us), default=None
        )

    def _silent_from_us(self, candidate: Candidate) -> int:
        return candidate.last_heartbeat_us + self.heartbeat_timeout_s * _S + 1

    def _text(self, reason: Reason, c: Candidate, want: Want, now_us: int) -> str:
        match reason:
            case Reason.PINNED:
                return f"the task is pinned to node {want.pinned}"
            case Reason.DRAINED:
                return f"it is drained: {c.drain_reason or 'no reason was given'}"
            case Reason.OFFLINE:
                return "it is offline"
            case Reason.STATUS:
                return f"an operator gave it the status {c.status}; only online and active nodes take work"
            case Reason.SILENT:
                silent_s = (now_us - c.last_heartbeat_us) // _S
                return f"no heartbeat for {silent_s} s; the timeout is {self.heartbeat_timeout_s} s"
            case Reason.BLOCKED:
                left_s = -(-(blocked_until_us(c) - now_us) // _S)
                return f"{c.failures} failed invocations in a row; it gets none for another {left_s} s"
            case Reason.FULL:
                return f"{c.in_flight} executions are in flight on its {c.offer.slots} slots"
            case Reason.LABEL:
                return f"it has {' nor '.join(_missing(c, want))}"
            case Reason.RUNTIME:
                return f"it cannot run {want.runtime} executables; it runs {_listed(c.offer.runtimes)}"
            case Reason.CAPABILITY:
                missing = frozenset(want.capabilities) - (c.offer.capabilities or frozenset())
                return f"it has no capability {_listed(missing)}; it has {_listed(c.offer.capabilities)}"
            case Reason.CPU:
                cores = c.offer.cpu_cores or 0
                return f"{c.free_cpu:.2f} of its {cores:g} CPU cores are idle; the task needs {want.cpu_cores:g}"
            case Reason.MEMORY:
                return f"{int(c.free_memory_mb)} MiB of its memory are free; the task needs {int(want.memory_mb)} MiB"


def _missing(c: Candidate, want: Want) -> list[str]:
    return [f"no label {n}={v}" for n, v in sorted(want.labels.items()) if c.offer.labels.get(n) != v]


def _listed(words: frozenset[str] | None) -> str:
    return ", ".join(sorted(words or ())) or "none"


def slots_of(candidate: Candidate) -> int:
    """How many executions the node has slots for; one that names none counts as having sixteen."""
    return candidate.offer.slots or _SILENT_ON_SLOTS


def blocked_until_us(candidate: Candidate) -> int:
    """Until when failures keep the node out: 20 s after one, doubling from 40 s to 300 s after more."""
    n = candidate.failures
    if n == 0:
        return 0
    seconds = _FIRST_BLOCK_S if n == 1 else min(_STEP_S * 2 ** min(n, 5), _LONGEST_S)
    return candidate.failed_at_us + seconds * _S
