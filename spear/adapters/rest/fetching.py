"""Objects of other processes, by their HTTP doors: found by a HEAD, read by a GET, checked by the hash that was told."""

import io
import re
import ssl
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from ipaddress import ip_address as parsed
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import msgspec

from spear.adapters.rest.content import META, OCTETS, plain_text
from spear.adapters.rest.dialing import USUAL_PORT
from spear.config import Address
from spear.errands import FarObject, NodeAddress
from spear.errors import Corrupt, SpearError, Unavailable

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_META = META.lower()
_MOST_ERROR = 64 * 1024


class HttpObjects:
    """Asks over `tls` if that is given; `here` asks for what who is asked has itself, so that nobody asks in a circle.

    Who is silent for `patience_s` cannot be asked, which is told with the `code`.
    """

    def __init__(self, *, here: bool, code: str, patience_s: float, tls: ssl.SSLContext | None = None) -> None:
        self._query, self._code, self._patience_s, self._tls = "?here=true" if here else "", code, patience_s, tls

    def find(self, at: NodeAddress, name: str) -> FarObject | None:
        """The object that the process whose HTTP answers there has under this name; None for none. Raises `Unavailable`."""
        at = replace(at, port=at.port or USUAL_PORT)
        path = f"/api/v1/objects/{quote(name, safe='/')}{self._query}"
        with closing(self._connected(at)) as connection:
            head = self._asked(connection, at, "HEAD", path)
            if head.status == 404:
                return None
            if head.status != 200:
                self._explained(at, path)
            return self._found(at, path, head.headers)

    def _found(self, at: NodeAddress, path: str, told: HTTPMessage) -> FarObject:
        size, digest = told.get("Content-Length", ""), digest_in(told)
        if not digest or not size.isdigit():
            raise self._away(at, "it does not tell the size and the hash of its objects")
        mine = [(key.lower(), plain_text(value)) for key, value in told.items()]
        kept = {key.removeprefix(_META): value for key, value in mine if key.startswith(_META)}
        reads = partial(self._open_at, at, path, digest, int(size))
        kind = told.get("Content-Type", "")
        return FarObject(int(size), digest, kind if kind.isprintable() and kind else OCTETS, kept, reads)

    @contextmanager
    def _open_at(self, at: NodeAddress, path: str, digest: str, size: int, first: int) -> Iterator[BinaryIO]:
        with closing(self._connected(at)) as connection:
            response = self._asked(connection, at, "GET", path, first=first)
            if response.status != (206 if first else 200):
                raise self._refusal(at, response)
            if digest_in(response.headers) != digest:
                raise self._away(at, "the object changed while it was read; ask again")
            away = partial(self._away, at)
            yield cast(BinaryIO, _Checked(response, size - first, digest if first == 0 else "", away))

    def _explained(self, at: NodeAddress, path: str) -> None:
        """Raise what it refuses, whose words no answer to a HEAD has."""
        with closing(self._connected(at)) as connection:
            raise self._refusal(at, self._asked(connection, at, "GET", path))

    def _connected(self, at: NodeAddress) -> HTTPConnection:
        try:
            if parsed(at.host).is_unspecified:
                raise self._away(at, "it gave no address")
        except ValueError:
            pass  # a host's name
        if self._tls is None:
            return HTTPConnection(at.host, at.port, timeout=self._patience_s)
        return HTTPSConnection(at.host, at.port, timeout=self._patience_s, context=self._tls)

    def _asked(
        self, connection: HTTPConnection, at: NodeAddress, method: str, path: str, *, first: int = 0
    ) -> HTTPResponse:
        shown = {"Authorization": f"Bearer {at.token}"} if at.token else {}
        part = {"Range": f"bytes={first}-"} if first else {}
        try:
            connection.request(method, path, headers={"Connection": "close", **shown, **part})
            return connection.getresponse()
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._away(at, error) from None

    def _refusal(self, at: NodeAddress, response: HTTPResponse) -> SpearError:
        try:
            told = msgspec.json.decode(response.read(_MOST_ERROR))
            message, code, details = str(told["message"]), str(told["error"]), dict(told["details"])
        except (OSError, HTTPException, msgspec.DecodeError, KeyError, TypeError, ValueError):
            return self._away(at, f"it answered {response.status}")
        if response.status in (401, 403):
            return self._away(at, message)
        if code == Corrupt.code:
            return Corrupt(message, details=details)
        theirs = response.status == 503 and "node_uuid" in details
        return Unavailable(message, code=code, details=details) if theirs else self._away(at, message)

    def _away(self, at: NodeAddress, why: object) -> Unavailable:
        where, why = Address(at.host, at.port), getattr(why, "strerror", None) or why
        if not at.node_uuid:
            return Unavailable(f"the SMS at {where} cannot be asked: {why}", code=self._code)
        text = f"node {at.node_uuid} at {where} cannot be asked: {why}"
        return Unavailable(text, code=self._code, details={"node_uuid": at.node_uuid})


def digest_in(told: HTTPMessage) -> str:
    """The SHA-256 of the whole that a Repr-Digest tells, or ""."""
    found = _DIGEST.fullmatch(told.get("Repr-Digest", ""))
    return b64decode(found[1]).hex() if found else ""


class _Checked(io.RawIOBase):
    """The `left` bytes of an answer; of a `whole`, the last ones are handed out only when its hash is right."""

    def __init__(self, response: HTTPResponse, left: int, whole: str, away: Callable[[object], SpearError]) -> None:
        self._response, self._left, self._whole, self._away = response, left, whole, away
        self._digest = sha256()

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; raises `Unavailable` when it breaks off, `Corrupt` when the hash is wrong."""
        asked = self._left if size < 0 else min(size, self._left)
        if not asked:
            return b""
        try:
            piece = self._response.read(asked)
        except (OSError, HTTPException) as error:
            raise self._away(error) from None
        if len(piece) < asked:
            raise self._away(f"it broke off {self._left - len(piece)} bytes early")
        self._left -= len(piece)
        self._check(piece)
        return piece

    def _check(self, piece: bytes) -> None:
        if not self._whole:
            return
        self._digest.update(piece)
        if not self._left and self._digest.hexdigest() != self._whole:
            details: dict[str, Any] = {"sha256": self._whole}
            raise Corrupt(f"what came does not match its hash {self._whole}", details=details)
