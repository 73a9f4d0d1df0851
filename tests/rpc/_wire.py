"""A real server process seen through a real gRPC channel."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from tests.server import Server

DEADLINE_S = 30


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that shows a token."""
    return (("authorization", f"Bearer {token}"),)


class Stub:
    """The methods of one service: `stub.GetNode(uuid=...)` answers the message, a streaming one its iterator."""

    def __init__(self, channel: grpc.Channel, file: Any, service: str, *, token: str = "") -> None:
        self._channel, self._sent = channel, bearer(token) if token else ()
        self._methods = {m.name: m for m in file.DESCRIPTOR.services_by_name[service].methods}
        self._service = file.DESCRIPTOR.services_by_name[service].full_name

    def __getattr__(self, name: str) -> Any:
        method = self._methods[name]
        make = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = make(f"/{self._service}/{name}", request.SerializeToString, answer.FromString)

        def ask(message: Any = None, *, timeout: float = DEADLINE_S, sent: Any = (), **fields: Any) -> Any:
            return call(message or request(**fields), timeout=timeout, metadata=(*self._sent, *sent))

        def later(message: Any = None, *, timeout: float = DEADLINE_S, **fields: Any) -> Any:
            return call.future(message or request(**fields), timeout=timeout)

        ask.later = later
        return ask


@contextmanager
def connected(server: Server) -> Iterator[grpc.Channel]:
    """A channel to a server's gRPC door."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=options) as channel:
        yield channel


@contextmanager
def refused(status: grpc.StatusCode, *words: str) -> Iterator[None]:
    """The body's call ends with this status and these words in its message."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    assert caught.value.code() is status, caught.value
    assert all(word in caught.value.details() for word in words), caught.value.details()
