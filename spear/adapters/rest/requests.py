"""What every request has: who asks, a correlation id, a body of bounded size, a version of the world to look at."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import getrandbits
from typing import Any

import msgspec
from flask import g, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wsgi import get_content_length, get_input_stream

from spear.errors import Invalid, Malformed, TooLarge
from spear.events.record import Committed, Origin
from spear.projections.reader import Reader
from spear.services.platform import Platform
from spear.services.tokens import ANYBODY, Caller

Environ = dict[str, Any]
CALLER = "spear.caller"
MAX_JSON_BYTES = 2 * 1024 * 1024
_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def correlation(environ: Environ) -> str:
    """The caller's X-Request-Id if it is a plain word, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _CORRELATION.fullmatch(given) else f"{getrandbits(128):032x}"


def caller() -> Caller:
    """Who asks; anybody where no door was passed."""
    found: Caller = request.environ.get(CALLER, ANYBODY)
    return found


def origin() -> Origin:
    """Who acts in this request."""
    return Origin(caller().actor("rest"), g.correlation)


def wrote(committed: Committed) -> None:
    """Tell the caller at which position its write is, in `X-Position`."""
    if committed.last:
        g.position = committed.last


def reader(platform: Platform) -> Reader:
    """The views that this request looks at: live, or as of `?as_of=` (a position or an RFC 3339 time)."""
    wanted = request.args.get("as_of", "")
    if not wanted:
        return platform.reader
    position = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else _at(platform, wanted)
    found = platform.timeline.at(position)
    g.as_of = position
    return found


def _at(platform: Platform, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid.field("as_of", text, "a position or an RFC 3339 time such as 2026-01-31T12:00:00Z")
    return platform.log.position_at((moment - _EPOCH) // timedelta(microseconds=1))


def read_body(environ: Environ, limit: int) -> bytes:
    """The whole request body; raises `TooLarge` over `limit` bytes, before reading it when its length is told."""
    told = get_content_length(environ)
    if not told and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    try:
        data = b"" if told is not None and told > limit else get_input_stream(environ).read(limit + 1)
    except OSError as error:
        raise Malformed(f"body: cannot be read: {error}") from None
    if (told or 0) > limit or len(data) > limit:
        raise TooLarge(f"the body is larger than the limit of {limit} bytes", details={"limit": limit})
    return data


def read_json() -> object:
    """The JSON in the body, {} when there is no body; raises `Malformed`, `TooLarge` or an HTTP 415."""
    data = read_body(request.environ, MAX_JSON_BYTES)
    if not data:
        return {}
    if not request.is_json:
        raise UnsupportedMediaType(f"Content-Type: got {request.mimetype!r}, expected application/json")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"body: {error}; {len(data)} bytes were read, expected one JSON object") from None
    except RecursionError:
        raise Malformed("body: the JSON is nested too deeply") from None


def query_values() -> Mapping[str, str]:
    """The query string's fields; of one that is given twice, the first counts."""
    return request.args
