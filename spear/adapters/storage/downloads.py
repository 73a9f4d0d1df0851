"""Files of an SMS on their way to a node: what broke off goes on where it stopped, and each content is kept once."""

import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from spear.adapters.keeping import make_room, used
from spear.errors import InvalidConfiguration, Unavailable

log = logging.getLogger(__name__)
_HASH = re.compile("[0-9a-f]{64}")
_PART = re.compile(r"bytes (\d+)-\d+/\d+")
_SLICE = 64 * 1024
_MOST_BREAKS = 100
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Kept:
    """Contents by their SHA-256 in a folder that may be deleted at any time; the least recently used make room."""

    def __init__(self, folder: Path, *, most_bytes: int = 1024**3) -> None:
        self._folder, self._most = folder, most_bytes

    def get(self, sha256: str) -> bytes | None:
        """The content, if it is there and still what its name says."""
        path = self._folder / sha256
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            log.warning("kept file %s is damaged; fetching it again", path)
            return None
        with suppress(OSError):
            used(path)
        return content

    def sha256_of(self, name: str) -> str:
        """The hash of the content that this name had last, or ""."""
        try:
            found = (self._folder / f"{name}.ref").read_text()
        except OSError:
            return ""
        return found if _HASH.fullmatch(found) else ""

    def put(self, name: str, content: bytes, sha256: str) -> None:
        """Keep the content under its hash, and under a name; where the disk refuses, it is fetched again another time."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self.get(sha256) is None:
                self._write(sha256, content)
                used(self._folder / sha256)
                self._make_room()
            self._write(f"{name}.ref", sha256.encode())
        except OSError as error:
            log.warning("file %s is not kept: %s", name, error)

    def _write(self, name: str, content: bytes) -> None:
        draft = self._folder / f"{uuid4().hex}.new"
        try:
            draft.write_bytes(content)
            draft.rename(self._folder / name)
        finally:
            draft.unlink(missing_ok=True)

    def _make_room(self) -> None:
        make_room((path for path in self._folder.iterdir() if _HASH.fullmatch(path.name)), most_bytes=self._most)
        for name in self._folder.glob("*.ref"):
            if not (self._folder / self.sha256_of(name.stem)).is_file():
                name.unlink(missing_ok=True)


@dataclass
class _Part:
    """The first bytes of a file, and the ETag of what they are a part of."""

    etag: str = ""
    content: bytearray = field(default_factory=bytearray)


class Downloads:
    """Files by HTTP, at most `max_bytes` each. A part that was fetched waits in memory until somebody asks again."""

    def __init__(self, kept: Kept | None, *, max_bytes: int) -> None:
        self._kept, self._max_bytes = kept, max_bytes
        self._parts: OrderedDict[str, _Part] = OrderedDict()

    def get(
        self,
        file_id: str,
        connect: Callable[[], HTTPConnection],
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        sha256: str = "",
    ) -> bytes:
        """The file's content; one that is kept is not fetched again, and is there when the server is not.

        Raises `InvalidConfiguration` for a file that is missing or too large, `Unavailable` when the server cannot be
        reached, breaks off without having sent anything new, or fails.
        """
        if self._kept and sha256 and (content := self._kept.get(sha256)) is not None:
            return content
        had = self._kept.sha256_of(file_id) if self._kept else ""
        old = self._kept.get(had) if self._kept and had else None
        try:
            new = self._fetch(
                file_id, connect, {**headers, "If-None-Match": f'"{had}"'} if old is not None else headers
            )
        except Unavailable:
            if old is None:
                raise
            log.warning("file %s: its server cannot be asked; using the content that is kept", file_id)
            new = None
        if new is None:
            return old or b""
        if self._kept:
            self._kept.put(file_id, new, hashlib.sha256(new).hexdigest())
        return new

    def _fetch(self, file_id: str, connect: Callable[[], HTTPConnection], headers: Mapping[str, str]) -> bytes | None:
        part = self._parts.pop(file_id, None) or _Part()
        for _ in range(_MOST_BREAKS):
            before = len(part.content)
            try:
                return self._ask(connect(), file_id, part, headers)
            except (OSError, HTTPException, UnicodeError) as error:
                self._keep(file_id, part)
                if len(part.content) <= before:
                    raise Unavailable(f"file {file_id}: nothing usable from {_server(connect)}: {error}") from error
                log.info("file %s: broke off after %d bytes (%s); going on", file_id, len(part.content), error)
        raise Unavailable(f"file {file_id}: {_server(connect)} broke off {_MOST_BREAKS} times")

    def _keep(self, file_id: str, part: _Part) -> None:
        """Those that broke off last, of `max_bytes` together."""
        self._parts[file_id] = part
        while sum(len(one.content) for one in self._parts.values()) > self._max_bytes:
            self._parts.popitem(last=False)

    def _ask(self, connection: HTTPConnection, file_id: str, part: _Part, headers: Mapping[str, str]) -> bytes | None:
        once = {"Connection": "close"}
        rest = {"Range": f"bytes={len(part.content)}-", "If-Range": part.etag} if part.etag and part.content else {}
        with closing(connection):
            connection.request("GET", f"/api/v1/files/{file_id}", headers={**once, **headers, **rest})
            response = connection.getresponse()
            if response.status == 304:
                return None
            self._begin(response, part, f"file {file_id}: {connection.host}:{connection.port}")
            while piece := response.read1(_SLICE):
                part.content += piece
                if len(part.content) > self._max_bytes:
                    raise InvalidConfiguration(f"file {file_id}: larger than the limit of {self._max_bytes} bytes")
            if response.length:
                raise HTTPException(f"the answer ended {response.length} bytes early")
        return _checked(part)

    def _begin(self, response: HTTPResponse, part: _Part, what: str) -> None:
        """Go on with the part if that is what is answered, else begin anew."""
        found = _PART.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == 206 and found and int(found[1]) == len(part.content):
            return
        part.content.clear()
        part.etag = response.headers.get("ETag", "") if response.status == 200 else ""
        if response.status in (206, 416):
            raise HTTPException(f"it answered {response.status} to {what}")
        if response.status != 200:
            kind = Unavailable if response.status >= 500 else InvalidConfiguration
            raise kind(f"{what} answered {response.status}, expected 200")


def _checked(part: _Part) -> bytes:
    """The whole content; where the ETag is its hash, as an SMS of ours has it, the two must agree."""
    content, told = bytes(part.content), part.etag.strip('"')
    found = hashlib.sha256(content).hexdigest()
    if _HASH.fullmatch(told) and told != found:
        part.content.clear()
        raise HTTPException(f"its SHA-256 is {found}, expected {told}")
    return content


def _server(connect: Callable[[], HTTPConnection]) -> str:
    connection = connect()
    return f"{connection.host}:{connection.port}"
