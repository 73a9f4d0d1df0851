"""Tasks: register, update, unregister, find by endpoint."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from spear.domain.task import Endpoint, Executable, ExecutableType, Task, TaskStatus
from spear.errors import AlreadyExists, Invalid, NotFound
from spear.events.record import Committed, Origin
from spear.ports import Ids, Limits, TaskSource
from spear.projections import tasks as views
from spear.projections.instances import lives_elsewhere
from spear.projections.reader import Reader
from spear.projections.tasks import TaskRow
from spear.protocols.image import image_of
from spear.services.unit import Unit, as_uuid, retrying

_REMEMBERED = 4096
_ENDPOINT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS = re.compile(r"(?i:sms\+file|smsfile|https|s3|minio)://.+", re.DOTALL)
_CEILINGS = {  # the config keys of a task's limits, with the most that each may ask for
    "limits.wall_ms": 3_600_000,
    "limits.memory_bytes": 4 * 1024**3,
    "limits.output_bytes": 64 * 1024**2,
    "limits.log_bytes": 64 * 1024**2,
    "limits.concurrency": 1024,
}
CPU_CORES, MEMORY_MB = "resources.cpu_cores", "resources.memory_mb"  # the config keys of what a task needs of a node
CONTAINER_NETWORK = "container.network"  # the config key that lets a task's containers use the engine's default network
_NEEDS = {
    CPU_CORES: (re.compile(r"(?=.*[1-9])[0-9]{1,4}(\.[0-9]{1,3})?"), "a number from 0.001 to 9999.999"),
    MEMORY_MB: (re.compile(r"[1-9][0-9]{0,7}"), "a whole number from 1 to 99999999"),
}
NOTHING_TO_RUN: Executable = {
    "type": ExecutableType.NONE.value,
    "uri": "",
    "name": "",
    "checksum_sha256": "",
    "args": [],
    "env": {},
}


def endpoint_name(endpoint: str) -> str:
    """The endpoint as it is stored and called: a name in lower case, a URL kept as it is, or "".

    Raises `Invalid` for anything else.
    """
    endpoint = endpoint.strip()
    if _ENDPOINT.fullmatch(endpoint):
        return endpoint.lower()
    if endpoint == "" or is_url(endpoint):
        return endpoint
    raise Invalid.field("endpoint", endpoint, "1 to 64 letters, digits, _ or -, an http(s) URL, or nothing")


def _check_executable(executable: Executable) -> None:
    if executable["type"] == ExecutableType.WASM and not _ADDRESS.fullmatch(executable["uri"]):
        expected = "an address such as sms+file://<id>, https://<host>/<path>, s3:// or minio://"
        raise Invalid.field("executable.uri", executable["uri"], expected)
    if executable["type"] == ExecutableType.CONTAINER:
        image_of(executable["uri"])


def is_url(endpoint: str) -> bool:
    """Whether the endpoint is somebody else's address and not a name under /e/."""
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and len(endpoint) <= 2048 and endpoint.isprintable()


class Tasks:
    """What can be asked about registered agents."""

    def __init__(self, unit: Unit, reader: Reader, *, ids: Ids, source: TaskSource | None = None) -> None:
        self._unit, self._reader, self._ids, self._source = unit, reader, ids, source
        self._at: dict[str, TaskRow] = {}
        self._at_position = 0

    def register(
        self,
        origin: Origin,
        *,
        name: str,
        endpoint: str,
        version: str,
        description: str,
        priority: str,
        node_uuid: str,
        capabilities: list[str],
        metadata: dict[str, str],
        config: dict[str, str],
        executable: Executable,
    ) -> tuple[str, Committed]:
        """Add a task; returns its id. Raises `AlreadyExists` when another task owns the endpoint, `Invalid`."""
        check_limits(config)
        _check_executable(executable)
        task_id, endpoint = self._ids.new(), endpoint_name(endpoint)

        def attempt() -> Committed:
            task = Task(
                id=task_id, name=name, description=description, priority=priority, node_uuid=node_uuid,
                endpoint=endpoint, version=version, capabilities=capabilities, metadata=metadata, config=config,
                executable=executable,
            )  # fmt: skip
            return self._unit.save(origin, task, *self._claim(endpoint, task_id))

        return str(task_id), retrying(attempt)

    def obtain(self, origin: Origin, task_id: str) -> TaskRow:
        """The task, taken over from the SMS if it is not known here; raises `NotFound`, `Unavailable`."""
        try:
            return self.get(task_id)
        except NotFound:
            described = self._source.task(str(as_uuid("task", task_id))) if self._source else None
            if described is None:
                raise
        return self._taken_over(origin, task_id, described)

    def obtain_at(self, origin: Origin, endpoint: str) -> TaskRow:
        """The task that owns the endpoint, taken over likewise; raises `NotFound`, `Unavailable`."""
        try:
            return self.at_endpoint(endpoint)
        except NotFound:
            found = self._source.task_at(endpoint) if self._source else None
            if found is None:
                raise
        return self._taken_over(origin, *found)

    def _taken_over(self, origin: Origin, task_id: str, described: dict[str, Any]) -> TaskRow:
        """As it is described there, also when it was dropped here; a name that another task has here stays with that one."""
        ident = as_uuid("task", task_id)

        def attempt() -> None:
            task = self._unit.load(Task, ident)
            if task is None:
                task = Task(id=ident, **described)
            else:
                task.register_again(**described)
            changed: list[Task | Endpoint] = [task]
            with suppress(AlreadyExists):
                changed += self._claim(task.endpoint, ident)
            self._unit.save(origin, *changed)

        retrying(attempt)
        return self.get(task_id)

    def refresh(self, origin: Origin, task_id: str) -> bool:
        """Let what the SMS says now of a task that was taken over take effect; False when it is not there any more."""
        described = self._source.task(task_id) if self._source else None
        if described is None:
            return False
        changing = {key: described[key] for key in ("description", "priority", "metadata", "config")}
        self.update(origin, task_id, **changing)
        return True

    def _claim(self, endpoint: str, task_id: UUID) -> list[Endpoint]:
        if not endpoint or is_url(endpoint):
            return []
        owner = self._unit.blank_or_loaded(Endpoint, Endpoint.ident(endpoint))
        owner.claim(endpoint, str(task_id))
        return [owner]

    def update(
        self,
        origin: Origin,
        task_id: str,
        *,
        description: str | None = None,
        priority: str | None = None,
        metadata: dict[str, str] | None = None,
        config: dict[str, str] | None = None,
    ) -> Committed:
        """Change what is given; raises `NotFound`."""
        check_limits(config or {})

        def attempt() -> Committed:
            task = self._unit.get(Task, task_id)
            task.update(description=description, priority=priority, metadata=metadata, config=config)
            return self._unit.save(origin, task)

        return retrying(attempt)

    def unregister(self, origin: Origin, task_id: str, reason: str) -> Committed:
        """Take the task away and free its endpoint; raises `NotFound`."""

        def attempt() -> Committed:
            task = self._unit.get(Task, task_id)
            task.unregister(reason)
            changed: list[Task | Endpoint] = [task]
            if task.endpoint and not is_url(task.endpoint):
                owner = self._unit.blank_or_loaded(Endpoint, Endpoint.ident(task.endpoint))
                owner.release(task.endpoint, str(task.id))
                changed.append(owner)
            return self._unit.save(origin, *changed)

        return retrying(attempt)

    def report_status(
        self, origin: Origin, task_id: str, status: TaskStatus, reason: str, *, node_uuid: str = ""
    ) -> Committed:
        """A node says that it has instances of the task (ACTIVE) or none any more; raises `NotFound`.

        While another node has some, the task stays active.
        """

        def attempt() -> Committed:
            task = self._unit.get(Task, task_id)
            if status is TaskStatus.ACTIVE or not lives_elsewhere(self._reader, str(task.id), but=node_uuid):
                task.report(status, reason)
            return self._unit.save(origin, task)

        return retrying(attempt)

    def get(self, task_id: str, *, reader: Reader | None = None) -> TaskRow:
        """The task; raises `NotFound`."""
        row = views.get_task(reader or self._reader, str(as_uuid("task", task_id)))
        if row is None:
            raise NotFound.noun("task", task_id)
        return row

    def at_endpoint(self, endpoint: str) -> TaskRow:
        """The task that owns the endpoint; raises `NotFound`."""
        changed = self._unit.log.changed(Task.TOPIC)  # first: what changes from here on shows at the next call
        if changed != self._at_position or len(self._at) > _REMEMBERED:
            self._at, self._at_position = {}, changed
        row = self._at.get(endpoint)
        if row is None:
            task_id = views.task_at_endpoint(self._reader, endpoint)
            if not task_id:
                raise NotFound.noun("endpoint", endpoint)
            row = self._at[endpoint] = self.get(task_id)
        return row


def check_limits(config: dict[str, str]) -> None:
    """Raise `Invalid` for a limit or a need that is no number within its bounds, and for what no container knows."""
    for key in config:
        if key.startswith("limits."):
            _limit(config, key)
        elif key.startswith("resources."):
            _check_need(config, key)
        elif key.startswith("container."):
            _check_container(config, key)


def _check_need(config: dict[str, str], key: str) -> None:
    form, expected = _NEEDS.get(key, (None, f"one of {', '.join(_NEEDS)}"))
    if form is None or not form.fullmatch(config[key]):
        raise Invalid.field(f"config.{key}", config[key], expected)


def _check_container(config: dict[str, str], key: str) -> None:
    if key != CONTAINER_NETWORK:
        raise Invalid.field(f"config.{key}", config[key], f"one of {CONTAINER_NETWORK}")
    if config[key] not in ("true", "false"):
        raise Invalid.field(f"config.{key}", config[key], "true or false")


def needs_of(config: dict[str, str]) -> tuple[float, float]:
    """How many CPU cores and MiB of memory a task needs of a node; 0 where it says nothing."""
    said = ((config.get(key, ""), form) for key, (form, _) in _NEEDS.items())
    cores, memory = (float(text) if form.fullmatch(text) else 0.0 for text, form in said)
    return cores, memory


def _limit(config: dict[str, str], key: str) -> int:
    ceiling = _CEILINGS.get(key)
    if ceiling is None:
        raise Invalid.field(f"config.{key}", config[key], f"one of {', '.join(_CEILINGS)}")
    text = config[key]
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= ceiling:
        raise Invalid.field(f"config.{key}", text, f"a whole number from 1 to {ceiling}")
    return int(text)


def limits_of(config: dict[str, str], defaults: Limits) -> Limits:
    """The limits of a task's runs: its own where it names them, else the node's."""

    def either(key: str, default: int) -> int:
        return _limit(config, key) if key in config else default

    return Limits(
        wall_ms=either("limits.wall_ms", defaults.wall_ms),
        memory_bytes=either("limits.memory_bytes", defaults.memory_bytes),
        output_bytes=either("limits.output_bytes", defaults.output_bytes),
        log_bytes=either("limits.log_bytes", defaults.log_bytes),
    )


def concurrency_of(config: dict[str, str], default: int) -> int:
    """How many runs of the task may go on at once."""
    return _limit(config, "limits.concurrency") if "limits.concurrency" in config else default
