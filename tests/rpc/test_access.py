"""Who may ask by gRPC: an address beyond loopback asks for tokens, and a token opens what its role may do and no more."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from spear.adapters.rpc.access import METHODS, markdown
from spear.adapters.rpc.generated.sms import (
    events_pb2,
    execution_log_ingest_pb2,
    execution_pb2,
    node_pb2,
    placement_pb2,
    task_pb2,
)
from spear.adapters.rpc.generated.spearlet import function_pb2
from spear.domain.token import TokenRole
from tests.closed import Closed
from tests.rpc._wire import Stub, bearer, connected, refused
from tests.rpc.conftest import FILES
from tests.rpc.test_server import described
from tests.server import ROOT, events_of

ROLES = [role.value for role in TokenRole]
PLACE = {"ip_address": "127.0.0.9", "port": 1}
UNKNOWN, FORBIDDEN = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    with Closed(tmp_path_factory.mktemp("closed") / "data") as server:
        server.session.headers["Authorization"] = f"Bearer {server.tokens['admin']}"
        yield server


@pytest.fixture(scope="module")
def line(closed: Closed) -> Iterator[grpc.Channel]:
    with connected(closed) as channel:
        yield channel


def nodes(line: grpc.Channel, token: str = "") -> Stub:
    return Stub(line, node_pb2, "NodeService", token=token)


def status(line: grpc.Channel, method: str, sent: object = (), data: bytes = b"") -> grpc.StatusCode:
    """How a call of bytes ends, or OK once it is answered."""
    call = line.stream_stream(f"/{method}")(iter([data]), timeout=5, metadata=sent)
    try:
        next(call)
    except grpc.RpcError as error:
        return error.code()
    call.cancel()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ((), "missing, expected Bearer"),
        (bearer("spear_wrong"), "unknown or was revoked"),
        (bearer(""), "unknown or was revoked"),
        ((("authorization", "Basic YTpi"),), "expected the scheme Bearer"),
        ((("authorization", "nonsense" * 1000),), "expected the scheme Bearer"),
    ],
)
def test_who_brings_no_good_token_learns_nothing(line, sent, told):
    for ask in (nodes(line).ListNodes, nodes(line).GetNode):
        with refused(UNKNOWN, told):
            ask(sent=sent)
    with refused(UNKNOWN, told):
        next(Stub(line, events_pb2, "EventsService").SubscribeEvents(sent=sent))


def test_a_wrong_token_is_refused_even_where_none_is_needed(channel):
    with refused(UNKNOWN, "unknown or was revoked"):
        nodes(channel, "spear_wrong").ListNodes()


@pytest.mark.parametrize("role", ROLES)
def test_each_method_is_for_whom_the_table_says(closed, line, role):
    for method, who, _ in METHODS:
        may = role == "admin" or role in who.split() or who == "anybody" or (role == "client" and "owner" in who)
        found = status(line, method, bearer(closed.tokens[role]))
        if role == "node" and "itself" in who:
            assert found in (FORBIDDEN, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED), method
        else:
            assert (found is FORBIDDEN) != may, (method, found)
        assert found not in (UNKNOWN, grpc.StatusCode.INTERNAL), method


def test_what_needs_no_token_needs_none(line):
    for method, who, _ in METHODS:
        assert (status(line, method) is UNKNOWN) == (who != "anybody"), method


def test_the_table_has_every_method_that_is_served(channel):
    assert {method for method, _, _ in METHODS} == described(channel)


def test_the_documentation_shows_the_table():
    assert markdown() in (ROOT / "docs" / "security.md").read_text()


def test_health_answers_whoever_asks(line):
    answer = health_pb2_grpc.HealthStub(line).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_bad_message_of_somebody_who_may_not_ask_is_not_looked_at(line, closed):
    assert status(line, "sms.NodeService/GetNode", data=b"\xff\xff") is UNKNOWN
    assert status(line, "sms.NodeService/ListNodes", bearer(closed.tokens["client"]), b"\xff\xff") is FORBIDDEN


def test_a_node_registers_and_then_speaks_for_itself_alone(closed, line):
    own, other = nodes(line, closed.issued("n1", "node")), nodes(line, closed.tokens["operator"])
    stranger = other.RegisterNode(node=PLACE).node_uuid
    with refused(FORBIDDEN, "bound to no node yet"):
        own.Heartbeat(uuid=stranger)
    assert not own.GetNode(uuid=stranger).token
    uuid = own.RegisterNode(node=PLACE).node_uuid
    assert own.Heartbeat(uuid=uuid.upper()).success
    assert own.UpdateNodeResource(resource={"node_uuid": uuid, "cpu_usage_percent": 1}).success
    assert own.GetNode(uuid=uuid).found
    assert own.GetNode(uuid=stranger).token.startswith(f"spear_pass.{uuid}.")
    for ask in (own.Heartbeat, own.DeleteNode, own.GetNodeWithResource):
        with refused(FORBIDDEN, uuid, "speaks for no other"):
            ask(uuid=stranger)
    with refused(FORBIDDEN, "speaks for no other"):
        own.UpdateNode(uuid=uuid, node={**PLACE, "uuid": stranger})
    with refused(FORBIDDEN, "speaks for no other"):
        own.UpdateNodeResource(resource={"node_uuid": stranger})
    tasks = Stub(line, task_pb2, "TaskService", token=closed.issued("n1b", "node"))
    with refused(FORBIDDEN, "bound to no node yet"):
        next(tasks.SubscribeTaskEvents(node_uuid=stranger))
    with refused(FORBIDDEN, "registered"):
        own.RegisterNode(node=PLACE)


def test_a_node_is_welcomed_back_under_its_own_uuid_and_nobody_else_is(closed, line):
    uuid, token = str(uuid4()), closed.issued("n2", "node")
    own = nodes(line, token)
    for _ in range(2):
        assert own.RegisterNode(node={**PLACE, "uuid": uuid}).node_uuid == uuid
    assert own.Heartbeat(uuid=uuid).success
    with refused(FORBIDDEN, uuid):
        nodes(line, closed.issued("n2b", "node")).RegisterNode(node={**PLACE, "uuid": uuid})
    with refused(FORBIDDEN, uuid):
        own.RegisterNode(node={**PLACE, "uuid": str(uuid4())})
    assert own.DeleteNode(uuid=uuid).success
    assert own.RegisterNode(node={**PLACE, "uuid": uuid}).node_uuid == uuid


@pytest.fixture
def two(closed, line):
    """Two nodes: their tokens and uuids."""
    tokens = [closed.issued(f"n-{uuid4().hex}", "node") for _ in range(2)]
    return [(token, nodes(line, token).RegisterNode(node=PLACE).node_uuid) for token in tokens]


REQUESTS = {
    f"{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def naming(method: str, path: str, uuid: str) -> bytes:
    """A request of this method that names a node there and says nothing else."""
    message = REQUESTS[method]()
    *parents, last = path.split(".")
    named = message
    for name in parents:
        named = getattr(named, name)
    setattr(named, last, uuid)
    return message.SerializeToString()


def test_by_no_method_does_a_node_speak_for_another(line, two):
    (token, _), (_, other) = two
    spoken = [(method, path) for method, who, paths in METHODS if "itself" in who for path in paths.split()]
    found = {one: status(line, one[0], bearer(token), naming(*one, other)) for one in spoken}
    assert len(found) > 12 and found == dict.fromkeys(found, FORBIDDEN)


def test_the_lines_of_an_execution_are_told_by_the_node_that_runs_it(closed, line, two):
    (token, own), (thief, _) = two
    ran = {
        "execution_id": str(uuid4()),
        "task_id": closed.register("hello"),
        "node_uuid": own,
        "instance_id": str(uuid4()),
    }
    registry = Stub(line, execution_pb2, "ExecutionRegistryService", token=token)
    assert registry.ReportExecution(**ran, status=execution_pb2.EXECUTION_STATUS_RUNNING).accepted
    said = {"execution_id": ran["execution_id"], "lines": [{"seq": 1, "message": "mine"}]}
    ingest = [Stub(line, execution_log_ingest_pb2, "ExecutionLogIngestService", token=one) for one in (thief, token)]
    with refused(FORBIDDEN, "speaks for no other"):
        ingest[0].AppendExecutionLogs(**said)
    with refused(FORBIDDEN, "speaks for no other"):
        ingest[0].FinalizeExecutionLogs(execution_id=ran["execution_id"])
    assert ingest[1].AppendExecutionLogs(**said).accepted == 1


def test_how_an_invocation_went_is_told_by_who_asked_where_it_should_run(closed, line, two):
    placing = [Stub(line, placement_pb2, "PlacementService", token=token) for token, _ in two]
    (token, _), (_, other) = two
    told = {"request_id": "r", "task_id": closed.register("hello"), "node_uuid": other}
    decisions = [one.PlaceInvocation(request_id="r", task_id=told["task_id"]).decision_id for one in placing]
    for wrong in (decisions[1], str(uuid4()), other, "nonsense"):
        with refused(FORBIDDEN, "decision_id", wrong, "a decision that token"):
            placing[0].ReportInvocationOutcome(**told, decision_id=wrong, outcome_class=3)
        body = {**told, "decision_id": wrong, "outcome_class": "unavailable"}
        by_rest = closed.as_(token, "POST", "/api/v1/placement/invocations/report-outcome", json=body)
        assert (by_rest.status_code, by_rest.json()["error"]) == (403, "NOT_ITS_DECISION")
    assert events_of(closed, ["OutcomeReported"], noun="node", ident=other) == []
    assert placing[0].ReportInvocationOutcome(**told, decision_id=decisions[0], outcome_class=3).accepted
    operator = Stub(line, placement_pb2, "PlacementService", token=closed.tokens["operator"])
    assert operator.ReportInvocationOutcome(**told, decision_id="d", outcome_class=1).accepted
    assert len(events_of(closed, ["OutcomeReported"], noun="node", ident=other)) == 2


def test_a_result_is_told_by_the_node_that_ran_it(closed, line, two):
    task_id, another = closed.register("hello"), closed.register("hello")
    (token, own), (thief, _) = two
    told = {"execution_id": str(uuid4()), "task_id": task_id, "node_uuid": own, "instance_id": str(uuid4())}
    registry = Stub(line, execution_pb2, "ExecutionRegistryService", token=token)
    assert registry.ReportExecution(**told, status=execution_pb2.EXECUTION_STATUS_RUNNING).accepted

    def result(by, task=task_id, ident=told["execution_id"]):
        tasks = Stub(line, task_pb2, "TaskService", token=by)
        return tasks.UpdateTaskResult(
            task_id=task, result_status="failed", result_metadata={"execution_id": ident} if ident else {}
        )

    for wrong in ({"by": thief}, {"by": token, "ident": ""}, {"by": token, "ident": str(uuid4())}):
        with refused(FORBIDDEN, "result_metadata.execution_id", "that ran on the node of token"):
            result(**wrong)
    with refused(FORBIDDEN, another):
        result(token, task=another)
    kept = lambda: [e for e in events_of(closed, ["TaskResultReported"]) if e["data"]["task_id"] in (task_id, another)]
    assert kept() == []
    assert result(token).success
    assert result(closed.tokens["operator"], ident="").success
    assert len(kept()) == 2


def test_a_client_ends_what_its_token_requested_through_whichever_door_and_nothing_else(closed, line):
    mine, other = closed.issued("mine", "client"), closed.issued("other", "client")
    asked = {"task_id": closed.register("loop"), "mode": "async"}
    execution = closed.as_(mine, "POST", "/api/v1/executions", json=asked).json()["execution_id"]
    with refused(FORBIDDEN, "other", execution):
        Stub(line, function_pb2, "ExecutionService", token=other).TerminateExecution(execution_id=execution)
    assert Stub(line, function_pb2, "ExecutionService", token=mine).TerminateExecution(execution_id=execution).success
    invoke = Stub(line, function_pb2, "InvocationService", token=mine).Invoke
    again = invoke(task_id=asked["task_id"], mode=function_pb2.EXECUTION_MODE_ASYNC).execution_id
    assert closed.as_(other, "POST", f"/api/v1/executions/{again}/terminate").status_code == 403
    assert closed.as_(mine, "POST", f"/api/v1/executions/{again}/terminate").status_code == 200


def test_every_event_names_the_token_that_caused_it(closed, line):
    uuid = nodes(line, closed.tokens["operator"]).RegisterNode(node=PLACE).node_uuid
    (event,) = events_of(closed, ["NodeRegistered"], noun="node", ident=uuid)
    assert event["actor"] == "grpc:a-operator"
    task = closed.register("hello")
    invoke = Stub(line, function_pb2, "InvocationService", token=closed.tokens["client"]).Invoke
    ran = invoke(task_id=task).execution_id
    caused = events_of(closed, [], noun="execution", ident=ran)
    caused += events_of(closed, [], noun="object", ident=f"results/{task}/{ran}")
    assert {"ExecutionRequested", "ExecutionStarted", "ExecutionCompleted", "ObjectPut"} <= {e["type"] for e in caused}
    assert {event["actor"] for event in caused} == {"grpc:a-client"}


def test_a_revoked_token_opens_nothing_at_once(closed, line):
    token = closed.issued("shortlived", "operator")
    assert nodes(line, token).ListNodes() is not None
    assert closed.call("DELETE", "/api/v1/tokens/shortlived").ok
    with refused(UNKNOWN, "was revoked"):
        nodes(line, token).ListNodes()


def test_no_token_stands_in_the_log_of_the_server(closed, line):
    token = closed.issued("quiet", "node")
    with suppress(grpc.RpcError):
        nodes(line, token).ListNodes()
    assert token not in closed.output()


def test_a_revoked_token_ends_the_streams_that_it_opened_and_no_others(closed, line):
    def following(token):
        stream = Stub(line, events_pb2, "EventsService", token=token).SubscribeEvents(selector={"all": {}})
        next(stream)
        return stream

    lost, kept = following(closed.issued("leaver", "operator")), following(closed.tokens["operator"])
    assert closed.call("DELETE", "/api/v1/tokens/leaver").ok
    with refused(UNKNOWN, "was revoked"):
        list(lost)
    uuid = nodes(line, closed.tokens["operator"]).RegisterNode(node=PLACE).node_uuid
    assert next(event for event in kept if event.resource_id == uuid)
    kept.cancel()
