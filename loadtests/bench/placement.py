"""One placement decision over 10,000 nodes, and the heartbeats of as many, durable, folded and seen by placement."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from statistics import median, quantiles
from time import perf_counter

from gevent import monkey

monkey.patch_all()

import gevent

from loadtests.bench._common import disk, show_at_least, show_at_most, show_fact
from spear.adapters.hub import HubBell
from spear.adapters.system import SystemClock, SystemIds
from spear.adapters.threads import native_threads
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.projections.fleet import Fleet
from spear.projections.reader import Reader
from spear.projections.views import open_views
from spear.scheduling.placement import LeastUsed, Want
from spear.services.nodes import Nodes
from spear.services.unit import Unit

NODES = 10_000
INTERVAL_S = 30
CALLERS = 64
SECONDS = 10
ORIGIN = Origin("bench")
CHANCE = Random(1)
WANTS = {
    "any node will do": Want(runtime="wasm"),
    "one label that half of them have": Want(labels={"zone": "z0"}),
    "two labels and a capability that few have": Want(labels={"zone": "z0", "rack": "r7"}, capabilities=("gpu",)),
    "a label that one has": Want(labels={"name": "node-4711"}),
    "two labels that exclude each other": Want(labels={"zone": "z0", "odd": "yes"}),
}


def main() -> None:
    """Print one line for each kind of decision, one for heartbeats, one for decisions while all nodes beat."""
    with disk("placement") as folder, fleet(folder) as (nodes, seen, clock):
        uuids = _spread(CALLERS, lambda number: _join(nodes, number), NODES)
        seen.catch_up(clock.now_us())
        for title, want in WANTS.items():
            _show_decisions(title, _decide(seen, clock, want, turns=2000))
        began = perf_counter()
        _spread(CALLERS, lambda number: _beat(nodes, uuids[number % NODES]), NODES * 2)
        rate = NODES * 2 / (perf_counter() - began)
        show_at_least("heartbeats, durable and folded", rate, NODES / INTERVAL_S, "/s", durable=True)
        _show_decisions(f"while {NODES:,} nodes beat every {INTERVAL_S} s", _under_load(nodes, seen, clock, uuids))


@contextmanager
def fleet(folder: Path) -> Iterator[tuple[Nodes, Fleet, SystemClock]]:
    """A log with its views and the fleet that follows them, as a server has them."""
    clock = SystemClock()
    with HubBell() as bell, ExitStack() as stack:
        log = stack.enter_context(
            closing(EventLog(folder / "log.db", clock=clock, bell=bell, threads=native_threads(2)))
        )
        views = stack.enter_context(closing(open_views(folder / "views.db", log)))
        reader = stack.enter_context(closing(Reader(views.path)))
        seen = Fleet(reader, LeastUsed(90), now_us=clock.now_us())
        seen.follow(views)
        log.start(views)
        stack.callback(log.close)
        yield Nodes(Unit(log), reader, ids=SystemIds()), seen, clock


def _join(nodes: Nodes, number: int) -> str:
    metadata = {"name": f"node-{number}", "zone": f"z{number % 2}", "rack": f"r{number % 40}", "runtimes": "wasm"}
    metadata |= {"odd": "yes"} if number % 2 else {}
    metadata |= {"capabilities": "gpu" if number % 10 == 0 else "", "slots": "8"}
    uuid, _ = nodes.register(ORIGIN, ip_address="10.0.0.1", port=50052, http_port=8081, metadata=metadata)
    numbers = {"cpu_usage_percent": CHANCE.uniform(0, 100), "memory_usage_percent": CHANCE.uniform(0, 100)}
    nodes.report_resources(ORIGIN, uuid, numbers=numbers, resource_metadata={})
    return uuid


def _beat(nodes: Nodes, uuid: str) -> None:
    nodes.heartbeat(ORIGIN, uuid, {"cpu_usage": f"{CHANCE.randrange(100)}%", "memory_usage": "40%"})


def _spread(callers: int, work: Callable[[int], str | None], count: int) -> list[str]:
    """What `work` says to each of `count` numbers, many of them asked at the same time."""
    found = [""] * count
    numbers = iter(range(count))

    def main() -> None:
        for number in numbers:
            found[number] = work(number) or ""

    gevent.joinall([gevent.spawn(main) for _ in range(callers)], raise_error=True)
    return found


def _decide(seen: Fleet, clock: SystemClock, want: Want, *, turns: int) -> list[float]:
    taken = []
    for _ in range(turns):
        began = perf_counter()
        seen.decide(want, now_us=clock.now_us(), most=3)
        taken.append(perf_counter() - began)
    return taken


def _under_load(nodes: Nodes, seen: Fleet, clock: SystemClock, uuids: list[str]) -> list[float]:
    """Decisions every few milliseconds, while beats come as often as so many nodes send them."""
    began, every_s = perf_counter(), INTERVAL_S / NODES
    ended = began + SECONDS

    def beating() -> None:
        for number in range(int(SECONDS / every_s)):
            gevent.sleep(max(began + number * every_s - perf_counter(), 0))
            gevent.spawn(_beat, nodes, uuids[number % NODES])

    def catching_up() -> None:
        while perf_counter() < ended:
            seen.catch_up(clock.now_us())
            gevent.sleep(0.1)

    loops, taken = [gevent.spawn(beating), gevent.spawn(catching_up)], []
    while perf_counter() < ended:
        gevent.sleep(0.05)
        taken += _decide(seen, clock, Want(runtime="wasm", labels={"zone": "z0"}), turns=1)
    gevent.joinall(loops, raise_error=True)
    return taken


def _show_decisions(title: str, taken: list[float]) -> None:
    show_at_most(f"decision over {NODES:,} nodes, {title}", median(taken) * 1e3, 1.0, "ms")
    show_fact("99 of 100 of them within", f"{quantiles(taken, n=100)[98] * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
