"""The SMS as a node reaches it: calls with a deadline, and what goes wrong told as our own errors."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc

from spear.adapters.credentials import Pem
from spear.adapters.rpc.calls import Message
from spear.adapters.rpc.errors import CODE_KEY
from spear.adapters.rpc.generated.sms import backend_registry_pb2 as registry
from spear.adapters.rpc.generated.sms import node_pb2 as pb
from spear.adapters.rpc.generated.sms import placement_pb2 as places
from spear.adapters.rpc.generated.sms import task_pb2 as tasks
from spear.adapters.rpc.lines import line_to
from spear.adapters.rpc.server import on_the_hub
from spear.adapters.rpc.services.backends import backend_message
from spear.adapters.rpc.services.tasks import described
from spear.config import Address
from spear.domain.backend import Backend
from spear.domain.node import NodeStatus, OutcomeClass
from spear.errands import NodeAddress
from spear.errors import Forbidden, NotFound, Overloaded, Refused, SpearError, TooLarge, Unauthenticated, Unavailable
from spear.ports import TaskChange
from spear.services.tokens import ANOTHER_NODE

log = logging.getLogger(__name__)
_CALL_S = 5.0
NOT_SERVED = "UNIMPLEMENTED"  # the code of an `Unavailable` method
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_LATER = (*_NO_ANSWER, grpc.StatusCode.UNIMPLEMENTED)  # an older SMS may be replaced by one that answers
_KINDS: dict[grpc.StatusCode, type[SpearError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
}
_CHANGES = {tasks.TASK_EVENT_KIND_CREATE: TaskChange.CREATED, tasks.TASK_EVENT_KIND_CANCEL: TaskChange.GONE}


def channel_options(retry_ms: int) -> dict[str, int]:
    """Of a channel that tries to connect every `retry_ms` (gRPC itself does not less than 100 ms) as long as it is not."""
    return {
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.initial_reconnect_backoff_ms": retry_ms,
        "grpc.max_reconnect_backoff_ms": retry_ms,
    }


class SmsClient:
    """One channel to an SMS; it connects again by itself every `retry_ms`, and a call that gets no answer raises `Unavailable`.

    `learn` is told the key for the gate of the node that registers or beats here, and the SMS's time in seconds.
    """

    def __init__(
        self,
        address: Address,
        *,
        learn: Callable[[bytes, int], None],
        retry_ms: int,
        token: str = "",
        pem: Pem | None = None,
    ) -> None:
        on_the_hub()
        self._address, self._learn = address, learn
        self._shown = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = line_to(address, list(channel_options(retry_ms).items()), pem)

    def connect(self, timeout_s: float) -> None:
        """Wait for the connection; raises `Unavailable` when there is none within `timeout_s`, `Unauthenticated`."""
        check = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            check(b"", timeout=timeout_s, wait_for_ready=True, metadata=self._shown)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise self._ours("Health/Check", error) from None
            if error.code() in _NO_ANSWER:  # any other answer is one: not every SMS has this service
                raise Unavailable(f"no SMS answers at {self._address} within {timeout_s * 1000:.0f} ms") from None

    def register(self, *, uuid: str, ip_address: str, port: int, http_port: int, metadata: Mapping[str, str]) -> str:
        """Make the node known under its own uuid, now or again; returns that uuid."""
        node = pb.Node(
            uuid=uuid, ip_address=ip_address, port=port, http_port=http_port, status="online", metadata=metadata
        )
        answer = self.call("NodeService/RegisterNode", pb.RegisterNodeRequest(node=node), pb.RegisterNodeResponse)
        self._learn(answer.pass_key, 0)
        return str(answer.node_uuid or uuid)

    def report(self, uuid: str, numbers: Mapping[str, int | float]) -> bool:
        """Beat, and say what the machine has and uses; returns whether the SMS gives the node no new work.

        Raises `NotFound` when the SMS does not know the node.
        """
        try:
            beat = self.call("NodeService/Heartbeat", pb.HeartbeatRequest(uuid=uuid), pb.HeartbeatResponse)
        except Forbidden as error:
            raise NotFound(error.message) if error.code == ANOTHER_NODE else error from None
        if not beat.success:
            raise NotFound.noun("node", uuid)
        self._learn(beat.pass_key, beat.server_timestamp)
        resource: Message = pb.NodeResource
        request = pb.UpdateNodeResourceRequest(resource=resource(node_uuid=uuid, **numbers))
        self.call("NodeService/UpdateNodeResource", request, pb.UpdateNodeResourceResponse)
        log.debug("reported the resources of node %s to the SMS: %s", uuid, numbers)
        return bool(beat.drained)

    def report_backends(self, uuid: str, backends: Sequence[Backend]) -> None:
        """Which model backends the node has, all of them; a node that never had any is not spoken of."""
        if not backends:
            asked = registry.GetNodeBackendsRequest(node_uuid=uuid)
            if not self.call("BackendRegistryService/GetNodeBackends", asked, registry.GetNodeBackendsResponse).found:
                return
        snapshot = registry.NodeBackendSnapshot(node_uuid=uuid, revision=1, backends=map(backend_message, backends))
        request = registry.ReportNodeBackendsRequest(snapshot=snapshot)
        self.call("BackendRegistryService/ReportNodeBackends", request, registry.ReportNodeBackendsResponse)

    def task(self, task_id: str) -> dict[str, Any] | None:
        """How the task is described; None when there is none.

        An SMS that was just away is waited for: it may be the one who had this node asked.
        """
        request = tasks.GetTaskRequest(task_id=task_id)
        answer = self.call("TaskService/GetTask", request, tasks.GetTaskResponse, wait_for_ready=True)
        return described(answer.task) if answer.found else None

    def task_at(self, endpoint: str) -> tuple[str, dict[str, Any]] | None:
        """The id and the description of the task that owns the endpoint; None when nobody does."""
        request = tasks.ResolveEndpointRequest(endpoint=endpoint)
        answer = self.call("TaskService/ResolveEndpoint", request, tasks.ResolveEndpointResponse)
        return (str(answer.task.task_id), described(answer.task)) if answer.found else None

    def place(self, task_id: str, *, request_id: str, most: int) -> tuple[str, list[tuple[NodeAddress, float]]]:
        """The id of the SMS's decision, and the best nodes with their scores, best first."""
        request = places.PlaceInvocationRequest(request_id=request_id, task_id=task_id, max_candidates=most)
        answer = self.call("PlacementService/PlaceInvocation", request, places.PlaceInvocationResponse)
        found = [(NodeAddress(c.node_uuid, c.ip_address, c.port, c.token), c.score) for c in answer.candidates]
        return str(answer.decision_id), found

    def node(self, node_uuid: str) -> NodeAddress | None:
        """Where the node answers; None for one that is gone or was declared lost."""
        try:
            told = self.call("NodeService/GetNode", pb.GetNodeRequest(uuid=node_uuid), pb.GetNodeResponse)
        except NotFound:
            return None
        found = told.node
        lost = found.status == NodeStatus.OFFLINE
        return None if lost else NodeAddress(found.uuid, found.ip_address, found.port, told.token)

    def tell_outcome(
        self, node_uuid: str, *, decision_id: str, request_id: str, task_id: str, outcome: OutcomeClass, text: str
    ) -> None:
        """How an invocation on the node went."""
        request = places.ReportInvocationOutcomeRequest(
            decision_id=decision_id, request_id=request_id, task_id=task_id, node_uuid=node_uuid,
            outcome_class=f"INVOCATION_OUTCOME_CLASS_{outcome.upper()}", error_message=text,
        )  # fmt: skip
        self.call("PlacementService/ReportInvocationOutcome", request, places.ReportInvocationOutcomeResponse)

    def changes(self, node_uuid: str, *, after: int) -> Iterator[tuple[int, str, TaskChange]]:
        """What happens to this node's tasks, for ever; raises `Unavailable` or `Refused` when the stream ends."""
        method = "TaskService/SubscribeTaskEvents"
        follow = self._channel.unary_stream(
            f"/sms.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=tasks.TaskEvent.FromString,
        )
        wanted = tasks.SubscribeTaskEventsRequest(node_uuid=node_uuid, last_event_id=after)
        try:
            for event in follow(wanted, metadata=self._shown):
                yield event.event_id, event.task_id, _CHANGES.get(event.kind, TaskChange.UPDATED)
        except grpc.RpcError as error:
            raise self._ours(method, error) from None
        raise Unavailable(f"the SMS at {self._address}: {method}: the stream ended")

    def call(
        self, method: str, request: Message, answers: Callable[[], Message], *, wait_for_ready: bool = False
    ) -> Message:
        """One call of a method of `sms.*`; what goes wrong is raised as our own error."""
        return self.begin(method, request, answers, wait_for_ready=wait_for_ready)()

    def begin(
        self, method: str, request: Message, answers: Callable[[], Message], *, wait_for_ready: bool = False
    ) -> Callable[[], Message]:
        """Likewise, but on its way when this returns; calling what is returned waits for the answer."""
        call = self._channel.unary_unary(
            f"/sms.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answers.FromString,  # type: ignore[attr-defined]
        )
        under_way = call.future(request, timeout=_CALL_S, wait_for_ready=wait_for_ready, metadata=self._shown)

        def answer() -> Message:
            try:
                told = under_way.result()
                log.debug("called the SMS: %s", method)
                return told
            except grpc.RpcError as error:
                log.debug("called the SMS: %s: %s", method, error.code().name)
                raise self._ours(method, error) from None
            except grpc.FutureCancelledError:
                raise Unavailable(f"the SMS at {self._address}: {method}: given up") from None

        return answer

    def _ours(self, method: str, error: Any) -> SpearError:
        code, text = error.code(), f"the SMS at {self._address}: {method}: {error.details()}"
        if code in _LATER:
            return Unavailable(text, code=NOT_SERVED if code is grpc.StatusCode.UNIMPLEMENTED else None)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            final = any(word in text for word in ("truncated", "larger than"))
            return TooLarge(text) if final else Overloaded(text)
        told = dict(error.trailing_metadata() or ()).get(CODE_KEY)
        return _KINDS.get(code, Refused)(text, code=str(told) if told else None)

    def close(self) -> None:
        """Hang up; may be called twice."""
        self._channel.close()
