"""Objects: named content with references and a pin.

A name is the one that REST has: `bucket/key`, or a bare key of bucket `default`. A prefix without a slash looks in `default`.
"""

import io
import re
from typing import Any

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import number, seconds, text, text_map
from spear.adapters.rpc.generated.spearlet import object_pb2 as pb
from spear.domain.object import DEFAULT_BUCKET
from spear.errands import FarObject
from spear.errors import Invalid, NotFound, PreconditionFailed, Refused, SpearError, TooLarge
from spear.projections.holdings import HoldingRow, list_known
from spear.projections.objects import ObjectRow
from spear.services.endings import OUTPUT_CONTENT_TYPE
from spear.services.objects import ALWAYS, Condition
from spear.services.platform import Platform

_MOST = 1000
_PAGE_BYTES = 4 * 1024 * 1024
_COUNT_MOST = 1_000_000
_VERSION_MOST = 2**62
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SAID = {
    NotFound: "Object not found",
    PreconditionFailed: "Object already exists and overwrite is false",
}
_CODES = {"OBJECT_PINNED": "Cannot delete pinned object without force flag"}
IN_BAND = (NotFound, Refused, TooLarge)


def _said(error: NotFound | Refused | TooLarge) -> str:
    return _CODES.get(error.code) or _SAID.get(type(error)) or error.message


def _refuse_unexpected(expected: Condition, error: SpearError) -> None:
    """Raise the error, which is ABORTED, for a caller who said what must be there: it is none that goes into an answer."""
    if expected != ALWAYS and isinstance(error, PreconditionFailed):
        raise error


def _shown(row: ObjectRow | HoldingRow) -> str:
    return row.key if row.bucket == DEFAULT_BUCKET and "/" not in row.key else row.name


def _described(row: ObjectRow) -> dict[str, Any]:
    return {
        "key": _shown(row),
        "size": row.size,
        "created_at": seconds(row.created_at_us),
        "updated_at": seconds(row.updated_at_us),
        "ref_count": row.refs,
        "pinned": row.pinned,
        "metadata": row.metadata,
        "version": row.version,
        "sha256": row.sha256,
    }


def _expectation(request: Message) -> Condition:
    """What the caller expects to be there: a version or content, or nothing in particular."""
    sha256 = request.if_sha256.lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Invalid.field("if_sha256", request.if_sha256, "64 hex digits, or nothing")
    return Condition(version=number("if_version", request.if_version, 0, _VERSION_MOST) or None, sha256=sha256)


def _that_fit(rows: list[ObjectRow | HoldingRow], next_after: str) -> tuple[list[ObjectRow | HoldingRow], str]:
    """The first rows, at least one, whose values fit into one page, and the cursor after them."""
    total = 0
    for count, row in enumerate(rows):
        total += row.size if isinstance(row, ObjectRow) else 0
        if count and total > _PAGE_BYTES:
            return rows[:count], rows[count - 1].name
    return rows, next_after


def _full(prefix: str) -> str:
    return f"{DEFAULT_BUCKET}/{prefix}" if prefix and "/" not in prefix else prefix


class ObjectService:
    """`spearlet.ObjectService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ObjectService"]

    def __init__(self, platform: Platform) -> None:
        self._objects, self._contents, self._reader = platform.objects, platform.contents, platform.reader

    def put_object(self, request: Message, asked: Asked) -> Message:
        """Write an object; without overwrite or an expectation only where there is none."""
        if not request.key:
            return pb.PutObjectResponse(success=False, message="Object key cannot be empty")
        expected = _expectation(request)
        unasked = ALWAYS if request.overwrite else Condition(absent=True)
        try:
            self._objects.put(
                asked.origin,
                request.key,
                io.BytesIO(request.value),
                content_type=OUTPUT_CONTENT_TYPE,
                condition=unasked if expected == ALWAYS else expected,
                metadata=text_map("metadata", request.metadata),
            )
        except IN_BAND as error:
            _refuse_unexpected(expected, error)
            return pb.PutObjectResponse(success=False, message=_said(error))
        meta = pb.ObjectMeta(**_described(self._objects.get(request.key)))
        return pb.PutObjectResponse(success=True, message="Object stored successfully", object_meta=meta)

    def get_object(self, request: Message, asked: Asked) -> Message:
        """An object, with its value if that is asked for."""
        try:
            row = self._objects.look(request.key)
            far = None if row else self._objects.elsewhere(request.key)
            if far:
                found = self._far_message(request.key, far, request.include_value)
            else:
                found = self._message(row or self._objects.get(request.key), request.include_value)
        except (NotFound, TooLarge) as error:
            return pb.GetObjectResponse(found=False, message=_said(error))
        return pb.GetObjectResponse(found=True, object=found, message="Object retrieved successfully")

    def _far_message(self, key: str, far: FarObject, with_value: bool) -> Message:
        """An object of another process, which alone knows its times and references."""
        value = self._objects.read(key, far) if with_value else b""
        return pb.Object(key=key, value=value, size=far.size, metadata=far.metadata, sha256=far.sha256)

    def _message(self, row: ObjectRow, with_value: bool) -> Message:
        value = self._contents.read(self._objects.content(row)) if with_value else b""
        return pb.Object(value=value, **_described(row))

    def list_objects(self, request: Message, asked: Asked) -> Message:
        """Objects by name, a node's without its value; `start_after` is the `next_start_after` of the page before."""
        limit = min(request.limit, _MOST) if request.limit > 0 else _MOST
        prefix, after = _full(text("prefix", request.prefix)), text("start_after", request.start_after)
        rows, next_after = list_known(self._reader, prefix=prefix, after=after, limit=limit)
        if request.include_values:
            rows, next_after = _that_fit(rows, next_after)
        objects = [self._listed(row, request.include_values) for row in rows]
        return pb.ListObjectsResponse(objects=objects, has_more=bool(next_after), next_start_after=next_after)

    def _listed(self, row: ObjectRow | HoldingRow, with_value: bool) -> Message:
        if isinstance(row, ObjectRow):
            return self._message(row, with_value)
        written_at = seconds(row.reported_at_us)
        known: dict[str, Any] = {
            "size": row.size,
            "metadata": row.metadata,
            "version": row.version,
            "sha256": row.sha256,
        }
        return pb.Object(key=_shown(row), updated_at=written_at, node_uuid=row.node_uuid, **known)

    def add_object_ref(self, request: Message, asked: Asked) -> Message:
        """Count more references; a count of 0 or less is one."""
        try:
            written = self._objects.add_ref(asked.origin, request.key, _count(request))
        except IN_BAND as error:
            return pb.AddObjectRefResponse(success=False, message=_said(error))
        text = "Reference count added successfully"
        return pb.AddObjectRefResponse(success=True, message=text, new_ref_count=written.refs)

    def remove_object_ref(self, request: Message, asked: Asked) -> Message:
        """Count fewer references; an unpinned object without any is deleted."""
        try:
            written = self._objects.remove_ref(asked.origin, request.key, _count(request))
        except IN_BAND as error:
            return pb.RemoveObjectRefResponse(success=False, message=_said(error))
        text = "Reference count removed successfully" if written.present else "Object deleted due to zero references"
        return pb.RemoveObjectRefResponse(
            success=True, message=text, new_ref_count=written.refs, deleted=not written.present
        )

    def pin_object(self, request: Message, asked: Asked) -> Message:
        """Keep an object whatever its references."""
        try:
            self._objects.pin(asked.origin, request.key)
        except IN_BAND as error:
            return pb.PinObjectResponse(success=False, message=_said(error))
        return pb.PinObjectResponse(success=True, message="Object pinned successfully")

    def unpin_object(self, request: Message, asked: Asked) -> Message:
        """Let an object go when nothing refers to it."""
        try:
            if not self._objects.get(request.key).pinned:
                return pb.UnpinObjectResponse(success=False, message="Object is not pinned")
            self._objects.unpin(asked.origin, request.key)
        except IN_BAND as error:
            return pb.UnpinObjectResponse(success=False, message=_said(error))
        return pb.UnpinObjectResponse(success=True, message="Object unpinned successfully")

    def delete_object(self, request: Message, asked: Asked) -> Message:
        """Delete an object; a pinned one only with force."""
        expected = _expectation(request)
        try:
            self._objects.delete(asked.origin, request.key, force=request.force, condition=expected)
        except IN_BAND as error:
            _refuse_unexpected(expected, error)
            return pb.DeleteObjectResponse(success=False, message=_said(error))
        return pb.DeleteObjectResponse(success=True, message="Object deleted successfully", deleted=True)


def _count(request: Message) -> int:
    count: int = number("count", max(request.count, 1), 1, _COUNT_MOST)
    return count
