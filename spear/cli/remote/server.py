"""One SPEAR server over HTTP: a connection for each question, refusals as errors with an exit status."""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from spear import __version__
from spear.cli.remote.endings import Ended, Exit, Lost, exit_for

SLICE = 64 * 1024
_PATIENCE_S = 60.0
_JSON_MOST = 256 * 1024 * 1024
_ERROR_MOST = 64 * 1024
_PORTS = {"http": 80, "https": 443}

Query = Mapping[str, object]
Headers = Mapping[str, str]
Body = bytes | Iterable[bytes] | None


class Address(NamedTuple):
    """Where a server is; `prefix` is the path before /api."""

    scheme: str
    host: str
    port: int
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def address(text: str) -> Address:
    """The address that a person wrote; raises `Ended` for anything but http(s)://host[:port][/prefix]."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        parts, port = urlsplit(""), 0
    if "@" in parts.netloc:
        raise Ended("--server: expected no name or password in it; give a token with SPEAR_TOKEN", Exit.USAGE)
    if not parts.hostname or parts.query or parts.fragment or not text.isprintable() or " " in text:
        raise Ended(f"--server: got {text[:120]!r}, expected an address such as http://localhost:8080", Exit.USAGE)
    return Address(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def path_of(*parts: str) -> str:
    """/api/v1/<part>/<part>..., each part quoted."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


class Answer:
    """A good answer whose body is still to be read; broken reads raise `Lost`."""

    def __init__(self, response: HTTPResponse, where: Address) -> None:
        self._response, self._where = response, where
        self.status: int = response.status
        self.headers: HTTPMessage = response.headers

    def read(self, size: int) -> bytes:
        """At most `size` bytes, fewer only at the end."""
        with _heard(self._where):
            return self._response.read(size)

    def read_some(self, size: int) -> bytes:
        """What has arrived, at most `size` bytes; empty at the end."""
        with _heard(self._where):
            return self._response.read1(size)


class Server:
    """The server that a command speaks to; the token goes into a header and nowhere else."""

    def __init__(self, where: Address, *, token: str = "") -> None:
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise Ended("--token: expected printable ASCII without spaces", Exit.USAGE)
        self.where, self._token = where, token

    def get(self, *path: str, **query: object) -> Any:
        """The JSON at a path under /api/v1."""
        return self.json("GET", *path, query=query)

    def json(self, method: str, *path: str, query: Query | None = None, body: object = None) -> Any:
        """The JSON that answers a request at a path under /api/v1, with a JSON body or without one."""
        return self.json_at(method, path_of(*path), query=query, body=body)

    def json_at(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> Any:
        """The same at a whole path."""
        encoded = None if body is None else msgspec.json.encode(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        with self.asked(method, path, query=query, body=encoded, headers=kind) as answer:
            return self.decoded(answer)

    def head(self, path: str) -> HTTPMessage:
        """The header fields of what a GET at a whole path would bring."""
        try:
            with self.asked("HEAD", path) as answer:
                return answer.headers
        except Lost:
            raise
        except Ended:  # a GET is refused likewise, and in words
            with self.asked("GET", path) as answer:
                return answer.headers

    def decoded(self, answer: Answer) -> Any:
        """The answer's JSON."""
        text = answer.read(_JSON_MOST)
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Ended(f"{self.where} did not answer with JSON ({error}); is it a SPEAR server?") from None

    @contextmanager
    def asked(
        self, method: str, path: str, *, query: Query | None = None, body: Body = None, headers: Headers | None = None
    ) -> Iterator[Answer]:
        """The answer to a request, as long as the `with` lasts; raises `Ended` for a refusal, `Lost` without one."""
        connection = self._connected()
        try:
            response = self._exchange(connection, method, _target(self.where.prefix + path, query), body, headers)
            yield Answer(response, self.where)
        finally:
            connection.close()

    def _connected(self) -> HTTPConnection:
        host, port = self.where.host, self.where.port
        if self.where.scheme == "https":
            context = ssl.create_default_context()
            connection: HTTPConnection = HTTPSConnection(host, port, timeout=_PATIENCE_S, context=context)
        else:
            connection = HTTPConnection(host, port, timeout=_PATIENCE_S)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            raise Lost(f"cannot reach {self.where}: {_why(error)}") from None
        return connection

    def _exchange(
        self, connection: HTTPConnection, method: str, target: str, body: Body, headers: Headers | None
    ) -> HTTPResponse:
        with _heard(self.where):
            try:
                connection.request(method, target, body=body, headers={**self._headers(), **(headers or {})})
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered before the body was through: too large, not allowed
            response = connection.getresponse()
            if 200 <= response.status < 300:
                return response
            text = response.read(_ERROR_MOST)
        raise refusal(response.status, text, where=self.where)

    def _headers(self) -> dict[str, str]:
        allowed = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"User-Agent": f"spear/{__version__}", "Connection": "close", **allowed}


def _target(path: str, query: Query | None) -> str:
    told = {name: value for name, value in (query or {}).items() if value not in (None, "")}
    return f"{path}?{urlencode(told)}" if told else path


def refusal(http_status: int, body: bytes, *, where: Address) -> Ended:
    """The server's own words; of an answer that is not SPEAR's, its status."""
    try:
        told = msgspec.json.decode(body)
        message, code, details = str(told["message"]), str(told["error"]), told["details"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return Ended(f"{where} answered with HTTP status {http_status}, not as a SPEAR server does")
    exit = Exit.FAILED if code == "ROUTE_NOT_FOUND" else exit_for(http_status)
    return Ended(message, exit, code=code, details=details if isinstance(details, dict) else {})


@contextmanager
def _heard(where: Address) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Lost(f"{where} was silent for {_PATIENCE_S:.0f} s", Exit.TIMEOUT) from None
    except (HTTPException, OSError) as error:
        raise Lost(f"the connection to {where} was lost: {_why(error)}") from None


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
