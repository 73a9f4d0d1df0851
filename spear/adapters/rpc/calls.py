"""From a service's methods to handlers of bytes: who asks, what they say, and how errors and bugs are told."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import getrandbits
from typing import Any, Protocol, TypeAlias

import gevent
import grpc
from gevent.queue import Queue
from gevent.util import wrap_errors
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from spear.adapters.rpc.errors import expect_no_bug, no_bug, refuse
from spear.errors import Malformed, Overloaded, SpearError
from spear.events.record import Origin
from spear.logs import correlation_id
from spear.services.tokens import ANYBODY

log = logging.getLogger(__name__)
Message: TypeAlias = Any  # protobuf's classes are made at run time
MOST_STREAMS = 256
_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ENDED = object()


class Service(Protocol):
    """One gRPC service: a method `snake_case` for each that it serves; what is missing answers UNIMPLEMENTED."""

    DESCRIPTOR: Any


class Asked:
    """One call: on whose behalf, and whether the caller is still there."""

    def __init__(self, context: Any) -> None:
        self._context = context
        given = self.told("x-request-id")
        self.correlation = given if _CORRELATION.fullmatch(given) else f"{getrandbits(128):032x}"
        self.origin = Origin("grpc", self.correlation)
        self.caller = ANYBODY

    def told(self, key: str) -> str:
        """What the caller's metadata say under `key`, "" for nothing."""
        return str(dict(self._context.invocation_metadata()).get(key, ""))

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
    """The streams of one server that are open now; each ends at once when its caller leaves."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most, self._open = most, 0

    def run(self, source: Iterator[Message], asked: Asked) -> Iterator[Message]:
        """What `source` gives, until it or the caller ends; raises `Overloaded` when too many are open."""
        if self._open >= self._most:
            raise Overloaded(f"{self._open} streams are open, which is the limit; try again later", retry_after_s=5)
        asked.accept()
        self._open += 1
        given: Queue[Any] = Queue(maxsize=1)  # a slow reader makes the source wait
        feeding = gevent.spawn(wrap_errors(SpearError, _feed), source, given)
        try:
            with asked.if_gone(feeding.kill):
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
def _answering(context: Any) -> Iterator[Asked]:
    asked = Asked(context)
    correlation_id.set(asked.correlation)  # for the call's own context, and what grpc logs after it
    expect_no_bug(context, asked.correlation)
    try:
        yield asked
    except SpearError as error:
        refuse(context, error)
    no_bug(context)


def _parsed(kind: type[Message], data: bytes) -> Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise Malformed(f"the {len(data)} bytes of the request cannot be read as {name}") from None


def handlers(services: Sequence[Service], streams: Streams) -> list[grpc.GenericRpcHandler]:
    """Handlers for every method of these services."""
    return [grpc.method_handlers_generic_handler(*_service(service, streams)) for service in services]


def _service(service: Service, streams: Streams) -> tuple[str, dict[str, Any]]:
    described = service.DESCRIPTOR
    return described.full_name, {method.name: _handler(service, method, streams) for method in described.methods}


def _handler(service: Service, method: Any, streams: Streams) -> Any:
    serve = getattr(service, re.sub(r"(?<=.)(?=[A-Z])", "_", method.name).lower(), None)
    if serve is None:
        return grpc.unary_unary_rpc_method_handler(_lacking(method.full_name))
    kind = GetMessageClass(method.input_type)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(serve, kind, streams))
    return grpc.unary_unary_rpc_method_handler(_unary(serve, kind))


def _unary(serve: Callable[[Message, Asked], Message], kind: type[Message]) -> Callable[[bytes, Any], bytes]:
    def behave(data: bytes, context: Any) -> bytes:
        with _answering(context) as asked:
            answer: bytes = serve(_parsed(kind, data), asked).SerializeToString()
        return answer

    return behave


def _stream(
    serve: Callable[[Message, Asked], Iterator[Message]], kind: type[Message], streams: Streams
) -> Callable[[bytes, Any], Iterator[bytes]]:
    def behave(data: bytes, context: Any) -> Iterator[bytes]:
        with _answering(context) as asked:
            for message in streams.run(serve(_parsed(kind, data), asked), asked):
                yield message.SerializeToString()

    return behave


def _lacking(name: str) -> Callable[[bytes, Any], bytes]:
    def behave(data: bytes, context: Any) -> bytes:
        text = f"{name} is not served: this platform has nothing behind it yet"
        context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
        return b""

    return behave
