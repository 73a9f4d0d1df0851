"""Raw bytes over HTTP: bodies streamed in; content streamed out, whole or in part."""

import io
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from errno import ECONNRESET
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast
from urllib.parse import quote, unquote_to_bytes

from flask import Response, g, request
from werkzeug.http import dump_options_header

from spear.adapters.rest.requests import Environ
from spear.adapters.rest.schemas import AT_THE_DOOR, Resource, errors
from spear.errors import Invalid, Malformed, SpearError, TooLarge, UnsatisfiableRange
from spear.services.content import Content, Contents

log = logging.getLogger(__name__)
V = TypeVar("V", bound=Callable[..., Any])
OCTETS = "application/octet-stream"
META = "X-Object-Meta-"
_FORM = "application/x-www-form-urlencoded"  # what curl says of any -d; it is never what somebody means
_LONGEST_TYPE = 256
_SLICE = 64 * 1024
_ANY = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


class _Body(io.RawIOBase):
    """The request's body; what cannot be read is the caller's mistake."""

    def read(self, size: int = -1, /) -> bytes:
        try:
            return request.stream.read(size)
        except OSError as error:
            raise Malformed(f"the body cannot be read: {error.args[0]}") from None


def body(limit: int) -> BinaryIO:
    """The body as a stream; raises `TooLarge` before reading any of it when its length is told and over `limit` bytes."""
    told = request.content_length or 0
    if told > limit:
        raise TooLarge(f"the body has {told} bytes, the limit is {limit} bytes", details={"limit": limit})
    return cast(BinaryIO, _Body())


def content_type(environ: Environ) -> str:
    """What the caller says that the body is; raises `Invalid` for what no header could repeat."""
    given: str = environ.get("CONTENT_TYPE") or OCTETS
    if len(given) > _LONGEST_TYPE or not given.isprintable():
        raise Invalid.field("Content-Type", given, f"at most {_LONGEST_TYPE} printable characters")
    return OCTETS if given.startswith(_FORM) else given


def header_text(value: str) -> str:
    """A header's text: UTF-8 as it is, percent-encoded, or as RFC 2047 has it."""
    text = _utf8(value.encode("latin-1")) or value
    if "=?" in text:
        return _rfc_2047(text)
    return (_utf8(unquote_to_bytes(text)) or text) if "%" in text else text


def plain_text(value: str) -> str:
    """A header's text as one of our own servers wrote it: UTF-8 as it is; "" for what none of ours writes."""
    text = _utf8(value.encode("latin-1"))
    return text if text.isprintable() else ""


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def _rfc_2047(text: str) -> str:
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def attachment(name: str) -> str:
    """A Content-Disposition that saves and never shows; the name in ASCII and, as RFC 5987 has it, in full."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    full = {} if plain == name else {"filename*": f"UTF-8''{quote(name, safe='')}"}
    return dump_options_header("attachment", {"filename": plain, **full})


class Source(NamedTuple):
    """What to answer with: its size, and how to read it from a byte on."""

    size: int
    open_at: Callable[[int], AbstractContextManager[BinaryIO]]


def kept(contents: Contents, content: Content) -> Source:
    """Content of this process's own, checked against its hash before the first byte leaves."""

    @contextmanager
    def open_at(first: int) -> Iterator[BinaryIO]:
        with contents.open(content, live="as_of" not in g) as reader:
            reader.seek(first)
            yield reader

    return Source(content.size, open_at)


def digest(sha256: str) -> dict[str, str]:
    """The header that tells the hash of the whole, whatever part of it is answered (RFC 9530)."""
    return {"Repr-Digest": f"sha-256=:{b64encode(bytes.fromhex(sha256)).decode()}:"}


def answer(source: Source, *, etag: str, content_type: str, extra: Mapping[str, str]) -> Response:
    """The content or the one range that was asked for."""
    headers = {**extra, "ETag": f'"{etag}"', "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    if request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    asked = _range(source.size, etag) if request.method == "GET" else None
    first, end = asked or (0, source.size)
    if asked:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{source.size}"
    pieces = iter(()) if request.method == "HEAD" else _pieces(source, first, end)
    response = Response(pieces, status=206 if asked else 200, headers=headers, content_type=content_type)
    response.content_length = end - first
    return response


def _range(size: int, etag: str) -> tuple[int, int] | None:
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or not _still(etag):
        return None
    first, end = asked.ranges[0]
    first, end = max(size + first, 0) if first < 0 else first, min(size if end is None else end, size)
    if first >= end:
        text = f"Range: got {request.headers['Range'][:120]!r}, expected a part of {size} bytes"
        raise UnsatisfiableRange(text, details={"size": size})
    return first, end


def _still(etag: str) -> bool:
    return "If-Range" not in request.headers or request.if_range.etag == etag


def _pieces(source: Source, first: int, end: int) -> Iterator[bytes]:
    with ExitStack() as stack:
        reader = stack.enter_context(source.open_at(first))
        return _Pieces(reader, end - first, stack.pop_all())


class _Pieces(Iterator[bytes]):
    """The next `left` bytes of a reader, in slices; closing it closes the reader."""

    def __init__(self, reader: BinaryIO, left: int, opened: ExitStack) -> None:
        self._reader, self._left, self._opened = reader, left, opened

    def __next__(self) -> bytes:
        try:
            piece = self._reader.read(min(_SLICE, self._left))
        except SpearError as error:  # the head of the answer is gone, so it can only be cut off
            log.warning("an answer is cut off: %s", error.message)
            raise ConnectionResetError(ECONNRESET, error.message) from None
        if not piece:
            raise StopIteration
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Give the reader back; werkzeug calls it, also when the client went away."""
        self._opened.close()


def takes_bytes(api: Resource) -> Callable[[V], V]:
    """Document a body of any type that is streamed in."""
    documented: Callable[[V], V] = api.doc(
        requestBody={"required": False, "content": _ANY}, responses=errors(400, 413, 422, 503)
    )
    return documented


def answers_bytes(api: Resource, *, refuses: tuple[int, ...] = ()) -> Callable[[V], V]:
    """Document an answer that is the content itself."""
    good = {200: {"description": "The content", "content": _ANY}}
    documented: Callable[[V], V] = api.doc(responses={**good, **errors(*AT_THE_DOOR, 404, *refuses)})
    return documented


def answers_parts(api: Resource) -> Callable[[V], V]:
    """Document an answer that `answer` makes: the content, a part of it, or that it is unchanged."""
    part = {"description": "The range that was asked for", "content": _ANY}
    unchanged = {"description": "Unchanged since the ETag that was sent"}
    whole = answers_bytes(api, refuses=(416, 422, 500, 503))
    also = api.doc(responses={206: part, 304: unchanged})
    return lambda view: whole(also(view))
