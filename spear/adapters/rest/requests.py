"""What every request has: who asks, a correlation id, a version of the world to look at, bounded paging."""

import re
from datetime import datetime, timedelta
from uuid import uuid4

from flask import g, request
from marshmallow import Schema, ValidationError, fields, validate

from spear.errors import Invalid
from spear.events.record import Committed, Origin
from spear.projections.reader import Reader
from spear.services.platform import Platform

_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CURSOR_MOST = 2**62
_ANY = 2**31 - 1


def correlation() -> str:
    """The caller's X-Request-Id if it is a plain word, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _CORRELATION.fullmatch(given) else uuid4().hex


def origin() -> Origin:
    """Who acts in this request."""
    return Origin("rest", g.correlation)


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
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return platform.log.position_at((moment - epoch) // timedelta(microseconds=1))


class AsOf(Schema):
    """Every read of the past takes this."""

    as_of = fields.String(metadata={"description": "position or RFC 3339 time to look back at"})


class Paged(AsOf):
    """Bounded pages: `after` is the cursor that the page before returned as `next_after`."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1000))
    after = fields.Integer(load_default=0, validate=validate.Range(0, _CURSOR_MOST))


class OffsetPaged(Paged):
    """The same, for clients that count rows."""

    offset = fields.Integer(load_default=0, validate=validate.Range(0, _ANY))


class Text(fields.String):
    """Printable text of bounded length without control characters that could not be stored or shown."""

    def __init__(self, most: int = 1024, **kwargs: object) -> None:
        super().__init__(validate=[validate.Length(max=most), no_controls], **kwargs)  # type: ignore[arg-type]


def no_controls(value: str) -> None:
    """Refuse NUL and lone surrogates, which neither UTF-8 nor environments can hold."""
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValidationError("expected text without NUL or lone surrogates")


def text_map(most: int = 64) -> fields.Dict:
    """A map of text to text with a bounded number of entries."""
    return fields.Dict(keys=Text(256), values=Text(8192), validate=validate.Length(max=most))


class ErrorBody(Schema):
    """The one shape of every error."""

    error = fields.String(required=True)
    message = fields.String(required=True)
    details = fields.Dict(required=True)
