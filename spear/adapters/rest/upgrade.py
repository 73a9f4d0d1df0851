"""From a request to a WebSocket: the handshake, the token of those who cannot set headers, how many may be open."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import Any

import msgspec
from flask import Response, after_this_request, request
from wsproto.utilities import generate_accept_token

from spear.adapters.rest.requests import Environ, caller
from spear.adapters.rest.schemas import AT_THE_DOOR, Resource, V, errors
from spear.adapters.rest.server import LEAVE
from spear.adapters.rest.websocket import INTERNAL, POLICY, TRY_AGAIN, Closed, Hear, Message, Say, Socket, deaf
from spear.config import Http
from spear.errors import CursorGap, CursorReset, Malformed, Overloaded, SpearError, Unauthenticated, Unavailable
from spear.services.tokens import Caller, Tokens

MOST = 256
MOST_HEARD_BYTES = 4096
LOST = 4409  # the cursor is of no use any more: an answer 409, as a close code
_VERSION = "13"
_BEARER = "bearer."
_OFFERED = "HTTP_SEC_WEBSOCKET_PROTOCOL"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_ENDINGS: dict[type[SpearError], int] = {
    CursorReset: LOST,
    CursorGap: LOST,
    Unavailable: TRY_AGAIN,
    Unauthenticated: POLICY,
}


def bring_token(environ: Environ) -> None:
    """A page cannot set headers: take its token from an offered protocol `bearer.<token>` and offer that no more."""
    offered = [name.strip() for name in environ.get(_OFFERED, "").split(",")]
    tokens = [name for name in offered if name.startswith(_BEARER)]
    if tokens:
        environ[_OFFERED] = ", ".join(name for name in offered if name not in tokens)
        environ.setdefault("HTTP_AUTHORIZATION", f"Bearer {tokens[0].removeprefix(_BEARER)}")


def required(api: Resource, *, refuses: tuple[int, ...] = ()) -> Callable[[V], V]:
    """Refuse, before all else, a request that is no handshake; raises `Malformed`."""

    def decorate(view: V) -> V:
        @wraps(view)
        def asked(*args: Any, **path: Any) -> Any:
            _check(request.environ)
            return view(*args, **path)

        described = {101: {"description": "Switching Protocols"}}
        found: V = api.doc(responses={**described, **errors(400, 429, *AT_THE_DOOR, *refuses)})(asked)
        return found

    return decorate


def _check(environ: Environ) -> None:
    if environ["REQUEST_METHOD"] != "GET" or environ["SERVER_PROTOCOL"] != "HTTP/1.1" or LEAVE not in environ:
        raise _refused("Upgrade", "", "a GET of HTTP/1.1 with Upgrade: websocket")
    for name, word in (("Upgrade", "websocket"), ("Connection", "upgrade")):
        given = environ.get(f"HTTP_{name.upper()}", "")
        if word not in [part.strip().lower() for part in given.split(",")]:
            raise _refused(name, given, word)
    version, key = environ.get("HTTP_SEC_WEBSOCKET_VERSION", ""), environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    if version != _VERSION:
        after_this_request(_tell_version)
        raise _refused("Sec-WebSocket-Version", version, _VERSION)
    if not _is_key(key):
        raise _refused("Sec-WebSocket-Key", key, "16 bytes in base64")


def _refused(name: str, given: str, expected: str) -> Malformed:
    return Malformed(f"{name}: got {given[:120]!r}, expected {expected}", code="UPGRADE_REQUIRED")


def _tell_version(response: Response) -> Response:
    response.headers["Sec-WebSocket-Version"] = _VERSION
    return response


def _is_key(text: str) -> bool:
    try:
        return _KEY.fullmatch(text) is not None and len(b64decode(text)) == 16
    except Error:
        return False


def _nothing() -> None:
    """Nothing is left to do."""


class Sockets:
    """The conversations of one kind that are open now: at most `most`, in `protocol` when it is offered.

    One whose token is revoked ends with code 1008.
    """

    def __init__(
        self, limits: Http, tokens: Tokens, *, protocol: str, most_bytes: int = MOST_HEARD_BYTES, most: int = MOST
    ) -> None:
        self._limits, self._protocol, self._most_bytes, self._most = limits, protocol, most_bytes, most
        self._tokens, self._open = tokens, 0

    def answer(
        self, say: Say, hear: Hear = deaf, *, done: Callable[[], None] = _nothing, of: Caller | None = None
    ) -> Response:
        """Begin a conversation, and call `done` when it is over; raises `Overloaded` when too many are open.

        It is the caller's, or `of` whom the caller stands for.
        """
        if self._open >= self._most:
            done()
            raise Overloaded(f"{self._open} WebSockets are open, which is the limit; try again later", retry_after_s=5)
        return _Upgraded(self, say, hear, done, of or caller())

    def _head(self, environ: Environ, response: Response) -> bytes:
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": generate_accept_token(environ["HTTP_SEC_WEBSOCKET_KEY"].encode()).decode(),
            "X-Request-Id": response.headers["X-Request-Id"],
        }
        if self._protocol in [name.strip() for name in environ.get(_OFFERED, "").split(",")]:
            headers["Sec-WebSocket-Protocol"] = self._protocol
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1")

    def hold(self, environ: Environ, response: "_Upgraded") -> None:
        """Leave HTTP and talk until it ends."""
        line = environ[LEAVE]()
        self._open += 1
        try:
            line.write(self._head(environ, response))
            socket = Socket(line, most_bytes=self._most_bytes, idle_s=self._limits.idle_timeout_s)
            self._converse(socket, response)
        except OSError:
            return  # it went away before it was answered
        finally:
            self._open -= 1
            response.done()

    def _converse(self, socket: Socket, response: "_Upgraded") -> None:
        def cut(error: SpearError) -> None:
            socket.end(Closed(_ENDINGS.get(type(error), INTERNAL), error.message))

        with ExitStack() as stack:
            try:
                stack.enter_context(self._tokens.while_good(response.caller, cut))
            except Unauthenticated as error:
                cut(error)
            socket.converse(_guarded(response.say), response.hear)


def _guarded(say: Say) -> Say:
    try:
        yield from say
    except SpearError as error:
        yield [told(error)]
        raise Closed(_ENDINGS.get(type(error), INTERNAL), error.code) from None


def told(error: SpearError) -> Message:
    """An error as the last message of a conversation: the same shape as in an answer."""
    return msgspec.json.encode({"error": error.code, "message": error.message, "details": error.details}).decode()


class _Upgraded(Response):
    """An answer that is a conversation: it is held when the request is done with."""

    def __init__(self, sockets: Sockets, say: Say, hear: Hear, done: Callable[[], None], of: Caller) -> None:
        super().__init__(status=101)
        self._sockets, self.say, self.hear, self.done, self.caller = sockets, say, hear, done, of

    def __call__(self, environ: Environ, start_response: Any) -> Iterator[bytes]:
        self._sockets.hold(environ, self)
        yield from ()
