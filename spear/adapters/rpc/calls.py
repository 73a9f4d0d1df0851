"""From a service's methods to handlers of bytes: who asks, what they say, and how errors and bugs are told."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import getrandbits
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import gevent
import grpc
from gevent.queue import Queue
from gevent.util import wrap_errors
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from spear.adapters.rpc.access import Access
from spear.adapters.rpc.errors import expect_no_bug, no_bug, refuse, status_of
from spear.errors import Malformed, Overloaded, SpearError
from spear.events.record import Origin
from spear.logs import correlation_id
from spear.services.tokens import ANYBODY, Tokens

log = logging.getLogger("spear.grpc")
Message: TypeAlias = Any  # protobuf's classes are made at run time
_AHEAD = 16
_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ENDED = object()


class Service(Protocol):
    """One gRPC service: a method `snake_case` for each that it serves; what is missing answers UNIMPLEMENTED."""

    DESCRIPTOR: Any


class Asked:
    """One call: on whose behalf, and whether the caller is still there."""

    def __init__(self, context: Any) -> None:
        self._context, self._told = context, dict(context.invocation_metadata())
        given = self.told("x-request-id")
        self.correlation = given if _CORRELATION.fullmatch(given) else f"{getrandbits(128):032x}"
        self.caller = ANYBODY

    @property
    def origin(self) -> Origin:
        """Who acts in this call."""
        return Origin(self.caller.actor("grpc"), self.correlation)

    def told(self, key: str) -> str:
        """What the caller's metadata say under `key`, "" for nothing."""
        return str(self._told.get(key, ""))

    @property
    def there(self) -> bool:
        """Whether somebody still waits for the answer."""
        return bool(self._context.is_active())

    def accept(self) -> None:
        """Tell the caller that its stream is open, before there is anything to tell."""
        self._context.send_initial_metadata(())

    @contextmanager
    def if_gone(self, act: Callable[[], None]) -> Iterator[None]:
        """Do `act` once, in a greenlet of its own, when the caller leaves or its deadline passes within the `with`."""
        waiting = True

        def gone() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                gevent.spawn(_told, act)

        if not self._context.add_callback(gone):
            gone()
        try:
            yield
        finally:
            waiting = False


def _told(act: Callable[[], None]) -> None:
    try:
        act()
    except SpearError as error:
        log.info("after its caller left: %s", error.message)


class Streams:
    """The streams of one server that are open now; each ends when its caller leaves, or his token is revoked."""

    def __init__(self, tokens: Tokens, most: int) -> None:
        self._tokens, self._most, self._open = tokens, most, 0

    def run(self, source: Iterator[Message], asked: Asked) -> Iterator[Message]:
        """What `source` gives, until it or the caller ends; raises `Overloaded` when too many are open."""
        if self._open >= self._most:
            raise Overloaded(f"{self._open} streams are open, which is the limit; try again later", retry_after_s=5)
        asked.accept()
        self._open += 1
        given: Queue[Any] = Queue(maxsize=_AHEAD)  # a slow reader makes the source wait
        feeding = gevent.spawn(wrap_errors(SpearError, _feed), source, given)
        try:
            cut = partial(feeding.kill, block=False)
            with asked.if_gone(feeding.kill), self._tokens.while_good(asked.caller, cut):
                yield from iter(given.get, _ENDED)
            if isinstance(error := feeding.get(), SpearError):
                raise error
        finally:
            feeding.kill(block=False)
            self._open -= 1


def _feed(source: Iterator[Message], given: "Queue[Any]") -> None:
    try:
        for message in source:
            given.put(message)
    finally:
        given.put(_ENDED)


@contextmanager
def answering(context: Any, access: Access, method: str) -> Iterator[Asked]:
    """One call of somebody who may make it; what goes wrong within the `with` is told as it should be."""
    asked, began = Asked(context), perf_counter()
    correlation_id.set(asked.correlation)  # for the call's own context, and what grpc logs after it
    expect_no_bug(context, asked.correlation)
    try:
        asked.caller = access.admit(method, asked.told("authorization"))
        yield asked
    except SpearError as error:
        _tell(method, status_of(error), began)
        refuse(context, error)
    no_bug(context)
    _tell(method, grpc.StatusCode.OK, began)


def _tell(method: str, status: grpc.StatusCode, began: float) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s %s", method, status.name, extra={"took_ms": round((perf_counter() - began) * 1000, 3)})


def _parsed(kind: type[Message], data: bytes) -> Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise Malformed(f"the {len(data)} bytes of the request cannot be read as {name}") from None


def handlers(services: Sequence[Service], streams: Streams, access: Access) -> list[grpc.GenericRpcHandler]:
    """Handlers for every method of these services."""
    return [grpc.method_handlers_generic_handler(*_service(service, streams, access)) for service in services]


def _service(service: Service, streams: Streams, access: Access) -> tuple[str, dict[str, Any]]:
    methods = [_Method(service, described, access) for described in service.DESCRIPTOR.methods]
    return service.DESCRIPTOR.full_name, {method.name: method.handler(streams) for method in methods}


class _Method:
    """One method of a service, from bytes to bytes."""

    def __init__(self, service: Service, described: Any, access: Access) -> None:
        self.name: str = described.name
        self._serve: Any = getattr(service, re.sub(r"(?<=.)(?=[A-Z])", "_", self.name).lower(), None)
        self._streams_out, self._kind = described.server_streaming, GetMessageClass(described.input_type)
        self._called, self._full_name = f"{service.DESCRIPTOR.full_name}/{self.name}", described.full_name
        self._access = access

    def handler(self, streams: Streams) -> Any:
        """How grpc serves it."""
        if self._serve is None:
            return grpc.unary_unary_rpc_method_handler(self._lacking)
        if self._streams_out:
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, streams))
        return grpc.unary_unary_rpc_method_handler(self._unary)

    def _asked_for(self, data: bytes, asked: Asked) -> Any:
        request = _parsed(self._kind, data)
        self._access.check(self._called, asked.caller, request)
        return self._serve(request, asked)

    def _unary(self, data: bytes, context: Any) -> bytes:
        with answering(context, self._access, self._called) as asked:
            answer: bytes = self._asked_for(data, asked).SerializeToString()
        return answer

    def _stream(self, streams: Streams, data: bytes, context: Any) -> Iterator[bytes]:
        with answering(context, self._access, self._called) as asked:
            for message in streams.run(self._asked_for(data, asked), asked):
                yield message.SerializeToString()

    def _lacking(self, data: bytes, context: Any) -> bytes:
        with answering(context, self._access, self._called):
            text = f"{self._full_name} is not served: this platform has nothing behind it yet"
            context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
        return b""
