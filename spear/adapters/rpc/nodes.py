"""Other nodes as one that forwards executions reaches them: one channel for each, and what goes wrong sorted by what it means."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from spear.adapters.credentials import Pem
from spear.adapters.rpc.calls import Message
from spear.adapters.rpc.checks import bare_instance_id
from spear.adapters.rpc.errors import CODE_KEY
from spear.adapters.rpc.generated.spearlet import function_pb2 as pb
from spear.adapters.rpc.lines import line_to
from spear.adapters.rpc.server import on_the_hub
from spear.config import Address
from spear.domain.node import OutcomeClass
from spear.errands import NO_TASK, Answer, Arrival, Declined, Errand, NodeAddress
from spear.errors import Unavailable
from spear.ports import End, Outcome

log = logging.getLogger(__name__)
_CALL_S = 5.0
_MOST_CHANNELS = 256
_OPTIONS = {
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 2_000,  # also how long one attempt to connect may take
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.dns_ares_query_timeout": 2_000,  # 11 s if no name server answers, and a cancelled execution would wait for it
    "grpc.use_local_subchannel_pool": 1,  # else a new channel waits as long as the one before it would
}
_NEVER_LEFT = ("failed to connect", "connections to all backends failing", "errors resolving")
_ENDS = {
    pb.EXECUTION_STATUS_COMPLETED: End.COMPLETED,
    pb.EXECUTION_STATUS_FAILED: End.FAILED,
    pb.EXECUTION_STATUS_TERMINATED: End.CANCELLED,
    pb.EXECUTION_STATUS_TIMEOUT: End.TIMEOUT,
}
_FAILED, _PUBLIC_CODE = "EXECUTION_FAILED", "EXECUTION_ERROR"  # the one that nodes of the public SPEAR have
_Code = grpc.StatusCode
_REFUSALS = {  # a node that says one of these does not have the execution
    "OVERLOADED": OutcomeClass.OVERLOADED,
    "NODE_DRAINED": OutcomeClass.UNAVAILABLE,
    "NODE_UNSUITABLE": OutcomeClass.UNAVAILABLE,
    "NODE_UNREACHABLE": OutcomeClass.UNAVAILABLE,
    "STOPPING": OutcomeClass.UNAVAILABLE,
    NO_TASK: OutcomeClass.UNAVAILABLE,  # unless it is gone everywhere, which its sender knows
}
_CLASSES = {
    _Code.RESOURCE_EXHAUSTED: OutcomeClass.OVERLOADED,
    _Code.INVALID_ARGUMENT: OutcomeClass.BAD_REQUEST,
    _Code.UNIMPLEMENTED: OutcomeClass.UNAVAILABLE,  # whoever answers there is no node
    _Code.NOT_FOUND: OutcomeClass.REJECTED,
    _Code.FAILED_PRECONDITION: OutcomeClass.REJECTED,
    _Code.ALREADY_EXISTS: OutcomeClass.REJECTED,
    _Code.PERMISSION_DENIED: OutcomeClass.UNAVAILABLE,  # it is this process that is not let in, not its caller
}


class NodeClients:
    """Channels to nodes, at most `most` of them open; the one that was not used for longest makes room.

    With a `pem` they are encrypted, and nodes whose certificates its CA did not sign are not reached.
    """

    def __init__(self, *, max_message_bytes: int, pem: Pem | None = None, most: int = _MOST_CHANNELS) -> None:
        on_the_hub()
        self._pem, self._warned = pem, False
        options = {**_OPTIONS, "grpc.max_receive_message_length": max_message_bytes}
        self._options, self._most = list(options.items()), most
        self._channels: OrderedDict[str, _Channel] = OrderedDict()

    def invoke(self, node: NodeAddress, errand: Errand, *, timeout_s: float) -> Answer | Declined:
        """Have the errand run there, once however often it is asked, and block this caller until it ended."""
        request = pb.InvokeRequest(
            execution_id=errand.execution_id,
            task_id=errand.task_id,
            input=pb.Payload(content_type=errand.input_content_type, data=errand.input),
            environment=errand.environment,
            timeout_ms=errand.timeout_ms,
            mode=pb.EXECUTION_MODE_SYNC,
            args=errand.args,
            node_uuid=node.node_uuid,
            detached=True,
        )
        known_as = (("x-request-id", errand.correlation),) if errand.correlation else ()
        try:
            told = self._call(node, "InvocationService/Invoke", request, pb.InvokeResponse, timeout_s, known_as)
        except grpc.RpcError as error:
            return self._ended(node, errand, error) or self._declined(node, errand, error)
        return _answer(node, told, told.ending)

    def _ended(self, node: NodeAddress, errand: Errand, error: Any) -> Answer | None:
        """How the execution failed, where a node of the public SPEAR says no more than INTERNAL, and would run it again."""
        if error.code() is not _Code.INTERNAL:
            return None
        request = pb.GetExecutionRequest(execution_id=errand.execution_id, include_output=True)
        try:
            told = self._call(node, "ExecutionService/GetExecution", request, pb.Execution, _CALL_S)
        except grpc.RpcError:
            return None
        answer = _answer(node, told, pb.Ending())
        return answer if isinstance(answer, Answer) and told.error.code == _PUBLIC_CODE else None

    def _declined(self, node: NodeAddress, errand: Errand, error: Any) -> Declined:
        declined = _sorted(node, error)
        if declined.arrival is Arrival.UNKNOWN and _said(error):  # it spoke, so it can say whether it has it
            try:
                if not self.knows(node, errand.execution_id):
                    return Declined(Arrival.REFUSED, declined.outcome, declined.text, declined.code)
            except Unavailable:
                pass
        return declined

    def knows(self, node: NodeAddress, execution_id: str) -> bool:
        """Whether the node has the execution; raises `Unavailable` when it does not say."""
        request = pb.GetExecutionRequest(execution_id=execution_id)
        return self._known(node, "ExecutionService/GetExecution", request, pb.Execution)

    def terminate(self, node: NodeAddress, execution_id: str, reason: str) -> bool:
        """Have the execution end as cancelled; False when the node does not know it. Raises `Unavailable`."""
        request = pb.TerminateExecutionRequest(execution_id=execution_id, reason=reason)
        return self._known(node, "ExecutionService/TerminateExecution", request, pb.TerminateExecutionResponse)

    def _known(self, node: NodeAddress, method: str, request: Message, answers: Callable[[], Message]) -> bool:
        try:
            self._call(node, method, request, answers, _CALL_S)
        except grpc.RpcError as error:
            if error.code() is _Code.NOT_FOUND:
                return False
            raise Unavailable(_text(node, error)) from None
        return True

    def _call(
        self,
        node: NodeAddress,
        method: str,
        request: Message,
        answers: Callable[[], Message],
        timeout_s: float,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Message:
        with self._channel(node) as channel:
            call = channel.unary_unary(
                f"/spearlet.{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answers.FromString,  # type: ignore[attr-defined]
            )
            shown = (("authorization", f"Bearer {node.token}"),) if node.token else ()
            under_way = call.future(
                request, timeout=timeout_s, metadata=(*metadata, *shown)
            )  # a blocking one costs a thread each
            try:
                return under_way.result()
            except grpc.FutureCancelledError:
                raise under_way from None
            finally:
                under_way.cancel()

    @contextmanager
    def _channel(self, node: NodeAddress) -> Iterator[Any]:
        address = str(Address(node.host, node.port))
        found = self._channels.get(address)
        if found is None:
            self._make_room()
            found = self._channels[address] = _Channel(self._line_to(node))
        self._channels.move_to_end(address)
        found.users += 1
        try:
            yield found.channel
        except grpc.RpcError as error:
            if _never_left(error) and self._channels.get(address) is found:
                del self._channels[address]  # it would wait before it tries again; the next one tries at once
                found.given_up = True
            raise
        finally:
            found.users -= 1
            if found.given_up and not found.users:
                found.channel.close()

    def _line_to(self, node: NodeAddress) -> grpc.Channel:
        address = Address(node.host, node.port)
        if self._pem is None and not address.loopback and not self._warned:
            log.warning(
                "calls to node %s at %s cross the network unencrypted; set nodes.ca_path", node.node_uuid, address
            )
            self._warned = True
        return line_to(address, self._options, self._pem)

    def _make_room(self) -> None:
        idle = [address for address, channel in self._channels.items() if not channel.users]
        for address in idle[: max(len(self._channels) - self._most + 1, 0)]:
            self._channels.pop(address).channel.close()

    def close(self) -> None:
        """Hang up; calls under way end unanswered. May be called twice."""
        for channel in self._channels.values():
            channel.channel.close()


class _Channel:
    """A channel and how many calls use it."""

    def __init__(self, channel: Any) -> None:
        self.channel, self.users, self.given_up = channel, 0, False


def _answer(node: NodeAddress, told: Message, how: Message) -> Answer | Declined:
    end = _ENDS.get(told.status)
    if end is None:
        text = f"node {node.node_uuid}: the execution has not ended: {pb.ExecutionStatus.Name(told.status)}"
        return Declined(Arrival.UNKNOWN, OutcomeClass.INTERNAL, text)
    outcome = Outcome(
        end,
        told.output.data,
        how.exit_code if how.HasField("exit_code") else None,
        told.error.message,
        how.reason,
        how.last_action,
        _FAILED if told.error.code in ("", _PUBLIC_CODE) else told.error.code,
    )
    took = told.completed_at.ToMicroseconds() - told.started_at.ToMicroseconds() if told.HasField("started_at") else 0
    return Answer(outcome, bare_instance_id(told.instance_id), how.start, max(took, 0))


def _said(error: Any) -> str:
    """The code with which a node's own services refused; empty when it was not they who answered."""
    return str(dict(error.trailing_metadata() or ()).get(CODE_KEY, ""))


def _never_left(error: Any) -> bool:
    """Whether there was no connection that it could have taken."""
    return error.code() is _Code.UNAVAILABLE and any(words in (error.details() or "") for words in _NEVER_LEFT)


def _sorted(node: NodeAddress, error: Any) -> Declined:
    status, text, said = error.code(), _text(node, error), _said(error)
    if said in _REFUSALS:
        return Declined(Arrival.REFUSED, _REFUSALS[said], text, said)
    if status is _Code.RESOURCE_EXHAUSTED and "larger than max" in text:
        return Declined(Arrival.REFUSED, OutcomeClass.BAD_REQUEST, text, "TOO_LARGE")
    if status is _Code.UNAUTHENTICATED:  # whether it has the execution, its door does not tell
        return Declined(Arrival.UNSENT, OutcomeClass.UNAVAILABLE, text, status.name)
    if status in _CLASSES:
        return Declined(Arrival.REFUSED, _CLASSES[status], text, said or status.name)
    if status is _Code.UNAVAILABLE:
        arrival = Arrival.UNSENT if _never_left(error) else Arrival.UNKNOWN
        return Declined(arrival, OutcomeClass.UNAVAILABLE, text)
    kind = OutcomeClass.TIMEOUT if status is _Code.DEADLINE_EXCEEDED else OutcomeClass.INTERNAL
    return Declined(Arrival.UNKNOWN, kind, text)


def _text(node: NodeAddress, error: Any) -> str:
    return f"node {node.node_uuid} at {node.host}:{node.port}: {error.details() or error.code().name}"[:1024]
