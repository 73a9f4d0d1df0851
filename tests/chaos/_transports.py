"""Every way to follow a log, as somebody who is cut off uses it; one row in `TRANSPORTS` for each."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlencode

import grpc
import websocket

from spear import client
from spear.adapters.rpc.follow import AFTER_EVENT
from spear.adapters.rpc.generated.sms import events_pb2
from spear.errors import CursorGap
from tests.server import ROOT

PATIENCE_S = 120.0


class Where(NamedTuple):
    """The doors of one server on loopback."""

    http: int
    grpc: int
    bus: int


class Heard(NamedTuple):
    """An event's position, that of the one before it (None: not said), and what to ask with to hear what follows."""

    position: int
    previous: int | None
    token: str


class Away(Exception):
    """The server or the connection is gone."""


class Gap(Exception):
    """The server said that it no longer holds these positions, and what to ask with to go on behind them."""

    def __init__(self, first: int, last: int, token: str) -> None:
        super().__init__(f"{first} to {last}")
        self.first, self.last, self.token = first, last, token


Follow = Callable[[Where, str], Generator[Heard, None, None]]


def over_sse(where: Where, token: str) -> Generator[Heard, None, None]:
    """Server-sent events; the token is a cursor."""
    asked = urlencode({"cursor": token} if token else {"after": 0})
    with closing(HTTPConnection("127.0.0.1", where.http, timeout=PATIENCE_S)) as connection:
        try:
            connection.request("GET", f"/api/v1/events?{asked}", headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise Away(answer.read(1000))
            kind = ""
            while line := answer.readline():
                if line.startswith(b"event: "):
                    kind = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    yield _of_json(kind, json.loads(line[6:]))
        except (HTTPException, OSError) as error:
            raise Away(error) from error
    raise Away("the stream ended")


def _of_json(kind: str, data: dict[str, object]) -> Heard:
    if kind == "gap":
        told = data["details"]
        assert isinstance(told, dict)
        raise Gap(told["missing_from"], told["missing_to"], told["cursor"])
    if kind == "error":  # a server that stops
        raise Away(data)
    return Heard(data["position"], data["previous"], data["cursor"])  # type: ignore[arg-type]


def over_websocket(where: Where, token: str) -> Generator[Heard, None, None]:
    """The WebSocket of events; the token is a cursor."""
    url = f"ws://127.0.0.1:{where.http}/api/v1/events/ws?{urlencode({'cursor': token} if token else {'after': 0})}"
    try:
        with closing(websocket.create_connection(url, timeout=PATIENCE_S, suppress_origin=True)) as connection:
            while message := connection.recv():
                data = json.loads(message)
                yield _of_json({"CURSOR_GAP": "gap"}.get(data.get("error"), "error" if "error" in data else ""), data)
    except (websocket.WebSocketException, OSError) as error:
        raise Away(error) from error
    raise Away("the conversation ended")


def over_grpc(where: Where, token: str) -> Generator[Heard, None, None]:
    """`SubscribeEvents`; the token is a position and the id of the event there, if it is known."""
    position, _, event_id = (token or "0 ").partition(" ")
    request = events_pb2.SubscribeEventsRequest(selector={"all": {}}, after_seq=int(position))
    with grpc.insecure_channel(f"127.0.0.1:{where.grpc}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        follow = channel.unary_stream(
            "/sms.EventsService/SubscribeEvents",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=events_pb2.EventEnvelope.FromString,
        )
        try:
            for event in follow(request, metadata=((AFTER_EVENT, event_id),) if event_id else ()):
                yield Heard(event.seq, int(event.headers["previous"]), f"{event.seq} {event.event_id}")
        except grpc.RpcError as error:
            _of_grpc(error)
    raise Away("the stream ended")


def _of_grpc(error: grpc.RpcError) -> None:
    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
        raise _said(error.details(), r"after_seq (\d+)") from error
    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        raise error
    raise Away(error.details()) from error


def _said(text: str, on: str) -> Gap:
    """The gap in a message for people."""
    missing, beyond = re.search(r"positions (\d+) to (\d+)", text), re.search(on, text)
    assert missing and beyond, text
    return Gap(int(missing[1]), int(missing[2]), beyond[1])


def over_bus(where: Where, token: str) -> Generator[Heard, None, None]:
    """The bus's own client, which bears lost servers by itself; the token is a cursor."""
    with closing(client.follow(f"127.0.0.1:{where.bus}", token, patience_s=PATIENCE_S)) as events:
        try:
            for event in events:
                yield Heard(event.position, event.previous, event.cursor)
        except CursorGap as gap:
            told = gap.details
            raise Gap(int(str(told["missing_from"])), int(str(told["missing_to"])), str(told["cursor"])) from gap


def over_cli(where: Where, token: str) -> Generator[Heard, None, None]:
    """`spear events tail -f`, which bears lost servers by itself; the token is a position."""
    command = [str(ROOT / "bin" / "spear"), "events", "tail", "-f", "-o", "json", "--after", token or "0"]
    environment = os.environ | {"SPEAR_SERVER": f"http://127.0.0.1:{where.http}"}
    with _running(command, environment) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            event = json.loads(line)
            yield Heard(event["position"], event["previous"], str(event["position"]))
        said = process.stderr.read().decode()
        if process.wait() == 5 and "no longer holds" in said:
            raise _said(said, r"--after (\d+)")
        raise Away(said)


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


class Transport(NamedTuple):
    """One way to follow, and how many of fifty followers take it."""

    follow: Follow
    of_fifty: int


TRANSPORTS: dict[str, Transport] = {
    "sse": Transport(over_sse, 13),
    "websocket": Transport(over_websocket, 11),
    "grpc": Transport(over_grpc, 10),
    "bus": Transport(over_bus, 13),
    "cli": Transport(over_cli, 3),
}
