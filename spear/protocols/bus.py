"""What the event bus says: a request to read, its answer, and a notice; each is a version frame and one msgpack map.

A request for stored content has a version frame of its own.

A notice is the map alone, so that a subscriber may keep only the last one.
"""

from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec

from spear.errors import Detail
from spear.protocols.cursor import LONGEST

F = TypeVar("F")
VERSION = b"SPEAR1"
CONTENT = b"SPEAR1-CONTENT"
MOST_FACTS = 512
MOST_REQUEST_BYTES = 32 * 1024
MOST_PAGE_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 512 * 1024
NOW = -1
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Place = Annotated[int, msgspec.Meta(ge=NOW, le=2**62)]
_Token = Annotated[str, msgspec.Meta(max_length=1024)]


class Read(msgspec.Struct, frozen=True):
    """Ask for what comes after `cursor`, or without one for what `types`, `noun` and `id` choose after a position; -1: now.

    `token` says who asks.
    """

    request: _Number
    cursor: Annotated[str, msgspec.Meta(max_length=LONGEST)] = ""
    after: _Place = 0
    types: Annotated[str, msgspec.Meta(max_length=4096)] = ""
    noun: Annotated[str, msgspec.Meta(max_length=64)] = ""
    id: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_FACTS)] = MOST_FACTS
    token: _Token = ""


class Page(msgspec.Struct, Generic[F], frozen=True, tag="page", tag_field="kind"):
    """Facts in order; `previous` is the position of the same filter's event before them, `cursor` continues.

    `head` is the end of the log, `notices` the port that tells when it moves.
    """

    request: int
    facts: list[F]
    previous: int
    cursor: str
    head: int
    notices: int


class Fetch(msgspec.Struct, frozen=True):
    """Ask for some bytes of stored content, by its SHA-256; `token` says who asks."""

    request: _Number
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    token: _Token = ""


class Piece(msgspec.Struct, frozen=True, tag="piece", tag_field="kind"):
    """Up to `PIECE_BYTES` bytes from the offset that was asked for; `size` is that of the whole."""

    request: int
    size: int
    data: bytes


class Refusal(msgspec.Struct, frozen=True, tag="refused", tag_field="kind"):
    """Why there is no page, as every door says it; request 0 when the request could not be read."""

    request: int
    code: str
    message: str
    details: dict[str, Detail]


class Notice(msgspec.Struct, frozen=True):
    """How far a log is."""

    log: bytes
    head: int


Answer: TypeAlias = Page[F] | Piece | Refusal
