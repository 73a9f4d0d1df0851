"""User streams: clients and the guest of an execution exchange SSF frames, one in each binary message.

At a SPEARlet the door is also the way in of its SMS, which brings no session's token but a pass.
"""

from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request

from spear.adapters.rest import upgrade
from spear.adapters.rest.requests import caller, origin
from spear.adapters.rest.schemas import Resource, Taken, Text, answer
from spear.adapters.rest.server import OPEN
from spear.adapters.rest.websocket import NORMAL, POLICY, TOO_BIG, TRY_AGAIN, Closed, Hear, Message, Say
from spear.config import Role
from spear.errors import Malformed, Overloaded, TooLarge, Unauthenticated, Unavailable
from spear.protocols import ssf
from spear.services import doors
from spear.services.conversations import Session, Switch
from spear.services.platform import Platform
from spear.services.sessions import EXPIRES_IN_MS
from spear.services.tokens import Caller

MOST_GATEWAY_BYTES = 4 * 1024 * 1024
_WITHOUT_SESSION = doors.row("operator fleet")
SessionOut = answer("StreamSession", execution_id=str, token=str, ws_url=str, expires_in_ms=int)


class SessionQuery(Taken):
    """What opens the door: the token of a session, good for one use."""

    token = Text(256, load_default="")


def _said(frames: Iterator[list[bytes]]) -> Say:
    try:
        for found in frames:
            yield list(found)
    except Overloaded as error:
        raise Closed(TRY_AGAIN, error.message) from None
    raise Closed(NORMAL, "the execution has ended")


def _hearing(take: Callable[[bytes], None]) -> Hear:
    def hear(message: Message) -> None:
        if isinstance(message, str):
            return
        try:
            take(message)
        except Malformed:
            raise Closed(POLICY, "invalid protocol") from None
        except TooLarge as error:
            raise Closed(TOO_BIG, error.message) from None
        except (Overloaded, Unavailable) as error:
            raise Closed(TRY_AGAIN, error.message) from None

    return hear


def _ws_url(path: str, token: str) -> str:
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    return f"{'wss' if secure else 'ws'}://{request.headers.get('Host', 'localhost')}{path}?token={token}"


def make(platform: Platform) -> Resource:
    """The routes of user streams, and /e/<endpoint>/ws."""
    api = Resource("streams", __name__, description="Talk to agents that run")
    http, tokens, executions = platform.config.http, platform.tokens, platform.executions
    sessions = upgrade.Sockets(http, tokens, protocol=ssf.PROTOCOL, most_bytes=ssf.MOST_BYTES)
    gateways = upgrade.Sockets(http, tokens, protocol=ssf.PROTOCOL, most_bytes=MOST_GATEWAY_BYTES)

    def talk(sockets: upgrade.Sockets, to: Session | Switch, of: Caller) -> Response:
        return sockets.answer(_said(to.frames()), _hearing(to.hear), done=to.close, of=of)

    def admit(token: str, execution_id: str) -> Caller:
        if token:
            return platform.sessions.redeem(token, execution_id)
        if platform.config.role is not Role.SPEARLET:
            raise Unauthenticated("token: missing, expected the token of a session", code="TOKEN_REQUIRED")
        given, open_door = request.environ.get("HTTP_AUTHORIZATION", ""), request.environ.get(OPEN, False)
        what = "the streams of an execution, without a session's token,"
        return _WITHOUT_SESSION.admit(tokens, given, what, open_door=open_door)

    @api.post("/api/v1/executions/<execution_id>/streams/session")
    @api.answers(SessionOut, refuses=(404, 429))
    def begin(execution_id: str) -> Any:
        """A token that opens the execution's streams once, within a minute."""
        known = executions.get(execution_id).execution_id
        token = platform.sessions.issue(known, caller())
        url = _ws_url(f"/api/v1/executions/{known}/streams/ws", token)
        return {"execution_id": known, "token": token, "ws_url": url, "expires_in_ms": EXPIRES_IN_MS}

    @api.get("/api/v1/executions/<execution_id>/streams/ws")
    @upgrade.required(api, refuses=(404, 409, 422, 503))
    @api.query(SessionQuery)
    def join(query: dict[str, Any], execution_id: str) -> Response:
        """The streams of one execution; over when it ends."""
        of = admit(query["token"], execution_id)
        return talk(sessions, Session(platform.streams, executions.get(execution_id)), of)

    @api.get("/e/<endpoint>/ws")
    @upgrade.required(api, refuses=(404, 503, 504))
    def connect(endpoint: str) -> Response:
        """The streams of an endpoint's executions; one is started when none runs."""
        if platform.following is not None:
            raise platform.following.refusal()
        return talk(gateways, platform.endpoints.open(origin(), endpoint), caller())

    return api
