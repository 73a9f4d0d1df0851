"""A schedule of faults, all of it from one number, and who brings it upon a fleet."""

import heapq
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.chaos._fleet import NODES, Fleet

_PROCESSES = ("sms", *NODES)
_WIRES = (
    "clients > sms",
    *(wire for name in NODES for wire in (f"{name} > sms", f"{name} > files", f"others > {name}")),
)
_DEEDS = ("cut", "stall", "slow", "tear")
_WIRES_A_ROUND = 6


@dataclass(frozen=True, order=True)
class Fault:
    """Something that happens `at_s` seconds after the beginning and is mended `for_s` later.

    `left` are the bytes after which a wire tears; `rash` that a process may be met before it served anybody.
    """

    at_s: float
    deed: str
    whom: str
    for_s: float
    left: int
    rash: bool

    def __str__(self) -> str:
        return f"{self.at_s:7.2f} s {self.deed} {self.whom}, {self.for_s:.2f} s"


def schedule(seed: int, seconds: float) -> list[Fault]:
    """Faults for so many seconds: in each round every process is killed, one is frozen, and some wires are spoiled."""
    random, at_s, faults = Random(seed), 0.3, list[Fault]()
    while at_s < seconds:
        for deed, whom in _round(random):
            for_s = random.uniform(0.1, 2.0) * random.choice((1, 1, 1, 2))
            faults.append(
                Fault(round(at_s, 2), deed, whom, round(for_s, 2), random.randrange(4000), random.random() < 0.2)
            )
            at_s += random.uniform(0.1, 1.1)
    return [fault for fault in faults if fault.at_s < seconds]


def _round(random: Random) -> list[tuple[str, str]]:
    deeds = [("kill", whom) for whom in _PROCESSES] + [("freeze", random.choice(_PROCESSES))]
    deeds += [(random.choice(_DEEDS), random.choice(_WIRES)) for _ in range(_WIRES_A_ROUND)]
    random.shuffle(deeds)
    return deeds


def bring(faults: list[Fault], fleet: Fleet) -> Counter[str]:
    """Let them happen; returns when all is well again, with how often each deed was done."""
    began, done = time.monotonic(), Counter[str]()
    for at_s, fault, mends in _in_time(faults):
        time.sleep(max(began + at_s - time.monotonic(), 0))
        if mends:
            _mend(fleet, fault)
        elif fault.rash or fault.whom in fleet.wires or fleet.kept[fault.whom].served:
            _do(fleet, fault)
            done[fault.deed] += 1
    for wire in fleet.wires.values():
        wire.become("")
    for kept in fleet.kept.values():
        kept.mend()
    return done


def _in_time(faults: list[Fault]) -> Iterator[tuple[float, Fault, bool]]:
    moments = [(fault.at_s, False, fault) for fault in faults] + [(f.at_s + f.for_s, True, f) for f in faults]
    heapq.heapify(moments)
    while moments:
        at_s, mends, fault = heapq.heappop(moments)
        yield at_s, fault, mends


def _do(fleet: Fleet, fault: Fault) -> None:
    if fault.deed in _DEEDS:
        fleet.wires[fault.whom].become(fault.deed, left=fault.left)
    elif fault.deed == "kill":
        fleet.kept[fault.whom].kill()
    else:
        fleet.kept[fault.whom].freeze()


def _mend(fleet: Fleet, fault: Fault) -> None:
    if fault.deed in _DEEDS:
        fleet.wires[fault.whom].become("")
    else:
        fleet.kept[fault.whom].mend()
