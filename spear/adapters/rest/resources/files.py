"""Uploaded files: raw bytes in, the same bytes out; executables are fetched from here."""

import re
from typing import Any

from flask import Response, g, request
from marshmallow import fields
from werkzeug.exceptions import UnsupportedMediaType

from spear.adapters.rest import content
from spear.adapters.rest.paging import AsOf, OffsetPaged
from spear.adapters.rest.requests import origin, reader, wrote
from spear.adapters.rest.schemas import Resource, Taken, Text, answer
from spear.errors import Invalid
from spear.projections import objects as views
from spear.projections.objects import FileRow
from spear.services.platform import Platform

NAME_HEADER = "x-file-name"
_NAMELESS = "blob"
_LONGEST_NAME = 255
_S = 1_000_000


class FileQuery(OffsetPaged):
    """Which files, newest first: `q` is a part of the name or the id, whatever its case."""

    q = Text(256, load_default="")


class Wish(Taken):
    """What somebody wants to upload; one address takes everything."""


Uploaded = answer("Uploaded", success=bool, id=str, name=str, uri=str, size=int, sha256=str, content_type=str)
Listed = answer("File", id=str, name=str, len=int, modified_at=int, content_type=str, sha256=str, uri=str)
FileList = answer("FileList", files=[Listed], total_count=int, next_after=int)
Meta = answer("FileMeta", found=bool, id=str, name=str, len=int, content_type=str, sha256=str, created_at=int)
Removed = answer("FileRemoved", success=fields.Boolean(required=True))
Presigned = answer("Presigned", upload_url=str, method=str, expires_in=int)


def uri(row: FileRow) -> str:
    """How a task names this file as its executable."""
    return f"sms+file://{row.id}"


def _uploaded(row: FileRow) -> dict[str, Any]:
    return {
        "success": True,
        "id": row.id,
        "name": row.name,
        "uri": uri(row),
        "size": row.size,
        "sha256": row.sha256,
        "content_type": row.content_type,
    }


def _listed(row: FileRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "len": row.size,
        "modified_at": row.created_at_us // _S,
        "content_type": row.content_type,
        "sha256": row.sha256,
        "uri": uri(row),
    }


def _meta(row: FileRow) -> dict[str, Any]:
    return {
        "found": True,
        "id": row.id,
        "name": row.name,
        "len": row.size,
        "content_type": row.content_type,
        "sha256": row.sha256,
        "created_at": row.created_at_us // _S,
    }


def _name() -> str:
    given = content.header_text(request.headers.get(NAME_HEADER, ""))
    name = re.split(r"[/\\]", given)[-1].strip()
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid.field(NAME_HEADER, given, f"a file name of at most {_LONGEST_NAME} printable characters")
    return _NAMELESS if name in ("", ".", "..") else name


def _no_form() -> None:
    if request.mimetype == "multipart/form-data":
        raise UnsupportedMediaType("Content-Type: got a form, expected the file itself: curl --data-binary @file")


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/files."""
    api = Resource("files", __name__, url_prefix="/api/v1/files", description="Uploaded files")
    service, limit = platform.files, platform.config.max_upload_bytes

    @api.post("")
    @content.takes_bytes(api)
    @api.answers(Uploaded, refuses=(415,))
    def upload() -> Any:
        """Upload a file: the raw body is its content."""
        _no_form()
        row = service.upload(
            origin(), content.body(limit), name=_name(), content_type=content.content_type(request.environ)
        )
        g.position = row.seq
        return _uploaded(row)

    @api.get("")
    @api.query(FileQuery)
    @api.answers(FileList)
    def list_files(query: dict[str, Any]) -> Any:
        """Uploaded files, newest first."""
        seen = reader(platform)
        query.pop("as_of", None)
        page = views.list_files(seen, **query)
        files = [_listed(row) for row in page.rows]
        return {"files": files, "total_count": page.total, "next_after": page.next_after}

    @api.get("/<file_id>")
    @api.query(AsOf)
    @content.answers_parts(api)
    def download(query: dict[str, Any], file_id: str) -> Response:
        """A file's content, whole or a range of it."""
        row = service.get(file_id, reader=reader(platform))
        saved = {"Content-Disposition": content.attachment(row.name)}
        found, kind = content.kept(platform.contents, service.content(row)), row.content_type
        return content.answer(found, etag=row.sha256, content_type=kind, extra=saved)

    @api.delete("/<file_id>")
    @api.answers(Removed, refuses=(404, 503))
    def delete(file_id: str) -> Any:
        """Delete a file."""
        wrote(service.delete(origin(), file_id, "deleted by request"))
        return {"success": True}

    @api.get("/<file_id>/meta")
    @api.query(AsOf)
    @api.answers(Meta, refuses=(404,))
    def meta(query: dict[str, Any], file_id: str) -> Any:
        """What is known of a file."""
        return _meta(service.get(file_id, reader=reader(platform)))

    @api.post("/presign-upload")
    @api.body(Wish, required=False)
    @api.answers(Presigned)
    def presign(body: dict[str, Any]) -> Any:
        """Where to upload a file, for clients that ask first."""
        return {"upload_url": "/api/v1/files", "method": "POST", "expires_in": 900}

    return api
