"""Instances: prepared sandboxes of tasks on this node, made once and reused until idle."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from spear.domain.execution import Start
from spear.domain.instance import Instance as InstanceAggregate
from spear.domain.task import ExecutableType, Task
from spear.errors import InvalidConfiguration, NotFound, SpearError
from spear.events.record import Origin
from spear.ports import Artifact, Artifacts, Bell, Clock, Ids, Instance, Runtime, Ticket
from spear.projections.instances import lives_elsewhere
from spear.projections.reader import Reader
from spear.projections.tasks import TaskRow
from spear.services.nodes import OwnNode
from spear.services.unit import Unit, retrying


@dataclass(eq=False)
class Live:
    """One instance of this process: the sandbox, and how many runs use it."""

    instance_id: str
    task_id: str
    sandbox: Instance
    users: int = 0
    idle_since_us: int = 0
    closing: bool = False


@dataclass(frozen=True)
class Lease:
    """The right to start one run on a live instance; `start` says whether it was made for it."""

    live: Live
    start: Start


class Instances:
    """The sandboxes of this node."""

    def __init__(
        self,
        unit: Unit,
        reader: Reader,
        *,
        runtimes: Mapping[str, Runtime],
        artifacts: Artifacts,
        ids: Ids,
        clock: Clock,
        bell: Bell,
        node: OwnNode,
    ) -> None:
        self._unit, self._reader, self._runtimes, self._artifacts = unit, reader, runtimes, artifacts
        self._ids, self._clock, self._bell = ids, clock, bell
        self._node = node
        self._live: dict[str, Live] = {}
        self._changing: dict[str, list[Ticket]] = {}

    @property
    def kinds(self) -> list[str]:
        """The types of executables that run here."""
        return list(self._runtimes)

    def acquire(self, origin: Origin, task: TaskRow) -> Lease:
        """An instance of the task, made now if there is none; raises `InvalidConfiguration`. Must be released."""
        self._wait_for_change(task.task_id)
        return self.warm(task.task_id) or self._make(origin, task)

    def _wait_for_change(self, task_id: str) -> None:
        while task_id in self._changing:
            ticket = self._bell.ticket()
            self._changing[task_id].append(ticket)
            ticket.wait()

    @contextmanager
    def _change(self, task_id: str) -> Iterator[None]:
        self._changing[task_id] = []
        try:
            yield
        finally:
            self._bell.ring(self._changing.pop(task_id))

    def warm(self, task_id: str) -> Lease | None:
        """An instance of the task if one is ready now. Must be released."""
        live = self._live.get(task_id)
        if live is None:
            return None
        live.users += 1
        return Lease(live, Start.WARM)

    def _make(self, origin: Origin, task: TaskRow) -> Lease:
        with self._change(task.task_id):
            sandbox = self._prepare(task)
            try:
                instance_id = self._record_start(origin, task, sandbox.sha256)
            except BaseException:  # a killed caller too leaves no sandbox behind; it goes on up
                sandbox.close()
                raise
            live = Live(instance_id, task.task_id, sandbox, users=1)
            self._live[task.task_id] = live
            return Lease(live, Start.COLD)

    def _record_start(self, origin: Origin, task: TaskRow, sha256: str) -> str:
        instance_id = self._ids.new()

        def attempt() -> None:
            owner = self._unit.get(Task, task.task_id)
            owner.activate("instance started")
            instance = InstanceAggregate(
                id=instance_id, task_id=task.task_id, node_uuid=self._node.uuid,
                runtime=task.executable_type, sha256=sha256,
            )  # fmt: skip
            self._unit.save(origin, instance, owner)

        retrying(attempt)
        return str(instance_id)

    def _prepare(self, task: TaskRow) -> Instance:
        runtime = self._runtimes.get(task.executable_type)
        if task.executable_type == ExecutableType.NONE:
            raise InvalidConfiguration(f"task {task.task_id} has no executable; there is nothing to run")
        if runtime is None:
            known = ", ".join(sorted(self._runtimes)) or "none at all"
            raise InvalidConfiguration(f"this node cannot run {task.executable_type!r} executables; it runs {known}")
        sha256 = task.executable_checksum
        fetch = partial(self._artifacts.fetch, task.executable_uri, checksum_sha256=sha256)
        named = Artifact(
            fetch, task.executable_uri, task.executable_name, task.config, task.executable_type, sha256=sha256
        )
        return runtime.prepare(named)

    def release(self, lease: Lease) -> None:
        """A run ended, or did not start."""
        lease.live.users -= 1
        lease.live.idle_since_us = self._clock.now_us()
        if lease.live.closing and not lease.live.users:
            lease.live.sandbox.close()

    def idle(self, *, before_us: int) -> list[str]:
        """Tasks whose instance has had no run since then."""
        return [t for t, live in self._live.items() if not live.users and live.idle_since_us < before_us]

    def has(self, instance_id: str) -> bool:
        """Whether this process has the instance."""
        return any(live.instance_id == instance_id for live in self._live.values())

    def stop(self, origin: Origin, task_id: str, reason: str) -> bool:
        """Take the task's instance out of use and record it; runs on it go on. False when there is none.

        When it cannot be recorded, the instance stays in use.
        """
        self._wait_for_change(task_id)
        live = self._live.pop(task_id, None)
        if live is None:
            return False
        with self._change(task_id):
            try:
                self.record_stop(origin, live.instance_id, task_id, reason)
            except BaseException:  # what was not recorded did not happen; it goes on up
                self._live[task_id] = live
                raise
        live.closing = True
        if not live.users:
            live.sandbox.close()
        return True

    def record_stop(self, origin: Origin, instance_id: str, task_id: str, reason: str) -> None:
        """Record that an instance is gone, and with it its task's activity unless another node has one."""

        def attempt() -> None:
            instance = self._unit.get(InstanceAggregate, instance_id)
            instance.stop(reason)
            changed: list[InstanceAggregate | Task] = [instance]
            try:
                task = self._unit.get(Task, task_id)
                if not lives_elsewhere(self._reader, task_id, but=instance.node_uuid):
                    task.deactivate("no instances")
                    changed.append(task)
            except NotFound:
                pass
            self._unit.save(origin, *changed)

        retrying(attempt)

    def stop_all(self, origin: Origin, reason: str) -> list[SpearError]:
        """Stop every instance; returns what could not be recorded."""
        failures = []
        for task_id in list(self._live):
            try:
                self.stop(origin, task_id, reason)
            except SpearError as error:
                failures.append(error)
        return failures
