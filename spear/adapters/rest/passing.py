"""Tasks, files and nodes at a SPEARlet that is linked to an SMS: requests are passed on, and its answers come back as they are.

Nobody gets further at the SMS by way of a node. A node that shows the SMS nothing passes on what comes without a token through
its open door on loopback: as nobody, which whoever sits at this machine may ask there as well. A node with a token of its own
passes on what is read by those who showed one of its tokens: as the node, which may read there what a node may. All else has to
be asked at the SMS. A token that was meant for the node goes no further.
"""

import logging
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from errno import ECONNRESET
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import quote, quote_from_bytes

from flask import Flask, Response, g, request
from marshmallow import fields

from spear.adapters.rest import content
from spear.adapters.rest.requests import caller
from spear.config import Address
from spear.errors import Forbidden, Invalid, Unavailable
from spear.services.tokens import ANYBODY

log = logging.getLogger(__name__)
HERE = "spear.here"  # in the environ of who wants this process's own answers, whatever the query says
RESOURCES = ("tasks", "files", "nodes")
_READING = ("GET", "HEAD")
_ASKING = (
    "Accept", "Content-Type", "If-Match", "If-None-Match", "If-Range", "Origin", "Range", "X-File-Name",
)  # fmt: skip
_ANSWERING = (
    "Accept-Ranges", "Allow", "Content-Disposition", "Content-Length", "Content-Range", "Content-Type", "ETag", "Repr-Digest",
    "Retry-After", "X-As-Of", "X-Content-Type-Options",
)  # fmt: skip
_QUERY = "!$%&'()*+,-./:;=?@_~"  # what stays as it is
_SLICE = 64 * 1024


@dataclass(frozen=True, slots=True)
class SmsDoor:
    """Where the SMS answers HTTP, and what this node shows there; who is silent for `patience_s` cannot be asked."""

    address: Address
    token: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    certified: bool = False
    patience_s: float = 15.0

    def open(self) -> HTTPConnection:
        """A connection that is not made yet."""
        host, port = self.address.host, self.address.port
        if self.tls is None:
            return HTTPConnection(host, port, timeout=self.patience_s, blocksize=_SLICE)
        return HTTPSConnection(host, port, timeout=self.patience_s, blocksize=_SLICE, context=self.tls)

    def away(self, why: object) -> Unavailable:
        """The error when it does not answer."""
        text = (
            f"the SMS at {self.address}, which keeps {_KEPT}, cannot be asked: {getattr(why, 'strerror', None) or why}"
        )
        return Unavailable(text, code="SMS_UNREACHABLE", details={"sms": str(self.address)})

    def refusal(self) -> Forbidden:
        """The error for who has to go there."""
        text = f"the SMS at {self.address} keeps {_KEPT}: ask it there, with a token that it issued"
        return Forbidden(text, code="ASK_SMS", details={"sms": str(self.address)})


_KEPT = f"{', '.join(RESOURCES[:-1])} and {RESOURCES[-1]}"


def install(app: Flask, sms: SmsDoor, *, own: Address, most: int) -> None:
    """Pass on what `app` is asked of these resources once its own door, at `own`, let it in, with a body of at most `most` bytes.

    What has `?here=true` is not passed on.
    """

    @app.before_request
    def pass_on() -> Response | None:
        if request.blueprint not in RESOURCES or HERE in request.environ or _wants_this_one():
            return None
        return _passed(sms, _shown(sms, loopback=own.loopback), most)


def _wants_this_one() -> bool:
    given = request.args.get("here", "false")
    if given not in fields.Boolean.truthy | fields.Boolean.falsy:
        raise Invalid.field("here", given, "true or false")
    return given in fields.Boolean.truthy


def _shown(sms: SmsDoor, *, loopback: bool) -> dict[str, str]:
    """Who it is that asks the SMS; raises `Forbidden` where nobody may by way of this node."""
    nobody = caller() is ANYBODY
    if nobody and loopback and not (sms.token or sms.certified):
        return {}
    if sms.token and not nobody and request.method in _READING:
        return {"Authorization": f"Bearer {sms.token}"}
    raise sms.refusal()


def _passed(sms: SmsDoor, shown: dict[str, str], most: int) -> Response:
    with ExitStack() as stack:
        connection = stack.enter_context(closing(sms.open()))
        answer = _exchange(sms, connection, shown, most)
        if answer.status in (401, 403):
            raise sms.refusal()
        pieces = _Pieces(answer, stack.pop_all())
    response = Response(pieces, status=answer.status, headers=_headers(answer))
    response.call_on_close(pieces.close)
    return response


def _exchange(sms: SmsDoor, connection: HTTPConnection, shown: dict[str, str], most: int) -> HTTPResponse:
    told = {name: request.headers[name] for name in _ASKING if name in request.headers}
    size, chunked = request.content_length, "Transfer-Encoding" in request.headers
    framed = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)} if size else {}
    headers = {**told, **framed, **shown, "X-Request-Id": g.correlation, "Connection": "close"}
    body = content.body(most) if framed else None
    try:
        connection.connect()
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before the body was through
            connection.request(request.method, _target(), body=body, headers=headers, encode_chunked=chunked)
        return connection.getresponse()
    except (OSError, HTTPException, UnicodeError) as error:
        raise sms.away(error) from None


def _target() -> str:
    """The same path and query; whoever is taken for an SMS and is none does not pass it on."""
    query = quote_from_bytes(request.query_string, safe=_QUERY)
    return f"{quote(request.path)}?here=true{'&' if query else ''}{query}"


def _headers(answer: HTTPResponse) -> list[tuple[str, str]]:
    """What the answer says of itself; a position in the SMS's log has a name of its own, since it is none in this one."""
    told = [(name, value) for name in _ANSWERING if (value := answer.headers[name]) is not None]
    position = answer.headers["X-Position"]
    return [*told, ("X-Sms-Position", position)] if position else told


class _Pieces(Iterator[bytes]):
    """The body as it comes; one that breaks off is cut off here too, so that nobody takes it for the whole."""

    def __init__(self, answer: HTTPResponse, opened: ExitStack) -> None:
        self._answer, self._opened = answer, opened

    def __next__(self) -> bytes:
        try:
            piece = self._answer.read1(_SLICE)
            early = not piece and self._answer.length
        except (OSError, HTTPException) as error:
            raise self._cut(error) from None
        if early:
            raise self._cut(f"{early} bytes early")
        if not piece:
            raise StopIteration
        return piece

    def _cut(self, why: object) -> ConnectionResetError:
        log.warning("an answer of the SMS is cut off: %s", why)
        return ConnectionResetError(ECONNRESET, str(why))

    def close(self) -> None:
        """Hang up; also when the client went away."""
        self._opened.close()
