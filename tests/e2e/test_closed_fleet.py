"""An SMS and two SPEARlets whose doors all ask for tokens and certificates: calls find their way, and nobody else does."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc
import pytest
import requests
import websocket

from spear.adapters.rpc.generated.spearlet import function_pb2
from spear.protocols import passes, ssf
from tests.e2e.test_node_doors import Certificates, Encrypted, identity, with_token
from tests.rpc._wire import Stub, refused
from tests.server import SAMPLES, eventually

HANDSHAKE = {"Upgrade": "websocket", "Connection": "upgrade", "Sec-WebSocket-Version": "13"}


class Node(Encrypted):
    """A SPEARlet on which nobody issued a token."""

    def __enter__(self) -> Self:
        self.start()
        return self


def doors(shown: Path, ca: Path, *tables: str) -> str:
    """TLS both ways at these doors."""
    keys = f'enable_tls = true\ncert_path = "{shown}"\nkey_path = "{shown}"\nclient_ca_path = "{ca}"\n'
    return "".join(f"[{table}]\n{keys}" for table in tables)


def calls(ca: Path, shown: Path) -> str:
    """How to call nodes."""
    return f'[nodes]\nca_path = "{ca}"\ncert_path = "{shown}"\nkey_path = "{shown}"\n'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Encrypted]:
    folder, ca, own = tmp_path_factory.mktemp("fleet"), certificates.ca, certificates.sms
    (folder / "sms.toml").write_text(doors(own, ca, "http", "grpc") + calls(ca, own))
    server = Encrypted(folder / "sms", "--config", str(folder / "sms.toml"), role="sms")
    server.ca, server.shown = str(ca), str(certificates.node)
    with server:
        yield server


@pytest.fixture(scope="module")
def nodes(sms: Encrypted, certificates: Certificates) -> Iterator[tuple[Node, Node]]:
    one, two = (joining(sms, certificates, name) for name in ("one", "two"))
    with one, two:
        yield one, two


def joining(sms: Encrypted, certificates: Certificates, name: str) -> Node:
    """A SPEARlet that runs two executions at once and queues none."""
    folder, ca, own = sms.data_dir.parent / name, certificates.ca, certificates.sms
    folder.mkdir()
    keys = {
        "sms_http_addr": f"127.0.0.1:{sms.port}",
        "advertise_ip": "127.0.0.1",
        "sms_token_path": str(with_token(folder, sms, name)),
        "sms_ca_path": str(ca),
        "sms_cert_path": str(own),
        "sms_key_path": str(own),
    }
    joins = "[spearlet]\nheartbeat_interval = 60\n" + "".join(f"{key} = {json.dumps(keys[key])}\n" for key in keys)
    limits = "[executions]\nmax_concurrent = 2\nqueue_limit = 0\n"
    (folder / "node.toml").write_text(joins + limits + doors(own, ca, "http", "spearlet.grpc") + calls(ca, own))
    link = ["--config", str(folder / "node.toml"), "--sms-addr", f"127.0.0.1:{sms.grpc_port}", "--auto-register"]
    node = Node(folder / "node", *link, role="spearlet")
    node.ca, node.shown = str(ca), str(certificates.node)
    return node


def registered(sms: Encrypted, sample: str, **fields: object) -> str:
    """A sample agent as a task of the SMS."""
    content, operator = (SAMPLES / f"{sample}.wasm").read_bytes(), sms.tokens["operator"]
    uri = sms.as_(operator, "POST", "/api/v1/files", data=content, headers={"x-file-name": sample}).json()["uri"]
    body = {"name": sample, "version": "1", "executable": {"type": "wasm", "uri": uri}, **fields}
    return str(sms.as_(operator, "POST", "/api/v1/tasks", json=body).json()["task_id"])


def run(server: Encrypted, token: str, task: str, **body: object) -> requests.Response:
    return server.as_(token, "POST", "/api/v1/executions", json={"task_id": task, **body})


def show(server: Encrypted, token: str, ident: str) -> dict[str, object]:
    return dict(server.as_(token, "GET", f"/api/v1/executions/{ident}").json())


def begun(sms: Encrypted, task: str, **body: object) -> str:
    """An execution that runs on some node."""
    operator = sms.tokens["operator"]
    ident = str(run(sms, operator, task, mode="async", **body).json()["execution_id"])
    eventually(lambda: show(sms, operator, ident)["status"] == "running")
    return ident


def stop(sms: Encrypted, ident: str) -> requests.Response:
    return sms.as_(sms.tokens["operator"], "POST", f"/api/v1/executions/{ident}/terminate", json={"reason": "enough"})


def lines(sms: Encrypted, ident: str) -> list[str]:
    found = sms.as_(sms.tokens["client"], "GET", f"/api/v1/executions/{ident}/logs").json()
    return [line["message"] for line in found["lines"]]


def channel(node: Node, certificates: Certificates) -> grpc.Channel:
    """A channel of somebody with a good certificate."""
    pem = certificates.node.read_bytes()
    shown = grpc.ssl_channel_credentials(certificates.ca.read_bytes(), pem, pem)
    return grpc.secure_channel(f"127.0.0.1:{node.grpc_port}", shown)


def test_a_call_at_the_sms_runs_on_a_node_and_its_result_and_logs_come_back(
    sms: Encrypted, nodes: tuple[Node, Node]
) -> None:
    client = sms.tokens["client"]
    registered(sms, "echo", endpoint="mirror")
    answer = sms.as_(client, "POST", "/e/mirror", data=b"hi there")
    assert (answer.status_code, answer.content) == (200, b"hi there")
    assert show(sms, client, answer.headers["X-Execution-Id"])["node_uuid"] in map(identity, nodes)
    logged = run(sms, client, registered(sms, "log")).json()
    assert logged["status"] == "completed"
    eventually(lambda: lines(sms, logged["execution_id"]))


def test_what_runs_on_a_node_is_ended_at_the_sms(sms: Encrypted, nodes: tuple[Node, Node]) -> None:
    ident = begun(sms, registered(sms, "loop"))
    assert stop(sms, ident).json()["final_status"] == "cancelled"


def test_a_client_ends_at_the_sms_what_it_had_run_on_a_node_and_nothing_else(
    sms: Encrypted, nodes: tuple[Node, Node]
) -> None:
    client, loop = sms.tokens["client"], registered(sms, "loop")
    mine = str(run(sms, client, loop, mode="async").json()["execution_id"])
    eventually(lambda: show(sms, client, mine)["status"] == "running")
    others = begun(sms, loop)
    told = [sms.as_(client, "POST", f"/api/v1/executions/{ident}/terminate") for ident in (mine, others)]
    assert stop(sms, others).ok
    assert [answer.status_code for answer in told] == [200, 403]
    node = next(node for node in nodes if identity(node) == show(sms, client, mine)["node_uuid"])
    reader = node.new_token("looks", "client")
    assert show(node, reader, mine)["status"] == "cancelled"


def test_a_full_node_sends_a_call_on_by_its_sms_s_word_also_to_a_node_that_is_named(
    sms: Encrypted, nodes: tuple[Node, Node]
) -> None:
    full, other = nodes
    caller, loop, hello = full.new_token("caller", "client"), registered(sms, "loop"), registered(sms, "hello")
    busy = [begun(sms, loop, node_uuid=identity(full)) for _ in range(2)]
    sent_on = [run(full, caller, hello, **named).json() for named in ({}, {"node_uuid": identity(other)})]
    for ident in busy:
        stop(sms, ident)
    assert [(one["status"], one["node_uuid"]) for one in sent_on] == [("completed", identity(other))] * 2
    operator = other.new_token("reader", "operator")
    actors = [
        other.as_(operator, "GET", f"/api/v1/events?noun=execution&id={one['execution_id']}").json()["events"][0]
        for one in sent_on
    ]
    assert {one["actor"] for one in actors} == {f"grpc:fleet:{identity(full)}"}


def test_the_streams_of_an_execution_are_reached_through_the_sms(
    sms: Encrypted, nodes: tuple[Node, Node], certificates: Certificates
) -> None:
    ident = begun(sms, registered(sms, "stream_echo"))
    told = sms.as_(sms.tokens["client"], "POST", f"/api/v1/executions/{ident}/streams/session").json()
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.node)
    client = websocket.create_connection(told["ws_url"], timeout=10, sslopt={"context": context})
    said = ssf.make(ssf.Kind.DATA, 9, data=b"hi there")
    client.send_binary(said)
    assert client.recv() == said
    stop(sms, ident)
    assert client.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    client.close()


def test_an_object_of_a_node_is_read_at_the_sms_and_at_another_node_by_who_may(
    sms: Encrypted, nodes: tuple[Node, Node]
) -> None:
    one, two = nodes
    writer, reader, path = (
        one.new_token("writer", "client"),
        two.new_token("also", "client"),
        "/api/v1/objects/b/shared",
    )
    assert one.as_(writer, "PUT", path, data=b"shared").status_code == 201
    eventually(lambda: sms.as_(sms.tokens["client"], "GET", "/api/v1/objects?prefix=b/").json()["objects"])
    assert sms.as_(sms.tokens["client"], "GET", path).content == b"shared"
    assert two.as_(reader, "GET", path).content == b"shared"
    for door in (sms, two):
        assert door.call("GET", path).status_code == 401
    assert sms.as_(sms.tokens["node"], "PUT", path, data=b"mine").status_code == 403


def test_an_sms_that_was_killed_sends_calls_at_once(sms: Encrypted, nodes: tuple[Node, Node]) -> None:
    task, ident = registered(sms, "hello"), begun(sms, registered(sms, "sleep"), args=["800"])
    sms.kill()
    sms.start()
    assert run(sms, sms.tokens["client"], task).json()["status"] == "completed"
    eventually(lambda: show(sms, sms.tokens["client"], ident)["status"] == "completed")


def test_a_node_that_was_killed_is_sent_calls_at_once(sms: Encrypted, nodes: tuple[Node, Node]) -> None:
    task, node = registered(sms, "hello"), nodes[0]
    node.kill()
    node.start()
    found = run(sms, sms.tokens["client"], task, node_uuid=identity(node)).json()
    assert (found["status"], found["node_uuid"]) == ("completed", identity(node))


def test_a_node_lets_nobody_else_in(sms: Encrypted, nodes: tuple[Node, Node], certificates: Certificates) -> None:
    one, two = nodes
    secret = (sms.data_dir / "pass.key").read_bytes()
    foreign = passes.written(passes.key_of(secret, identity(two)), passes.SMS, 2**31)
    with channel(one, certificates) as line:
        for token in ("", sms.tokens["operator"], foreign):
            with refused(grpc.StatusCode.UNAUTHENTICATED, "authorization"):
                Stub(line, function_pb2, "InvocationService", token=token).Invoke(task_id="x")
    own = passes.written(passes.key_of(secret, identity(one)), passes.SMS, 2**31)
    assert one.as_(own, "GET", "/api/v1/tasks").status_code == 401
    assert one.as_(own, "PUT", "/api/v1/objects/by-a-pass", data=b"x").status_code == 401
    for token, status in ((foreign, 401), (own, 404)):
        assert one.as_(token, "GET", "/api/v1/objects/nothing?here=true").status_code == status
        path = "/api/v1/executions/0190a0a0-0000-7000-8000-000000000000/streams/ws"
        headers = {**HANDSHAKE, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        assert one.as_(token, "GET", path, headers=headers).status_code == status


def test_neither_keys_nor_passes_are_told_to_logs_or_events(sms: Encrypted, nodes: tuple[Node, Node]) -> None:
    events = sms.as_(sms.tokens["operator"], "GET", "/api/v1/events?limit=1000").text
    told = events + "".join(server.output() for server in (sms, *nodes))
    assert "spear_pass" not in told
    assert (sms.data_dir / "pass.key").stat().st_mode & 0o077 == 0


def test_an_sms_hears_from_a_node_how_it_went_on_the_node_that_it_named(
    sms: Encrypted, nodes: tuple[Node, Node]
) -> None:
    full, gone = nodes
    operator, loop, hello = sms.tokens["operator"], registered(sms, "loop"), registered(sms, "hello")
    busy = [begun(sms, loop, node_uuid=identity(full)) for _ in range(2)]
    gone.kill()
    run(full, full.new_token("another", "client"), hello, mode="async")
    query = f"/api/v1/events?type=OutcomeReported&noun=node&id={identity(gone)}"
    told = eventually(lambda: [e for e in sms.as_(operator, "GET", query).json()["events"] if e["actor"] == "grpc:one"])
    assert told[0]["data"]["outcome_class"] == "unavailable"
    for ident in busy:
        stop(sms, ident)
    gone.start()
    decision = {"decision_id": "d", "request_id": "r", "task_id": hello, "node_uuid": identity(gone)}
    body = {**decision, "outcome_class": "success"}
    assert sms.as_(operator, "POST", "/api/v1/placement/invocations/report-outcome", json=body).ok


def test_a_node_whose_certificate_another_ca_signed_is_sent_nothing(
    sms: Encrypted, nodes: tuple[Node, Node], certificates: Certificates, tmp_path: Path
) -> None:
    config, task = sms.data_dir.parent / "sms.toml", registered(sms, "hello")
    kept = config.read_text()
    config.write_text(
        kept.replace(calls(certificates.ca, certificates.sms), f'[nodes]\nca_path = "{certificates.stranger}"\n')
    )
    sms.stop()
    sms.start()
    try:
        ident = run(sms, sms.tokens["operator"], task, mode="async").json()["execution_id"]
        query = "/api/v1/events?type=ExecutionSpilled&noun=execution&id="
        spilled = eventually(lambda: sms.as_(sms.tokens["operator"], "GET", query + ident).json()["events"])
        assert spilled[0]["data"]["outcome_class"] == "unavailable"
        stop(sms, ident)
    finally:
        config.write_text(kept)
        sms.stop()
        sms.start()
