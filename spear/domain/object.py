"""A named, versioned piece of content with references and a pin."""

import re
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, named, topic
from spear.errors import Invalid, NotFound, PreconditionFailed, Refused

DEFAULT_BUCKET, RESULTS_BUCKET = "default", "results"
_RESULT = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}")


def result_key(task_id: str, execution_id: str) -> str:
    """The key, in the bucket of results, of what an execution put out."""
    return f"{task_id}/{execution_id}"


def is_result(bucket: str, key: str) -> bool:
    """Whether an object of this name is the output of an execution."""
    return bucket == RESULTS_BUCKET and _RESULT.fullmatch(key) is not None


@topic("object")
class Object(Aggregate):
    """The content behind one bucket and key; the stream outlives deletion, so versions are never reused."""

    class ObjectPut(Aggregate.Event):
        bucket: str
        key: str
        object_version: int
        sha256: str
        size: int
        inline: str
        content_type: str
        metadata: dict[str, str]

    class ObjectRefAdded(Aggregate.Event):
        count: int

    class ObjectRefRemoved(Aggregate.Event):
        count: int

    class ObjectPinned(Aggregate.Event):
        pass

    class ObjectUnpinned(Aggregate.Event):
        pass

    class ObjectDeleted(Aggregate.Event):
        reason: str

    def begin(self) -> None:
        """Nothing was ever put here."""
        self.present = False
        self.object_version = 0
        self.sha256 = ""
        self.refs = 0
        self.pinned = False

    @staticmethod
    def ident(bucket: str, key: str) -> UUID:
        """The id of the object of this name."""
        return named("object", f"{bucket}/{key}")

    def put(
        self,
        bucket: str,
        key: str,
        *,
        sha256: str,
        size: int,
        inline: str = "",
        content_type: str = "application/octet-stream",
        metadata: dict[str, str] | None = None,
        if_version: int | None = None,
        if_absent: bool = False,
    ) -> None:
        """Write a new version; one reference is held from the first version on."""
        if if_absent and self.present:
            raise PreconditionFailed(
                f"object {bucket}/{key} exists with version {self.object_version}; If-None-Match: * wanted none",
                details={"version": self.object_version},
            )
        self._check_version(if_version)
        self._put(bucket, key, self.object_version + 1, sha256, size, inline, content_type, metadata or {})

    def add_ref(self, count: int = 1) -> None:
        """Hold the object `count` times more."""
        self._check_present()
        self._ref_added(_positive(count))

    def remove_ref(self, count: int = 1) -> None:
        """Let go `count` times; at zero an unpinned object is deleted."""
        self._check_present()
        if _positive(count) > self.refs:
            raise Refused(f"count: got {count}, but the object has only {self.refs} references")
        self._ref_removed(count)
        self._reclaim()

    def pin(self) -> None:
        """Keep the object whatever its references say."""
        self._check_present()
        if not self.pinned:
            self._pinned()

    def unpin(self) -> None:
        """Let references decide again; an object without any is deleted."""
        self._check_present()
        if self.pinned:
            self._unpinned()
            self._reclaim()

    def delete(self, reason: str, *, force: bool = False, if_version: int | None = None) -> None:
        """Remove the object; a pinned one only by force."""
        self._check_present()
        self._check_version(if_version)
        if self.pinned and not force:
            raise Refused("the object is pinned; unpin it or pass force=true", code="OBJECT_PINNED")
        self._deleted(reason)

    def _reclaim(self) -> None:
        if self.refs == 0 and not self.pinned:
            self._deleted("no references left")

    def _check_present(self) -> None:
        if not self.present:
            raise NotFound.noun("object", self.id)

    def _check_version(self, wanted: int | None) -> None:
        current = self.object_version if self.present else 0
        if wanted is not None and wanted != current:
            raise PreconditionFailed(
                f"the object's version is {current}, not {wanted}; read it again", details={"version": current}
            )

    @event(ObjectPut)
    def _put(
        self,
        bucket: str,
        key: str,
        object_version: int,
        sha256: str,
        size: int,
        inline: str,
        content_type: str,
        metadata: dict[str, str],
    ) -> None:
        if not self.present:
            self.refs, self.pinned = 1, False
        self.present = True
        self.object_version = object_version
        self.sha256 = sha256

    @event(ObjectRefAdded)
    def _ref_added(self, count: int) -> None:
        self.refs += count

    @event(ObjectRefRemoved)
    def _ref_removed(self, count: int) -> None:
        self.refs -= count

    @event(ObjectPinned)
    def _pinned(self) -> None:
        self.pinned = True

    @event(ObjectUnpinned)
    def _unpinned(self) -> None:
        self.pinned = False

    @event(ObjectDeleted)
    def _deleted(self, reason: str) -> None:
        self.present = False
        self.refs, self.pinned = 0, False


def _positive(count: int) -> int:
    if count < 1:
        raise Invalid.field("count", count, "a whole number of at least 1")
    return count
