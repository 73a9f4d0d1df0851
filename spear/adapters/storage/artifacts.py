"""Executables fetched by URI: from the files of an SMS, this process's own or another's, from a bucket, or over HTTPS."""

import hashlib
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BytesIO
from types import MappingProxyType
from typing import BinaryIO, TypeAlias
from uuid import UUID

from spear.adapters.storage import buckets
from spear.adapters.storage.buckets import Buckets
from spear.adapters.storage.downloads import Downloads, Kept
from spear.errors import InvalidConfiguration, NotFound, Unavailable

FILE_SCHEMES = ("sms+file", "smsfile")
HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
HOST_PORT = re.compile(HOST + r":(?P<port>[0-9]{1,5})")
HTTPS = re.compile(r"(?i:https)://" + HOST + r"(:(?P<port>[0-9]{1,5}))?(?P<path>/[!-\"$-~]*)?(#.*)?")

LocalFiles: TypeAlias = Callable[[str], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of an SMS: the gateway's `host:port`, None for the configured one, and the file's id."""

    host_port: str | None
    file_id: str


def parse_uri(uri: str) -> FileRef:
    """Read `sms+file://<id>`, `sms+file:///<id>` or `sms+file://<host>:<port>/<id>`; raise `InvalidConfiguration`."""
    scheme, _, rest = uri.partition("://")
    if scheme.lower() not in FILE_SCHEMES:
        raise _bad(uri, "sms+file://<id> or sms+file://<host>:<port>/<id>")
    authority, _, tail = rest.partition("/")
    host_port, ident = (authority, tail) if tail else ("", authority)
    if host_port and not _is_address(host_port):
        raise _bad(uri, "<host>:<port> before the file id")
    try:
        return FileRef(host_port or None, str(UUID(ident)))
    except ValueError:
        raise _bad(uri, "a UUID as the file id") from None


def _is_address(text: str) -> bool:
    found = HOST_PORT.fullmatch(text)
    return found is not None and int(found["port"]) <= 65535


def _bad(uri: str, expected: str) -> InvalidConfiguration:
    shown = uri if len(uri) <= 120 else uri[:117] + "..."
    return InvalidConfiguration(f"executable uri: got {shown!r}, expected {expected}")


@contextmanager
def _get(
    connection: HTTPConnection, path: str, *, name: str, shown: Mapping[str, str] = MappingProxyType({})
) -> Iterator[BinaryIO]:
    server = f"{connection.host}:{connection.port}"
    try:
        with closing(connection):
            connection.request("GET", path, headers=shown)
            response = connection.getresponse()
            _accept(response, f"{name}: {server}")
            yield response
            if response.length:
                raise HTTPException(f"the answer ended {response.length} bytes early")
    except (OSError, HTTPException, UnicodeError) as error:
        raise Unavailable(f"{name}: nothing usable from {server}: {error}") from error


def _accept(response: HTTPResponse, what: str) -> None:
    if response.status != 200:
        kind = Unavailable if response.status >= 500 else InvalidConfiguration
        raise kind(f"{what} answered {response.status}, expected 200")


class SmsFiles:
    """Executables by URI; short file URIs are looked for in `local`, then at `sms_http_addr` if it is another's.

    What comes from another SMS is kept in `kept`.
    That address alone is shown `token`, and spoken to over `tls` if that is given.
    """

    def __init__(
        self,
        sms_http_addr: str,
        *,
        local: LocalFiles | None = None,
        own_addr: str = "",
        kept: Kept | None = None,
        token: str = "",
        tls: ssl.SSLContext | None = None,
        max_bytes: int = 100 * 1024 * 1024,
        timeout_s: float = 10.0,
        bucket_store: Buckets | None = None,
    ) -> None:
        self._sms_http_addr = sms_http_addr
        self._local = local
        self._own_addr = own_addr
        self._shown = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls = tls
        self._buckets = bucket_store
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._downloads = Downloads(kept, max_bytes=max_bytes)

    def fetch(self, uri: str, *, checksum_sha256: str = "") -> tuple[bytes, str]:
        """The bytes and their SHA-256; each wait for the server lasts `timeout_s` at most.

        Raises `InvalidConfiguration` for a bad URI, a missing or too large file or a wrong hash, and `Unavailable`
        when the server cannot be reached, breaks off or fails.
        """
        with self._open(uri, checksum_sha256.lower()) as source:
            content = source.read(self._max_bytes + 1)
            if len(content) > self._max_bytes:
                raise InvalidConfiguration(f"executable {uri}: larger than the limit of {self._max_bytes} bytes")
        found = hashlib.sha256(content).hexdigest()
        if checksum_sha256 and checksum_sha256.lower() != found:
            raise InvalidConfiguration(f"executable {uri}: SHA-256 is {found}, expected {checksum_sha256}")
        return content, found

    def _open(self, uri: str, sha256: str) -> AbstractContextManager[BinaryIO]:
        scheme = uri.partition("://")[0].lower()
        if scheme in FILE_SCHEMES:
            return self._sms_file(parse_uri(uri), sha256)
        if scheme == "https":
            return self._https(uri)
        if scheme in buckets.SCHEMES:
            return self._bucket(uri)
        raise _bad(uri, "sms+file://, smsfile://, https://, s3:// or minio://")

    @contextmanager
    def _sms_file(self, ref: FileRef, sha256: str) -> Iterator[BinaryIO]:
        with ExitStack() as stack:
            yield self._own_file(ref, stack) or self._far_file(ref, sha256)

    def _own_file(self, ref: FileRef, stack: ExitStack) -> BinaryIO | None:
        if self._local is None or ref.host_port not in (None, self._own_addr):
            return None
        try:
            return stack.enter_context(self._local(ref.file_id))
        except NotFound:
            if (ref.host_port or self._sms_http_addr) == self._own_addr:
                raise InvalidConfiguration(f"file {ref.file_id} not found") from None
            return None

    def _far_file(self, ref: FileRef, sha256: str) -> BinaryIO:
        host_port = ref.host_port or self._sms_http_addr
        if not host_port:
            raise InvalidConfiguration(f"file {ref.file_id}: no SMS is configured to get it from")
        connect = partial(self._connect, host_port)
        shown = self._shown if host_port == self._sms_http_addr else {}
        return BytesIO(self._downloads.get(ref.file_id, connect, sha256=sha256, headers=shown))

    def _connect(self, host_port: str) -> HTTPConnection:
        if self._tls is None or host_port != self._sms_http_addr:
            return HTTPConnection(host_port, timeout=self._timeout_s)
        return HTTPSConnection(host_port, timeout=self._timeout_s, context=self._tls)

    def _https(self, uri: str) -> AbstractContextManager[BinaryIO]:
        found = HTTPS.fullmatch(uri)
        if not found or int(found["port"] or 0) > 65535:
            raise _bad(uri, "https://<host>[:<port>][/<path>]")
        connection = HTTPSConnection(f"{found['host']}:{found['port'] or 443}", timeout=self._timeout_s)
        return _get(connection, found["path"] or "/", name=f"executable {uri}")

    def _bucket(self, uri: str) -> AbstractContextManager[BinaryIO]:
        if self._buckets is None:
            raise InvalidConfiguration(f"executable {uri}: buckets need artifacts.s3_endpoint, which is not set")
        try:
            path = buckets.path_of(uri)
        except ValueError:
            raise _bad(uri, buckets.EXPECTED) from None
        shown = self._buckets.headers(path)
        return _get(self._buckets.connect(self._timeout_s), path, name=f"executable {uri}", shown=shown)
