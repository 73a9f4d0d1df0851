"""The few calls of the Docker Engine's HTTP API that runs need, over its unix socket; each blocks only its greenlet."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode

from gevent import Timeout, socket

from spear.errors import NotFound, Refused, SpearError, Unavailable

_NEWEST = (1, 47)  # the newest API that this was written for; an older engine is asked in its own
_PROBE_S, _CALL_S, _START_S, _PULL_S = 2, 10, 30, 600
_MOST_BYTES = 8 * 1024 * 1024
_CHUNK = 64 * 1024


class _Connection(HTTPConnection):
    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Attached:
    """A container's standard streams, held before it starts."""

    def __init__(self, wire: Any, source: BinaryIO) -> None:
        self._wire, self._source = wire, source

    def feed(self, data: bytes) -> None:
        """Write all of its stdin and end that; what it does not want to read is dropped."""
        with suppress(OSError):
            self._wire.sendall(data)
            self._wire.shutdown(socket.SHUT_WR)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """What it writes, live, as (1 for stdout or 2 for stderr, bytes), until it closed both or the engine went away."""
        with suppress(OSError):
            while len(header := self._source.read(8)) == 8:
                left = int.from_bytes(header[4:])
                while left and (data := self._source.read(min(left, _CHUNK))):
                    left -= len(data)
                    yield header[0], data


class Docker:
    """One engine, asked over a connection of its own each time; every call raises `Unavailable` when it does not answer.

    What it refuses is `Refused` in its own words, what it does not know `NotFound`.
    """

    def __init__(self, path: str) -> None:
        self._path, self._prefix = path, ""

    def __str__(self) -> str:
        return f"the container engine at {self._path}"

    def greet(self) -> None:
        """Agree on a version of the API, in two seconds at most; raises `Unavailable` for one that runs no Linux."""
        told = self._ask("GET", "/version", timeout_s=_PROBE_S)
        try:
            system, offered = str(told["Os"]), tuple(int(part) for part in str(told["ApiVersion"]).split("."))
        except (KeyError, TypeError, ValueError):
            raise Unavailable(f"{self} is none: it does not say its version") from None
        if system != "linux":
            raise Unavailable(f"{self} runs containers of {system!r}, not of linux")
        self._prefix = "/v{}.{}".format(*min(offered, _NEWEST))

    def image(self, name: str) -> dict[str, Any]:
        """What the engine knows of an image that it has."""
        found: dict[str, Any] = self._ask("GET", f"/images/{quote(name)}/json")
        return found

    def pull(self, name: str) -> None:
        """Fetch an image, in ten minutes at most; raises `NotFound` or `Refused` in the words of its registry."""
        tagged = ":" in name.rpartition("/")[2]
        query = {"fromImage": name} if tagged else {"fromImage": name, "tag": "latest"}
        late = Unavailable(f"{self} did not fetch image {name} within {_PULL_S} s")
        with Timeout(_PULL_S, late), self._answering(), closing(_Connection(self._path, _PULL_S)) as connection:
            for line in self._response(connection, "POST", f"/images/create?{urlencode(query)}", headers={}):
                if error := json.loads(line).get("error"):
                    raise Refused(str(error))

    def create(self, name: str, described: Mapping[str, Any]) -> None:
        """Make a container of this name; it does not run yet."""
        self._ask("POST", "/containers/create", {"name": name}, body=described, timeout_s=_START_S)

    def start(self, name: str) -> None:
        """Run a container that was made."""
        self._ask("POST", f"/containers/{name}/start", timeout_s=_START_S)

    def kill(self, name: str, *, timeout_s: float) -> None:
        """End its processes at once; harmless when it does not run any more."""
        with suppress(NotFound, Refused):
            self._ask("POST", f"/containers/{name}/kill", timeout_s=timeout_s)

    def wait(self, name: str) -> None:
        """Block until it does not run any more."""
        self._ask("POST", f"/containers/{name}/wait", timeout_s=None)

    def state(self, name: str) -> dict[str, Any]:
        """How it ended: `ExitCode`, `OOMKilled`, `Error`."""
        found: dict[str, Any] = self._ask("GET", f"/containers/{name}/json")["State"]
        return found

    def remove(self, name: str) -> None:
        """Leave nothing of it, running or not; harmless when there is none."""
        with suppress(NotFound):
            self._ask("DELETE", f"/containers/{name}", {"force": "1", "v": "1"})

    def labelled(self, label: str) -> list[str]:
        """The names of all containers with this label, also of those that do not run."""
        query = {"all": "1", "filters": json.dumps({"label": [label]})}
        return [str(one["Names"][0]).lstrip("/") for one in self._ask("GET", "/containers/json", query)]

    @contextmanager
    def attached(self, name: str) -> Iterator[Attached]:
        """The streams of a container that is about to start."""
        path = f"/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        with closing(_Connection(self._path, _CALL_S)) as connection:
            with self._answering():
                response = self._response(connection, "POST", path, headers={"Connection": "Upgrade", "Upgrade": "tcp"})
                wire = connection.sock
                wire.settimeout(None)
            yield Attached(wire, cast(BinaryIO, response.fp))

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        timeout_s: float | None = _CALL_S,
    ) -> Any:
        path = f"{path}?{urlencode(query)}" if query else path
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        with self._answering(), closing(_Connection(self._path, timeout_s)) as connection:
            said = self._response(connection, method, path, content=content, headers=headers).read(_MOST_BYTES)
            return json.loads(said) if said else None

    def _response(
        self,
        connection: _Connection,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str],
    ) -> HTTPResponse:
        connection.request(method, self._prefix + path, body=content, headers=headers)
        response = connection.getresponse()
        if response.status >= 400:
            raise _refusal(response)
        return response

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"{self} does not answer: {_words(error)}") from None


def _refusal(response: HTTPResponse) -> SpearError:
    said = response.read(_MOST_BYTES)
    try:
        message = str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        message = said[:500].decode(errors="replace")
    kind = {404: NotFound}.get(response.status, Refused)
    return kind(message.strip() or f"status {response.status}")


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
