"""Every registered node in the policy's order, so that one decision looks at a few of them and knows about all."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, nsmallest
from itertools import islice
from operator import itemgetter

from spear.scheduling.placement import (
    Candidate,
    Decision,
    LeastUsed,
    Offer,
    Ranked,
    Reason,
    Refused,
    Want,
    blocked_until_us,
    slots_of,
)

LISTED = 8  # how many refused nodes a decision names; the others it counts
_FEW = 500
_BY_OPERATORS = (Reason.DRAINED, Reason.STATUS)
_ROOM = (Reason.CPU, Reason.MEMORY)
_UUID = itemgetter(1)
Feature = tuple[str, ...]
Key = tuple[float, str]


class Entry:
    """A node as the roster has it: why it is closed (`None`: open), where it ranks, and when that turns by itself."""

    __slots__ = ("candidate", "closed", "due_us", "key")

    def __init__(self, candidate: Candidate, closed: Reason | None, key: Key) -> None:
        self.candidate, self.closed, self.key = candidate, closed, key
        self.due_us: int | None = None


class Roster:
    """Candidates that come, change and go; `decide` is what the policy says of all of them as of a moment."""

    def __init__(self, policy: LeastUsed) -> None:
        self.policy = policy
        self._entries: dict[str, Entry] = {}
        self._open: list[Key] = []
        self._ids = set[str]()  # of the open ones
        self._closed: list[str] = []
        self._closed_for: Counter[Reason] = Counter()
        self._offering: dict[Feature, set[str]] = {}
        self._rooms: tuple[list[Key], ...] = ([], [])  # of open nodes, how much is free of each in `_ROOM`
        self._due: list[tuple[int, str]] = []
        self._slots = 0  # of all nodes that take work or are merely full

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, node_uuid: str) -> Candidate | None:
        """What is known of a node."""
        entry = self._entries.get(node_uuid)
        return entry.candidate if entry else None

    def slots(self, *, without: str = "") -> int:
        """How many executions the nodes that take work, or are merely full, have slots for; all but one node's."""
        left_out = self._entries.get(without)
        return self._slots - (_slots(left_out) if left_out else 0)

    def put(self, candidate: Candidate, *, now_us: int) -> None:
        """A node is new or changed."""
        uuid, old = candidate.node_uuid, self._entries.get(candidate.node_uuid)
        closed = next(self.policy.closed(candidate, now_us=now_us), None)
        entry = Entry(candidate, closed, (-self.policy.score(candidate), uuid))
        if old:
            self._take_out(old, entry)
            entry.due_us = old.due_us
        self._entries[uuid] = entry
        self._put_in(entry, old)
        self._await(entry, now_us)

    def remove(self, node_uuid: str) -> None:
        """A node is gone."""
        old = self._entries.pop(node_uuid, None)
        if old:
            self._take_out(old, None)

    def advance(self, now_us: int) -> None:
        """Close those that fell silent, open those whose block ran out."""
        while self._due and self._due[0][0] <= now_us:
            due_us, uuid = heappop(self._due)
            entry = self._entries.get(uuid)
            if entry and entry.due_us == due_us:
                entry.due_us = None
                self.put(entry.candidate, now_us=now_us)

    def decide(self, want: Want, *, now_us: int, most: int) -> Decision:
        """The `most` best nodes for the task, and why not the others."""
        self.advance(now_us)
        if want.pinned:
            return self._decide_pinned(want, now_us)
        counts = Counter(self._closed_for)
        fits = self._fitting(want, counts)
        fitting = len(self._open) if fits is None else len(fits)
        return Decision(
            len(self._entries),
            fitting,
            [self._ranked(uuid) for uuid in self._best(fits, most)],
            self._first_refused(want, fits, now_us),
            {reason: count for reason, count in counts.items() if count},
        )

    def opens_at_us(self, want: Want, *, but: str) -> int:
        """When the first of the closed nodes but one takes the task by itself, if all that could only wait for their block to end.

        0 when nobody knows: a silent node may be back at any moment, a full one have room; or too many are closed.
        """
        opens: list[int] = []
        for entry in (self._entries[uuid] for uuid in self._closed[: _FEW + 1] if uuid != but):
            if not self._suits(entry.candidate, want) or entry.closed in _BY_OPERATORS:
                continue
            if entry.closed is not Reason.BLOCKED:
                return 0
            opens.append(blocked_until_us(entry.candidate))
        return min(opens, default=0) if len(self._closed) <= _FEW else 0

    def _suits(self, candidate: Candidate, want: Want) -> bool:
        pinned_elsewhere = want.pinned not in ("", candidate.node_uuid)
        return not pinned_elsewhere and next(self.policy.lacks(candidate, want), None) is None

    def rank(self, node_uuid: str, want: Want, *, now_us: int) -> tuple[int, int]:
        """Which place the node has among those that fit, and how many do; for one that fits."""
        self.advance(now_us)
        key, fits = self._entries[node_uuid].key, self._fitting(want, Counter())
        if want.pinned:
            return 1, 1
        if fits is None:
            return bisect_left(self._open, key) + 1, len(self._open)
        return 1 + sum(self._entries[uuid].key < key for uuid in fits), len(fits)

    def _decide_pinned(self, want: Want, now_us: int) -> Decision:
        candidate, others = self.get(want.pinned), len(self) - (want.pinned in self._entries)
        counts = {Reason.PINNED: others} if others else {}
        if candidate is None:
            return Decision(len(self), 0, [], [], counts)
        refused = self.policy.refusals(candidate, want, now_us=now_us)[:1]
        if refused:
            return Decision(len(self), 0, [], refused, {**counts, refused[0].reason: 1})
        return Decision(len(self), 1, [self._ranked(candidate.node_uuid)], [], counts)

    def _fitting(self, want: Want, counts: Counter[Reason]) -> set[str] | None:
        """The open nodes that offer everything, `None` for all of them; the others are counted by what they lack first."""
        fits: set[str] | None = None
        left = len(self._open)
        for reason, fits in self._narrowed(want):
            now_left = len(self._open) if fits is None else len(fits)
            counts[reason] += left - now_left
            left = now_left
        return fits

    def _narrowed(self, want: Want) -> Iterator[tuple[Reason, set[str] | None]]:
        """What is left after each thing that is asked for, in the order of the policy's reasons."""
        fits: set[str] | None = None
        for reason, alternatives in _asked(want):
            fits = self._narrow(fits, alternatives)
            yield reason, fits
        for reason, room, need in zip(_ROOM, self._rooms, (want.cpu_cores, want.memory_mb), strict=True):
            if short := bisect_left(room, (need, "")):
                fits = _without(self._ids if fits is None else fits, room, short)
                yield reason, fits

    def _narrow(self, fits: set[str] | None, alternatives: Iterable[Feature]) -> set[str] | None:
        offering = [found for feature in alternatives if (found := self._offering.get(feature))]
        if sum(map(len, offering)) == len(self._open):  # alternatives exclude each other: every open node offers one
            return fits
        if fits is not None:
            return set[str]().union(*(fits & found for found in offering))
        return offering[0] if len(offering) == 1 else set[str]().union(*offering)

    def _best(self, fits: set[str] | None, most: int) -> list[str]:
        if fits is None:
            return [uuid for _, uuid in self._open[:most]]
        if len(fits) <= _FEW:
            return [uuid for _, uuid in nsmallest(most, (self._entries[uuid].key for uuid in fits))]
        return list(islice((uuid for _, uuid in self._open if uuid in fits), most))

    def _first_refused(self, want: Want, fits: set[str] | None, now_us: int) -> list[Refused]:
        """Those that would rank highest if they offered what is asked for, then closed ones by id."""
        lacking: list[str] = []
        if fits is not None and len(fits) < len(self._open):
            lacking = list(islice((uuid for _, uuid in self._open if uuid not in fits), LISTED))
        first = [*lacking, *self._closed[: LISTED - len(lacking)]]
        return [self.policy.refusals(self._entries[uuid].candidate, want, now_us=now_us)[0] for uuid in first]

    def _ranked(self, uuid: str) -> Ranked:
        entry = self._entries[uuid]
        return Ranked(entry.candidate, -entry.key[0])

    def _take_out(self, old: Entry, new: Entry | None) -> None:
        uuid, after = old.candidate.node_uuid, _if_open(new)
        self._slots -= _slots(old)
        if old.closed is not None:
            self._closed_for[old.closed] -= 1
            if new is None or after:
                del self._closed[bisect_left(self._closed, uuid)]
            return
        if after is None:
            self._ids.discard(uuid)
        if after is None or after.key != old.key:
            del self._open[bisect_left(self._open, old.key)]
        if (was := _free(old)) != _free(after):
            for room, free in zip(self._rooms, was, strict=True):
                del room[bisect_left(room, (free, uuid))]
        if after is None or after.candidate.offer is not old.candidate.offer:
            for feature in _features(old.candidate.offer):
                self._offering[feature].discard(uuid)
                if not self._offering[feature]:
                    del self._offering[feature]

    def _put_in(self, new: Entry, old: Entry | None) -> None:
        uuid, before = new.candidate.node_uuid, _if_open(old)
        self._slots += _slots(new)
        if new.closed is not None:
            self._closed_for[new.closed] += 1
            if old is None or before:
                insort(self._closed, uuid)
            return
        self._ids.add(uuid)
        if before is None or new.key != before.key:
            insort(self._open, new.key)
        if (now := _free(new)) != _free(before):
            for room, free in zip(self._rooms, now, strict=True):
                insort(room, (free, uuid))
        if before is None or new.candidate.offer is not before.candidate.offer:
            for feature in _features(new.candidate.offer):
                self._offering.setdefault(feature, set()).add(uuid)

    def _await(self, entry: Entry, now_us: int) -> None:
        turns = self.policy.turns_at_us(entry.candidate, now_us=now_us)
        if turns is not None and (entry.due_us is None or turns < entry.due_us):
            entry.due_us = turns
            heappush(self._due, (turns, entry.candidate.node_uuid))


def _slots(entry: Entry) -> int:
    return slots_of(entry.candidate) if entry.closed in (None, Reason.FULL) else 0


def _if_open(entry: Entry | None) -> Entry | None:
    return entry if entry and entry.closed is None else None


def _free(entry: Entry | None) -> tuple[float, float]:
    return (entry.candidate.free_cpu, entry.candidate.free_memory_mb) if entry else (-1.0, -1.0)


def _without(fits: set[str], room: list[Key], short: int) -> set[str]:
    """Those of `fits` that are not among the first `short` of `room`, by way of the fewer."""
    if 2 * short < len(room):
        return fits.difference(map(_UUID, room[:short]))
    return fits.intersection(map(_UUID, room[short:]))


def _asked(want: Want) -> Iterable[tuple[Reason, tuple[Feature, ...]]]:
    for name, value in want.labels.items():
        yield Reason.LABEL, (("label", name, value),)
    if want.runtime:
        yield Reason.RUNTIME, (("runtime", want.runtime), ("any runtime",))
    for capability in want.capabilities:
        yield Reason.CAPABILITY, (("capability", capability), ("any capability",))


def _features(offer: Offer) -> set[Feature]:
    runtimes, capabilities = offer.runtimes, offer.capabilities
    return {
        *(("label", name, value) for name, value in offer.labels.items()),
        *((("any runtime",),) if runtimes is None else (("runtime", word) for word in runtimes)),
        *((("any capability",),) if capabilities is None else (("capability", word) for word in capabilities)),
    }
