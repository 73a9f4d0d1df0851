"""The server itself: calls side by side, streams, limits, what cannot be read, health, reflection, roles and the end."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from spear.adapters.rpc.errors import status_of
from spear.adapters.rpc.generated.sms import events_pb2, node_pb2
from spear.adapters.rpc.generated.spearlet import function_pb2
from spear.errors import (
    AlreadyExists,
    Conflict,
    CursorGap,
    CursorReset,
    ExecutionTimedOut,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    Overloaded,
    Refused,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from tests.rpc._wire import Stub, connected, refused
from tests.rpc.conftest import MOST_STREAMS
from tests.server import ROOT, Server, events_of, eventually

MIB = 1024 * 1024
EVERYTHING, NOTHING = {"selector": {"all": {}}}, {"selector": {"stream": "type.nothing"}}


def raw(channel: grpc.Channel, method: str, data: bytes) -> bytes:
    """One call of bytes."""
    return channel.unary_unary(method)(data, timeout=30)


def test_calls_go_on_side_by_side(server, nodes, invocations):
    sleeper = server.register("sleep", config={"limits.concurrency": "8"})
    runs = [invocations.Invoke.later(task_id=sleeper) for _ in range(8)]
    registered = [nodes.RegisterNode.later(node={"ip_address": "127.0.0.9", "port": 1}) for _ in range(64)]
    assert all(call.result().success for call in registered)
    listed = {"task_id": sleeper, "status": "running"}
    asked = eventually(lambda: (e := server.get("/api/v1/executions", params=listed).json()["executions"])[7:] and e)
    assert not any(run.done() for run in runs)
    for execution in asked:
        server.post(f"/api/v1/executions/{execution['execution_id']}/terminate")
    assert [run.result().status for run in runs] == [function_pb2.EXECUTION_STATUS_TERMINATED] * 8


def test_a_stream_gives_way_to_other_calls(stub, nodes):
    stream = stub("sms.EventsService").SubscribeEvents(**EVERYTHING)
    first = next(stream)
    uuid = nodes.RegisterNode(node={"ip_address": "127.0.0.9", "port": 9}).node_uuid
    assert next(event for event in stream if event.resource_id == uuid).seq > first.seq
    stream.cancel()


def test_streams_are_bounded_and_one_that_is_cancelled_makes_room(stub):
    follow = stub("sms.EventsService").SubscribeEvents
    streams = [follow(**NOTHING) for _ in range(MOST_STREAMS)]
    for stream in streams:
        stream.initial_metadata()
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "streams are open"):
        next(follow(**NOTHING))
    for stream in streams:
        stream.cancel()

    def has_room() -> bool:
        again = follow(**NOTHING)
        again.initial_metadata()
        accepted = again.is_active()
        again.cancel()
        return accepted

    eventually(has_room)


@pytest.mark.parametrize("method", ["/sms.NodeService/GetNode", "/sms.EventsService/SubscribeEvents"])
def test_bytes_that_are_no_message_are_the_callers_mistake(channel, method):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot be read"):
        if "Subscribe" in method:
            list(channel.unary_stream(method)(b"\xff\xff\xff", timeout=30))
        else:
            raw(channel, method, b"\xff\xff\xff")


def test_a_text_that_is_not_utf_8_is_the_callers_mistake(channel):
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "cannot be read as sms.GetNodeRequest"):
        raw(channel, "/sms.NodeService/GetNode", b"\x0a\x02\xc3\x28")


def test_a_message_over_the_limit_is_refused_and_one_below_it_is_not(objects):
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "larger"):
        objects.PutObject(key="large", value=bytes(4 * MIB))
    assert objects.PutObject(key="large", value=bytes(4 * MIB - 100), overwrite=True).success


def test_the_limit_on_messages_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setenv("SMS_GRPC_MAX_MESSAGE_BYTES", "1000")
    with Server(tmp_path / "data") as small, connected(small) as channel:
        ask = Stub(channel, node_pb2, "NodeService").GetNode
        pytest.raises(grpc.RpcError, ask, uuid="x" * 1000).match("RESOURCE_EXHAUSTED")
        pytest.raises(grpc.RpcError, ask, uuid="x" * 900).match("NOT_FOUND")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Invalid, "INVALID_ARGUMENT"), (Malformed, "INVALID_ARGUMENT"), (NotFound, "NOT_FOUND"),
        (AlreadyExists, "ALREADY_EXISTS"), (Refused, "FAILED_PRECONDITION"), (CursorReset, "FAILED_PRECONDITION"),
        (CursorGap, "OUT_OF_RANGE"), (Conflict, "ABORTED"), (Overloaded, "RESOURCE_EXHAUSTED"),
        (TooLarge, "RESOURCE_EXHAUSTED"), (ExecutionTimedOut, "DEADLINE_EXCEEDED"), (Unavailable, "UNAVAILABLE"),
        (Unauthenticated, "UNAUTHENTICATED"), (Forbidden, "PERMISSION_DENIED"),
    ],
)  # fmt: skip
def test_each_kind_of_error_has_its_status(kind, status):
    assert status_of(kind("why")) is grpc.StatusCode[status]


def test_what_is_no_method_is_unimplemented(channel):
    with refused(grpc.StatusCode.UNIMPLEMENTED):
        raw(channel, "/sms.NodeService/Explode", b"")


def test_noise_on_the_port_is_survived(server, nodes):
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, b"\x00" * 5000):
        with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=10) as connection:
            connection.sendall(noise)
    assert nodes.ListNodes().nodes


def test_events_by_this_door_carry_its_name_and_the_callers_request_id(server, nodes, fresh):
    wanted = f"test-{fresh}"
    nodes.RegisterNode(node={"uuid": fresh, "ip_address": "127.0.0.9", "port": 1}, sent=(("x-request-id", wanted),))
    (event,) = events_of(server, ["NodeRegistered"], noun="node", ident=fresh)
    assert (event["actor"], event["correlation"]) == ("grpc", wanted)


def test_a_request_id_that_is_no_plain_word_is_replaced(server, nodes, fresh):
    nodes.RegisterNode(node={"uuid": fresh, "ip_address": "127.0.0.9", "port": 1}, sent=(("x-request-id", "a b" * 99),))
    (event,) = events_of(server, ["NodeRegistered"], noun="node", ident=fresh)
    assert len(event["correlation"]) == 32


def test_health_is_told_for_the_server_and_for_each_service(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "sms.NodeService", "spearlet.InvocationService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with refused(grpc.StatusCode.NOT_FOUND):
        health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=30)
    assert len(health.List(health_pb2.HealthListRequest(), timeout=30).statuses) == 18
    watch = health.Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=30)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def services_of(channel: grpc.Channel) -> set[str]:
    """What reflection lists."""
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]), timeout=30)
    return {service.name for service in answer.list_services_response.service}


def described(channel: grpc.Channel) -> set[str]:
    """Every method that reflection describes, as `package.Service/Method`."""
    names, found = services_of(channel), set()
    asked = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in names]
    for answer in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked), timeout=30):
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            found |= {f"{file.package}.{s.name}/{m.name}" for s in file.service for m in s.method}
    return {name for name in found if name.partition("/")[0] in names}


def test_reflection_lists_and_describes_every_service(channel):
    listed = services_of(channel)
    assert len([name for name in listed if name.startswith("sms.")]) == 12
    assert {"spearlet.RouterFilterService", "spearlet.ObjectService", "grpc.health.v1.Health"} <= listed
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="sms.TaskService")
    (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]), timeout=30)
    assert b"SubscribeTaskEvents" in answer.file_descriptor_response.file_descriptor_proto[0]


SERVED = {
    "sms": """sms.NodeService sms.TaskService sms.PlacementService sms.EventsService sms.InstanceRegistryService
        sms.ExecutionRegistryService sms.ExecutionIndexService sms.ExecutionLogIngestService sms.McpRegistryService
        sms.BackendRegistryService sms.ModelDeploymentRegistryService sms.ObjectRegistryService
        spearlet.RouterFilterService""",
    "spearlet": """spearlet.ObjectService spearlet.InvocationService spearlet.ExecutionService
        spearlet.InstanceService""",
}


@pytest.mark.parametrize("role", SERVED)
def test_each_role_answers_for_its_own_services_says_that_they_do_well_and_describes_them(tmp_path, role):
    own = set(SERVED[role].split())
    with Server(tmp_path / "data", role=role) as alone, connected(alone) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        statuses = health.List(health_pb2.HealthListRequest(), timeout=30).statuses
        listed, methods = services_of(channel), described(channel)
    assert listed == own | {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert {name for name, told in statuses.items() if told.status == health_pb2.HealthCheckResponse.SERVING} >= own
    assert {method.partition("/")[0] for method in methods} == listed


def test_a_stop_ends_streams_and_answers_what_runs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SMS_EXECUTIONS_GRACE_MS", "100")
    with Server(tmp_path / "data") as ending, connected(ending) as channel, ThreadPoolExecutor(1) as threads:
        sleeper = ending.register("sleep")
        stream = Stub(channel, events_pb2, "EventsService").SubscribeEvents(**EVERYTHING)
        run = Stub(channel, function_pb2, "InvocationService").Invoke.later(task_id=sleeper)
        next(event for event in stream if event.headers["topic"] == "execution.ExecutionStarted")
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        stopped = threads.submit(ending.stop)
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert run.result().status == function_pb2.EXECUTION_STATUS_TERMINATED
        assert "stopping" in run.result().error.message
        with pytest.raises(grpc.RpcError):
            for _ in stream:
                pass
        assert stopped.result() == 0, ending.output()
        assert "Traceback" not in ending.output()


def test_a_bug_is_told_by_its_correlation_and_nothing_else():
    command = [sys.executable, "-m", "tests.rpc._broken"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            ask = Stub(channel, node_pb2, "NodeService").GetNode
            with pytest.raises(grpc.RpcError) as caught:
                ask(uuid="mine", sent=(("x-request-id", "find-me"),))
        _, log = process.communicate(timeout=30)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "an unexpected error; the server's log tells more under correlation find-me"
    line = next(line for line in map(json.loads, log.splitlines()) if line["level"] == "error")
    assert (line["correlation_id"], "secret mine" in line["exception"]) == ("find-me", True)
    assert process.returncode == 0


def test_who_asks_nothing_for_long_enough_is_hung_up_on_and_may_come_again():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    states, idle = [], threading.Event()

    def changed(state: grpc.ChannelConnectivity) -> None:
        states.append(state)
        if state is grpc.ChannelConnectivity.IDLE and grpc.ChannelConnectivity.READY in states:
            idle.set()

    with subprocess.Popen([sys.executable, "-m", "tests.rpc._broken", "200"], cwd=ROOT, **pipes) as process:
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            channel.subscribe(changed)
            for _ in range(2):
                with refused(grpc.StatusCode.INTERNAL):
                    Stub(channel, node_pb2, "NodeService").GetNode(uuid="x")
                assert idle.wait(20), states
                idle.clear()
        process.communicate(timeout=30)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named]
    subprocess.run(make, check=True, capture_output=True)
    return cert, key


def test_with_enable_tls_grpc_is_encrypted(tmp_path, monkeypatch, certificate):
    cert, key = certificate
    for name, value in (("ENABLE_TLS", "true"), ("TLS_CERT_PATH", str(cert)), ("TLS_KEY_PATH", str(key))):
        monkeypatch.setenv(f"SMS_GRPC_{name}", value)
    with Server(tmp_path / "data") as server:
        trusted = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{server.grpc_port}", trusted) as channel:
            assert len(Stub(channel, node_pb2, "NodeService").ListNodes().nodes) == 1
        with connected(server) as plain, refused(grpc.StatusCode.UNAVAILABLE):
            Stub(plain, node_pb2, "NodeService").ListNodes()
        assert server.stop() == 0
        cert.write_text("nonsense")
        done = subprocess.run(server.command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(f"spear_server: grpc.cert_path, grpc.key_path: cannot use {cert}")
