"""One node without its doors: a real log, views and services, and guests that do what the test says."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import gevent
from gevent.event import AsyncResult, Event

from spear.adapters.hub import HubBell
from spear.adapters.storage.blobs import MemoryBlobStore
from spear.adapters.storage.logs import FileLogStore
from spear.adapters.system import SystemIds
from spear.adapters.threads import native_threads
from spear.errors import Unavailable
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.ports import End, Limits, Outcome
from spear.projections.executions import execution_counts, list_executions
from spear.projections.fleet import Fleet
from spear.projections.views import open_views, reader_of
from spear.reactors.dispatcher import Dispatcher, Forwarder
from spear.scheduling.placement import LeastUsed
from spear.services.calls import Call, Mode
from spear.services.content import Contents
from spear.services.endings import Endings
from spear.services.executions import Executions
from spear.services.forwards import Forwards
from spear.services.guides import FleetGuide
from spear.services.instances import Instances
from spear.services.journeys import Bounds
from spear.services.nodes import Nodes, OwnNode
from spear.services.passes import Passes
from spear.services.placements import Placements
from spear.services.runs import Runs, Settings
from spear.services.tasks import Tasks
from spear.services.unit import Unit
from tests.crash._support import LOG, VIEWS, SteadyClock

ORIGIN = Origin("test")
WASM = {"type": "wasm", "uri": "https://test/agent", "name": "", "checksum_sha256": "", "args": [], "env": {}}
DONE = Outcome(End.COMPLETED, output=b"done", exit_code=0)
OPEN = Event()
OPEN.set()


class FickleLog(EventLog):
    """A log whose disk is full while the test says so."""

    full = False
    commits = 0

    def commit(self, events, origin):
        """Record, or refuse as a full disk does."""
        if self.full:
            raise Unavailable("the disk is full")
        self.commits += bool(events)
        return super().commit(events, origin)


class FickleViews:
    """Views that cannot follow the log while the test says so."""

    def __init__(self, views):
        self._views, self.stuck = views, False

    @property
    def behind(self):
        """As of the real ones."""
        return self._views.behind

    def fold(self, facts):
        """Fold, or refuse after the events were recorded."""
        if self.stuck:
            raise Unavailable("recorded, but the views cannot follow")
        self._views.fold(facts)

    def write(self):
        """Write, or refuse."""
        if self.stuck:
            raise Unavailable("the views cannot follow")
        self._views.write()


class Guest:
    """One run; it ends when the test says so or when it is stopped."""

    def __init__(self):
        self._outcome = AsyncResult()
        self.stops = []

    def end(self, outcome=DONE):
        if not self._outcome.ready():
            self._outcome.set(outcome)

    def result(self):
        return self._outcome.get()

    def wait(self, timeout_s):
        return self._outcome.wait(timeout_s) is not None

    def stop(self, reason):
        self.stops.append(reason)
        self.end(Outcome(End.CANCELLED, error=f"terminated: {reason}", reason="terminated"))


class Guests:
    """A runtime, and where its executables come from; `gate` holds up who prepares, `refusals` are raised."""

    def __init__(self):
        self.gate, self.preparing, self.prepared, self.open, self.started = OPEN, Event(), 0, 0, 0
        self.running: dict[str, Guest] = {}
        self.cannot_prepare = self.cannot_start = None
        self.at_once, self.outcome, self.on_start = False, DONE, lambda spec: None

    def fetch(self, uri, *, checksum_sha256=""):
        return b"agent", "0" * 64

    def prepare(self, artifact):
        self.preparing.set()
        assert self.gate.wait(10)
        self.prepared += 1
        if self.cannot_prepare:
            raise self.cannot_prepare
        self.open += 1
        return Sandbox(self)

    def close(self):
        pass


class Sandbox:
    """A prepared guest."""

    sha256 = "0" * 64

    def __init__(self, guests):
        self._guests = guests
        self.closed = False

    def start(self, spec, logs):
        if self._guests.cannot_start:
            raise self._guests.cannot_start
        self._guests.started += 1
        guest = self._guests.running[spec.execution_id] = Guest()
        self._guests.on_start(spec)
        if self._guests.at_once:
            guest.end(self._guests.outcome)
        return guest

    def close(self):
        self._guests.open -= not self.closed
        self.closed = True


class Node:
    """The services, and short ways to ask them."""

    def __init__(self, folder: Path, log, views, reader, fleet, bell, *, blobs, clock, own, elsewhere, **limits):
        self.log, self.views, self.reader, self.fleet, self.blobs, self.clock = log, views, reader, fleet, blobs, clock
        self.unit, self.guests, ids = Unit(log), Guests(), SystemIds()
        self.nodes, self.passes = Nodes(self.unit, reader, ids=ids), Passes(b"secret", clock)
        self.placements = Placements(self.unit, fleet, ids=ids, clock=clock, node=own)
        self.tasks, self.contents = Tasks(self.unit, reader, ids=ids), Contents(blobs)
        self.instances = Instances(
            self.unit,
            reader,
            runtimes={"wasm": self.guests},
            artifacts=self.guests,
            ids=ids,
            clock=clock,
            bell=bell,
            node=own,
        )
        self.endings = Endings(self.unit, self.contents)
        settings = {"max_concurrent": 4, "max_concurrent_per_task": 4, "queue_limit": 8} | limits
        self.runs = Runs(
            self.unit, instances=self.instances, endings=self.endings, clock=clock, bell=bell, node=own,
            logs=FileLogStore(folder / "logs", clock=clock, bell=bell), settings=Settings(Limits(), **settings),
        )  # fmt: skip
        self.greenlets: list[gevent.Greenlet] = []
        self.forwards = elsewhere and Forwards(
            self.unit, guide=FleetGuide(self.placements, self.nodes, self.passes), nodes=elsewhere, endings=self.endings, bell=bell,
            bounds=Bounds(8, 8, Limits(wall_ms=200), grace_s=0.2, first_pause_s=0.001), spawn=self.spawn,
        )  # fmt: skip
        self.executions = Executions(
            self.unit, reader, runs=self.runs, tasks=self.tasks, contents=self.contents, placements=self.placements,
            ids=ids, spawn=self.spawn, forwards=self.forwards,
        )  # fmt: skip
        self.dispatcher = Dispatcher(reader, self.executions)
        self.forwarder = Forwarder(reader, self.executions, own)

    def spawn(self, main, *args, **kwargs):
        """A greenlet that the test waits for before it ends."""
        self.greenlets.append(gevent.spawn(main, *args, **kwargs))
        return self.greenlets[-1]

    def task(self, *, priority="normal", node_uuid="", capabilities=(), endpoint="", **config):
        """A registered task."""
        task_id, _ = self.tasks.register(
            ORIGIN, name="t", endpoint=endpoint, version="1", description="", priority=priority, node_uuid=node_uuid,
            capabilities=list(capabilities), metadata={}, config=config, executable=dict(WASM),
        )  # fmt: skip
        return self.tasks.get(task_id)

    def join(self, **metadata):
        """The id of a node that registered and reported that it is idle."""
        uuid, _ = self.nodes.register(ORIGIN, ip_address="10.0.0.1", port=1, http_port=2, metadata=metadata)
        self.nodes.report_resources(ORIGIN, uuid, numbers={}, resource_metadata={})
        return uuid

    def ask(self, task, mode=Mode.SYNC, **call):
        """A call in a greenlet of its own."""
        return self.spawn(self.executions.request, ORIGIN, task, Call(mode=mode, **call))

    def begin(self, task, mode=Mode.SYNC, **call):
        """A call whose guest runs: the caller's greenlet, the execution's id and the guest."""
        before = set(self.guests.running)
        caller = self.ask(task, mode, **call)
        until(lambda: set(self.guests.running) - before)
        [execution_id] = set(self.guests.running) - before
        return caller, execution_id, self.guests.running[execution_id]

    def names(self, ident):
        """The names of the events of one stream."""
        return [fact.name for fact in self.log.stream(ident)]

    def recorded(self):
        """How many events of each name there are."""
        return Counter(fact.name for fact in self.log.recorder.query("ORDER BY position"))

    def since(self, name):
        """The first event of this name, and all that were recorded after it."""
        facts = self.log.recorder.query("ORDER BY position")
        return facts[next(at for at, fact in enumerate(facts) if fact.name == name) :]

    def counts(self):
        """How many executions have each status, without the statuses that none has."""
        return {status: count for status, count in execution_counts(self.reader).items() if count}

    def the_one(self, status):
        """The id of the only execution that has this status."""
        [row] = list_executions(self.reader, status=status).rows
        return row.execution_id

    def at_rest(self):
        """Whether every place and lease was given back."""
        users = sum(live.users for live in self.instances._live.values())
        return (self.runs.running, self.runs.waiting, len(self.runs._works), users) == (0, 0, 0, 0)


def until(condition, *, within_s=10.0):
    """Let others run until the condition holds."""
    deadline = time.monotonic() + within_s  # not the loop's clock, which stands still while a test computes
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        gevent.sleep(0.001)


def joined(greenlets, *, raise_error=False):
    """Wait until all ended."""
    until(lambda: all(greenlet.ready() for greenlet in greenlets))
    gevent.joinall(greenlets, raise_error=raise_error)


@contextmanager
def node(folder: Path, *, blobs=None, own="node-1", elsewhere=None, **limits) -> Iterator[Node]:
    """Open one; opened again on the same folder it is the next process. `elsewhere` are the other nodes that it reaches."""
    gevent.get_hub().loop.update_now()  # its clock stood still since a test last yielded
    clock, blobs = SteadyClock(), MemoryBlobStore() if blobs is None else blobs
    with HubBell() as bell, ExitStack() as stack:
        log = FickleLog(folder / LOG, clock=clock, bell=bell, threads=native_threads(2))
        stack.enter_context(closing(log))
        real = stack.enter_context(closing(open_views(folder / VIEWS, log)))
        views, reader = FickleViews(real), stack.enter_context(closing(reader_of(real, log)))
        fleet = Fleet(reader, LeastUsed(90), now_us=clock.now_us())
        fleet.follow(real)
        log.start(views)
        stack.callback(log.close)
        opened = Node(
            folder,
            log,
            views,
            reader,
            fleet,
            bell,
            blobs=blobs,
            clock=clock,
            own=OwnNode(own),
            elsewhere=elsewhere,
            **limits,
        )
        stack.callback(lambda: gevent.killall(opened.greenlets))
        yield opened
