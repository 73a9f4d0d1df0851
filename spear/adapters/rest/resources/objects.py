"""Objects: named, versioned content with references and a pin.

A key may hold slashes, and `/refs` or `/pin` at the end of a path means the references or the pin of what stands before it
wherever such a route exists: on POST and DELETE. An object whose own key ends so is read and written as any other, and it is
deleted by letting go of its references, `DELETE <key>/refs`.
"""

import re
from typing import Any

from flask import Response, g, request
from marshmallow import fields

from spear.adapters.rest import content
from spear.adapters.rest.paging import AsOf
from spear.adapters.rest.requests import origin, reader, wrote
from spear.adapters.rest.schemas import TEXTS, Resource, Taken, Text, answer, saying, whole
from spear.errands import FarObject
from spear.errors import Invalid, NotFound
from spear.projections.holdings import HoldingRow, list_known
from spear.projections.objects import ObjectRow, list_objects
from spear.services.objects import Condition, Written
from spear.services.platform import Platform

_META_MOST = 4096
_VERSION, _SHA256 = re.compile(r"[0-9]{1,18}"), re.compile(r"[0-9a-fA-F]{64}")
_COUNT_MOST = 1_000_000


class Which(AsOf):
    """Whose objects: with `here` none but this process's own."""

    here = fields.Boolean(load_default=False, error_messages=saying("true or false"))


class ObjectQuery(Which):
    """Which objects, by name: `after` is the `next_after` of the page before."""

    prefix = Text(1024, load_default="")
    after = Text(1024, load_default="")
    limit = whole(1, 1000, strict=False, load_default=100)


class Count(Taken):
    """How many references; one if left out."""

    count = whole(1, _COUNT_MOST, load_default=1)


class Force(Taken):
    """Whether a pinned object goes too."""

    force = fields.Boolean(load_default=False, error_messages=saying("true or false"))


Put = answer("ObjectWritten", key=str, version=int, size=int, sha256=str, position=int)
Held = answer(
    "ObjectHeld", success=bool, key=str, version=int, new_ref_count=int, pinned=bool, deleted=bool, position=int
)
Listed = answer(
    "Object", key=str, bucket=str, version=int, size=int, sha256=str, content_type=str, metadata=TEXTS,
    refs=int | None, pinned=bool | None, created_at_ms=int | None, updated_at_ms=int, node_uuid=str,
)  # fmt: skip
ObjectList = answer("ObjectList", objects=[Listed], next_after=str)


def object_json(row: ObjectRow) -> dict[str, Any]:
    """An object as the API shows it; `key` is its full name, times in milliseconds."""
    return {
        **_content_json(row),
        "refs": row.refs,
        "pinned": row.pinned,
        "created_at_ms": row.created_at_us // 1000,
        "updated_at_ms": row.updated_at_us // 1000,
        "node_uuid": "",
    }


def _held_json(row: HoldingRow) -> dict[str, Any]:
    """An object of a node, which alone knows its references."""
    return {
        **_content_json(row),
        "refs": None,
        "pinned": None,
        "created_at_ms": None,
        "updated_at_ms": row.reported_at_us // 1000,
        "node_uuid": row.node_uuid,
    }


def _content_json(row: ObjectRow | HoldingRow) -> dict[str, Any]:
    return {
        "key": row.name,
        "bucket": row.bucket,
        "version": row.version,
        "size": row.size,
        "sha256": row.sha256,
        "content_type": row.content_type,
        "metadata": row.metadata,
    }


def _held(written: Written) -> Any:
    wrote(written.committed)
    shown = {
        "success": True,
        "key": written.name,
        "version": written.version,
        "new_ref_count": written.refs,
        "pinned": written.pinned,
        "deleted": not written.present,
        "position": written.committed.last,
    }
    return shown, 200, _tagged(written.version)


def _tagged(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def _condition() -> Condition:
    match, none = (request.headers.get(name, "").strip() for name in ("If-Match", "If-None-Match"))
    if none not in ("", "*"):
        raise Invalid.field("If-None-Match", none, "*")
    if match in ("", "*") and (match or "If-Match" not in request.headers):
        return Condition(absent=none == "*", present=match == "*")
    wanted = match[1:-1] if match[:1] == match[-1:] == '"' else match
    if _SHA256.fullmatch(wanted):
        return Condition(sha256=wanted.lower(), absent=none == "*")
    if not _VERSION.fullmatch(wanted):
        raise Invalid.field("If-Match", match, 'one version such as "3", one SHA-256 of 64 hex digits, or *')
    return Condition(version=int(wanted), absent=none == "*")


def _metadata() -> dict[str, str]:
    mine = [
        (name.removeprefix(content.META).lower(), value)
        for name, value in request.headers
        if name.startswith(content.META)
    ]
    found = {name: content.header_text(value) for name, value in mine}
    text = "".join(f"{name}{value}" for name, value in found.items())
    if len(text) > _META_MOST or not text.isprintable():
        raise Invalid.field(f"{content.META}*", text, f"at most {_META_MOST} printable characters in all")
    return found


def _headers(key: str, found: ObjectRow | FarObject) -> dict[str, str]:
    kept = {f"{content.META}{name.title()}": value.encode().decode("latin-1") for name, value in found.metadata.items()}
    saved = {"Content-Disposition": content.attachment(key.rstrip("/").rpartition("/")[2])}
    return {**kept, **saved, **content.digest(found.sha256)}


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/objects."""
    api = Resource("objects", __name__, url_prefix="/api/v1/objects", description="Stored content by name")
    _stored(api, platform)
    _counted(api, platform)
    return api


def _stored(api: Resource, platform: Platform) -> None:
    service, limit = platform.objects, platform.config.max_object_size

    @api.get("")
    @api.query(ObjectQuery)
    @api.answers(ObjectList)
    def listed(query: dict[str, Any]) -> Any:
        """Objects by key; with `node_uuid` those that a node has. Of its results the hash is not told here."""
        seen = reader(platform)
        query.pop("as_of", None)
        found: Any = list_objects if query.pop("here") else list_known
        rows, next_after = found(seen, **query)
        shown = [_held_json(row) if isinstance(row, HoldingRow) else object_json(row) for row in rows]
        return {"objects": shown, "next_after": next_after}

    @api.put("/<path:key>")
    @content.takes_bytes(api)
    @api.answers(Put, also=(201,), refuses=(412,))
    def put(key: str) -> Any:
        """Write an object; If-Match (a version or a SHA-256) and If-None-Match make it conditional."""
        written, kept = service.put(
            origin(),
            key,
            content.body(limit),
            content_type=content.content_type(request.environ),
            condition=_condition(),
            metadata=_metadata(),
        )
        wrote(written.committed)
        shown = {"key": written.name, "version": written.version, "size": kept.size, "sha256": kept.sha256}
        status = 201 if written.created else 200
        return {**shown, "position": written.committed.last}, status, _tagged(written.version)

    @api.get("/<path:key>")
    @api.query(Which)
    @content.answers_parts(api)
    def get(query: dict[str, Any], key: str) -> Response:
        """An object's content, whole or a range of it; of one that another process has, the ETag is its hash."""
        row = service.look(key, reader=reader(platform))
        found = row or (None if query["here"] or "as_of" in g else service.elsewhere(key))
        if found is None:
            raise NotFound.noun("object", key)
        if isinstance(found, FarObject):
            source, tag = content.Source(found.size, found.open_at), found.sha256
        else:
            source, tag = content.kept(platform.contents, service.content(found)), str(found.version)
        return content.answer(source, etag=tag, content_type=found.content_type, extra=_headers(key, found))

    @api.delete("/<path:key>")
    @api.query(Force)
    @api.answers(Held, refuses=(404, 409, 412, 503))
    def delete(query: dict[str, Any], key: str) -> Any:
        """Delete an object; a pinned one only with force, and one of a node only there."""
        return _held(service.delete(origin(), key, force=query["force"], condition=_condition()))


def _counted(api: Resource, platform: Platform) -> None:
    service = platform.objects

    @api.post("/<path:key>/refs")
    @api.body(Count, required=False)
    @api.answers(Held, refuses=(404, 409, 503))
    def add_refs(body: dict[str, Any], key: str) -> Any:
        """Count more references to an object."""
        return _held(service.add_ref(origin(), key, body["count"]))

    @api.delete("/<path:key>/refs")
    @api.body(Count, required=False)
    @api.answers(Held, refuses=(404, 409, 503))
    def remove_refs(body: dict[str, Any], key: str) -> Any:
        """Count fewer references; an unpinned object without any is deleted."""
        return _held(service.remove_ref(origin(), key, body["count"]))

    @api.post("/<path:key>/pin")
    @api.answers(Held, refuses=(404, 409, 422, 503))
    def pin(key: str) -> Any:
        """Keep an object whatever its references."""
        return _held(service.pin(origin(), key))

    @api.delete("/<path:key>/pin")
    @api.answers(Held, refuses=(404, 409, 422, 503))
    def unpin(key: str) -> Any:
        """Let an object go when nothing refers to it."""
        return _held(service.unpin(origin(), key))
