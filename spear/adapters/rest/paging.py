"""Which part of a list, and of which version of the world: the same query fields on every route."""

from marshmallow import fields

from spear.adapters.rest.schemas import Taken, matching, whole

_CURSOR_MOST = 2**62
_OFFSET_MOST = 2**31 - 1
_AS_OF = {
    "description": "A position or an RFC 3339 time to look back at; X-As-Of says which position answered.",
    "pattern": r"^([0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+)?$",
}
_TOKEN = "the next_page_token of the page before"


class AsOf(Taken):
    """Every read of the past takes this."""

    as_of = fields.String(metadata=_AS_OF)


class Paged(AsOf):
    """Bounded pages: `after` is the cursor that the page before returned as `next_after`."""

    limit = whole(1, 1000, strict=False, load_default=100)
    after = whole(0, _CURSOR_MOST, strict=False, load_default=0)


class OffsetPaged(Paged):
    """The same, for clients that count rows."""

    offset = whole(0, _OFFSET_MOST, strict=False, load_default=0)


class TokenPaged(AsOf):
    """The same, for clients that hand back a text: "" is the first page, and the last one's `next_page_token`."""

    limit = whole(1, 1000, strict=False, load_default=50)
    page_token = matching(r"[0-9]{0,18}", _TOKEN, load_default="")


def cursor(token: str) -> int:
    """The position that a page token stands for."""
    return int(token or 0)


def token(cursor: int) -> str:
    """The page token that stands for a position."""
    return str(cursor or "")
