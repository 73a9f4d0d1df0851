"""A cursor: a place in one log, seen through one filter, as a text that its holder need not understand.

Base64url without padding of: version (1 byte), log id (16), position (8, big endian), mark (8), the filter as msgpack
(nothing for everything), CRC-32 of all before it (4).
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from struct import Struct
from zlib import crc32

import msgspec

from spear.errors import Invalid

LONGEST = 7680  # fits into the line of an HTTP request
_VERSION = 1
_HEAD = Struct(">B16sQ8s")
_SUM = Struct(">I")
_TEXT = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}")
_FURTHEST = 2**62


class Filter(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which events a feed carries: of these topics, of a noun, of whatever `id` names; empty means all."""

    topics: tuple[str, ...] = ()
    noun: str = ""
    id: str = ""


EVERYTHING = Filter()
_FILTER = msgspec.msgpack.Decoder(Filter)


class Cursor(msgspec.Struct, frozen=True):
    """Everything up to `position` of the log `log` was seen; `mark` is the start of the chain's hash there."""

    log: bytes
    position: int
    mark: bytes
    filter: Filter = EVERYTHING

    def __str__(self) -> str:
        body = _HEAD.pack(_VERSION, self.log, self.position, self.mark) + _packed(self.filter)
        return urlsafe_b64encode(body + _SUM.pack(crc32(body))).rstrip(b"=").decode()

    def at(self, position: int, digest: bytes) -> "Cursor":
        """The same feed, seen up to the event at `position` with this hash."""
        return Cursor(self.log, position, mark_of(digest), self.filter)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `str` wrote; raises `Invalid` for any other text."""
        found = _read(text)
        if found is None or str(found) != text:  # another spelling, or a wrong checksum
            raise Invalid.field("cursor", text, "a cursor as this server gives it out")
        return found


def mark_of(digest: bytes) -> bytes:
    """The part of an event's hash that a cursor carries."""
    return digest[:8]


@lru_cache(256)
def _packed(chosen: Filter) -> bytes:
    return b"" if chosen == EVERYTHING else msgspec.msgpack.encode(chosen)


def _read(text: str) -> Cursor | None:
    if not _TEXT.fullmatch(text) or len(text) % 4 == 1:
        return None
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(raw) < _HEAD.size + _SUM.size:
        return None
    version, log, position, mark = _HEAD.unpack_from(raw)
    if version != _VERSION or position > _FURTHEST:
        return None
    try:
        chosen = _FILTER.decode(raw[_HEAD.size : -_SUM.size]) if len(raw) > _HEAD.size + _SUM.size else EVERYTHING
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Cursor(log, position, mark, chosen)
