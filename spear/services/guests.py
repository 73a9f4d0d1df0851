"""The object store as guests may use it: each run under its own name, and only where its task may."""

import io

from spear.abilities import ObjectStat
from spear.domain.object import RESULTS_BUCKET
from spear.errors import Forbidden, NotFound
from spear.events.record import Origin
from spear.ports import RunSpec
from spear.projections.objects import ObjectRow
from spear.services.content import Contents
from spear.services.objects import ALWAYS, Condition, Objects, split_name

GUESTS_BUCKET = "tasks"
READ, WRITE = "objects.read", "objects.write"  # the config keys of what else a task may use
EVERYTHING = "*"
OCTETS = "application/octet-stream"


def own_prefix(task_id: str) -> str:
    """Where the runs of a task may read and write without asking anybody."""
    return f"{GUESTS_BUCKET}/{task_id}/"


class GuestObjects:
    """The objects of this process; what another one has is read there, and written here."""

    def __init__(self, objects: Objects, contents: Contents) -> None:
        self._objects, self._contents = objects, contents

    def stat(self, by: RunSpec, name: str) -> ObjectStat:
        """What is known of the object; raises `Forbidden`, `NotFound`, `Unavailable`."""
        name = _allowed(by, name, READ, WRITE)
        row = self._objects.look(name)
        if row is not None:
            return ObjectStat(row.size, row.version, row.sha256, row.content_type)
        if (far := self._objects.elsewhere(name)) is None:
            raise NotFound.noun("object", name)
        return ObjectStat(far.size, 0, far.sha256, far.content_type)

    def read(self, by: RunSpec, name: str, *, first: int, size: int) -> bytes:
        """At most `size` bytes from byte `first` on; none beyond the end."""
        name = _allowed(by, name, READ, WRITE)
        row = self._objects.look(name)
        return self._read_far(name, first, size) if row is None else self._read_own(row, first, size)

    def _read_own(self, row: ObjectRow, first: int, size: int) -> bytes:
        with self._contents.open(self._objects.content(row)) as reader:
            reader.seek(min(first, row.size))
            return reader.read(size)

    def _read_far(self, name: str, first: int, size: int) -> bytes:
        if (far := self._objects.elsewhere(name)) is None:
            raise NotFound.noun("object", name)
        if first >= far.size:
            return b""
        with far.open_at(first) as reader:
            return reader.read(size)

    def write(self, by: RunSpec, name: str, data: bytes, *, version: int | None) -> int:
        """Write a new version and tell its number; raises `PreconditionFailed` unless the one there is `version` (0: none)."""
        name, source = _allowed(by, name, WRITE), io.BytesIO(data)
        condition = _condition(version)
        written, _ = self._objects.put(origin_of(by), name, source, content_type=OCTETS, condition=condition)
        return written.version

    def delete(self, by: RunSpec, name: str, *, version: int | None) -> None:
        """Remove the object; raises `NotFound`, `PreconditionFailed`, and `Refused` for one that is pinned."""
        self._objects.delete(origin_of(by), _allowed(by, name, WRITE), condition=_condition(version))


def origin_of(by: RunSpec) -> Origin:
    """Whose word it is what a run does."""
    return Origin(f"execution:{by.execution_id}", by.correlation)


def _condition(version: int | None) -> Condition:
    if version is None:
        return ALWAYS
    return Condition(version=version) if version else Condition(absent=True)


def _allowed(by: RunSpec, name: str, *keys: str) -> str:
    """The whole name, which the task may use by one of these config keys; raises `Invalid`, `Forbidden`."""
    bucket, key = split_name(name)
    whole = f"{bucket}/{key}"
    listed = [prefix.strip() for config_key in keys for prefix in by.config.get(config_key, "").split(",")]
    prefixes = (own_prefix(by.task_id), *filter(None, listed))
    is_theirs = bucket == RESULTS_BUCKET and WRITE in keys and READ not in keys  # outputs are written by the platform
    if is_theirs or not any(prefix == EVERYTHING or whole.startswith(prefix) for prefix in prefixes):
        raise Forbidden(f"object {whole}: task {by.task_id} may not use it; its config may allow it by {keys[0]}")
    return whole
