"""SSF version 1: one frame of a user stream, as one binary message; little-endian, 32 bytes of head, meta, data."""

from enum import IntEnum
from struct import Struct

import msgspec

from spear.errors import Malformed

PROTOCOL = "ssf.v1"
LONGEST_ID = 2**31 - 1  # of what guests can open; a frame has room for more
MOST_BYTES = 256 * 1024  # of a whole frame, as a guest writes and reads it
_MAGIC, _VERSION = b"SPST", 1
_HEAD = Struct("<4sHHHHIQII")
_STREAM = slice(12, 16)


class Kind(IntEnum):
    """What the gateway knows of message types; it carries any other as well."""

    REQUEST = 1
    DATA = 2
    ERROR = 3
    CANCEL = 4


class Head(msgspec.Struct, frozen=True):
    """What a frame says of itself."""

    kind: int
    stream_id: int


def read(frame: bytes) -> Head:
    """The head of a frame; raises `Malformed` for what is none."""
    if len(frame) < _HEAD.size:
        raise Malformed(f"frame: got {len(frame)} bytes, expected at least {_HEAD.size}")
    magic, version, head_size, kind, _, stream_id, _, meta_size, data_size = _HEAD.unpack_from(frame)
    if (magic, version) != (_MAGIC, _VERSION):
        raise Malformed(f"frame: got magic {magic!r} and version {version}, expected {_MAGIC!r} and {_VERSION}")
    if head_size < _HEAD.size or head_size + meta_size + data_size != len(frame):
        told = f"{head_size} + {meta_size} + {data_size}"
        raise Malformed(f"frame: got {len(frame)} bytes, expected as many as it says: {told}")
    return Head(kind, stream_id)


def make(kind: int, stream_id: int, *, meta: bytes = b"", data: bytes = b"", seq: int = 1) -> bytes:
    """A frame."""
    head = _HEAD.pack(_MAGIC, _VERSION, _HEAD.size, kind, 0, stream_id, seq, len(meta), len(data))
    return head + meta + data


def data_of(frame: bytes) -> bytes:
    """The data of a frame that was read."""
    *_, data_size = _HEAD.unpack_from(frame)
    return frame[len(frame) - data_size :]


def on_stream(frame: bytes, stream_id: int) -> bytes:
    """The same frame under another stream id."""
    return frame[: _STREAM.start] + stream_id.to_bytes(4, "little") + frame[_STREAM.stop :]


def refusal(stream_id: int, code: str, message: str, *, retryable: bool) -> bytes:
    """An error frame as a gateway makes it."""
    told = {"error": {"code": code, "message": message, "retryable": retryable}}
    return make(Kind.ERROR, stream_id, meta=msgspec.json.encode(told))
