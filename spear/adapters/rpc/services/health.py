"""`grpc.health.v1`: whether the server, and each of its services, answers."""

from collections.abc import Iterator, Sequence

from gevent.event import Event
from grpc_health.v1 import health_pb2 as pb

from spear.adapters.rpc.calls import Asked, Message
from spear.errors import NotFound


class Health:
    """SERVING from the start until `stop`; the service "" is the server as a whole."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["Health"]

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(("", *names))
        self._stopping = Event()

    def stop(self) -> None:
        """From now on nothing is SERVING."""
        self._stopping.set()

    def _status(self) -> str:
        return "NOT_SERVING" if self._stopping.is_set() else "SERVING"

    def check(self, request: Message, asked: Asked) -> Message:
        """The status of one service; raises `NotFound` for one that is not here."""
        if request.service not in self._names:
            raise NotFound.noun("service", request.service)
        return pb.HealthCheckResponse(status=self._status())

    def watch(self, request: Message, asked: Asked) -> Iterator[Message]:
        """The status of one service now and when it changes."""
        known = request.service in self._names
        yield pb.HealthCheckResponse(status=self._status() if known else "SERVICE_UNKNOWN")
        self._stopping.wait()
        if known:
            yield pb.HealthCheckResponse(status=self._status())

    def list(self, request: Message, asked: Asked) -> Message:
        """The status of every service."""
        status = pb.HealthCheckResponse(status=self._status())
        return pb.HealthListResponse(statuses=dict.fromkeys(self._names, status))
