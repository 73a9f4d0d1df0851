"""Nobody gets further at an SMS by way of a node than without it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import requests
from flask import Blueprint, Flask

from spear.adapters.rest import errors, passing
from spear.config import Address
from tests.closed import Closed
from tests.e2e._cut import Between
from tests.e2e.test_node_doors import with_token
from tests.server import Server

WRITES = (("POST", "tasks"), ("DELETE", "tasks/x"), ("POST", "files"), ("POST", "nodes"), ("POST", "nodes/x/drain"))
BODY = {"name": "n", "version": "1"}
READS = (("GET", "tasks"), ("HEAD", "tasks"), ("GET", "nodes"), ("GET", "files"))


class Node(Closed):
    """A SPEARlet with closed doors on which an operator's and a client's token were issued."""

    def __enter__(self) -> Self:
        self.start()
        self.tokens = {role: self.new_token(f"its-{role}", role) for role in ("operator", "client")}
        return self


def joining(kind: type[Server], folder: Path, sms: Server, http_port: int, **keys: object) -> Server:
    """A SPEARlet of this kind that joins the SMS, whose HTTP it finds at that port."""
    folder.mkdir()
    keys = {"sms_http_addr": f"127.0.0.1:{http_port}", "heartbeat_interval": 60, "advertise_ip": "127.0.0.1", **keys}
    text = "".join(f"{key} = {value if isinstance(value, int) else repr(str(value))}\n" for key, value in keys.items())
    (folder / "node.toml").write_text("[spearlet]\n" + text)
    link = ["--config", str(folder / "node.toml"), "--sms-addr", f"127.0.0.1:{sms.grpc_port}", "--auto-register"]
    return kind(folder / "node", *link, role="spearlet")


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    with Closed(tmp_path_factory.mktemp("doors") / "sms", role="sms") as found:
        found.as_(found.tokens["operator"], "POST", "/api/v1/tasks", json={"name": "secret", "version": "1"})
        yield found


@pytest.fixture(scope="module")
def wire(sms: Closed) -> Iterator[Between]:
    with Between(sms.port) as found:
        yield found


@pytest.fixture(scope="module")
def closed(sms: Closed, wire: Between) -> Iterator[Node]:
    folder = sms.data_dir.parent
    (folder / "closed-token").mkdir()
    token = with_token(folder / "closed-token", sms, "closed")
    port = int(wire.url.rpartition(":")[2])
    with joining(Node, folder / "closed", sms, port, sms_token_path=token) as found:
        assert isinstance(found, Node)
        yield found


def has_to_ask(answer: requests.Response, sms: Server, port: int) -> bool:
    """Whether the answer sends its reader to the SMS."""
    assert answer.status_code == 403, answer.text
    if answer.request.method != "HEAD":
        told = answer.json()
        assert (told["error"], told["details"]["sms"]) == ("ASK_SMS", f"127.0.0.1:{port}")
        assert f"the SMS at 127.0.0.1:{port} keeps tasks, files and nodes: ask it there" in told["message"]
    return True


def head_of(sms: Closed) -> int:
    """How many facts the SMS has of tasks, files and nodes."""
    path = "/api/v1/events?type=TaskCreated,FileUploaded,NodeRegistered,NodeRegisteredAgain,TokenBound&limit=1000"
    return len(sms.as_(sms.tokens["operator"], "GET", path).json()["events"])


def test_who_reads_at_a_closed_node_reads_at_the_sms_what_a_node_may(sms: Closed, closed: Node, wire: Between) -> None:
    found = closed.as_(closed.tokens["client"], "GET", "/api/v1/tasks")
    assert [task["name"] for task in found.json()["tasks"]] == ["secret"]
    port = int(wire.url.rpartition(":")[2])
    for method, path in READS[2:]:
        assert has_to_ask(closed.as_(closed.tokens["operator"], method, f"/api/v1/{path}"), sms, port)


def test_a_closed_node_passes_on_nothing_that_changes_the_sms(sms: Closed, closed: Node, wire: Between) -> None:
    before, asked = head_of(sms), len(wire.requests)
    for method, path in WRITES:
        answer = closed.as_(closed.tokens["operator"], method, f"/api/v1/{path}", json=BODY)
        assert has_to_ask(answer, sms, int(wire.url.rpartition(":")[2]))
    assert (head_of(sms), len(wire.requests)) == (before, asked)


def test_the_door_of_the_node_is_asked_first(closed: Node, wire: Between) -> None:
    asked = len(wire.requests)
    assert closed.call("GET", "/api/v1/tasks").status_code == 401
    assert closed.as_(closed.tokens["client"], "GET", "/api/v1/nodes").json()["error"] == "FORBIDDEN"
    assert closed.as_(closed.tokens["client"], "POST", "/api/v1/tasks").json()["error"] == "FORBIDDEN"
    assert len(wire.requests) == asked


def test_a_token_of_the_node_is_never_shown_to_the_sms(closed: Node, wire: Between) -> None:
    closed.as_(closed.tokens["client"], "GET", "/api/v1/tasks")
    assert wire.requests
    told = "".join(wire.requests)
    assert not any(token in told for token in closed.tokens.values())


def test_a_node_with_an_open_door_is_no_way_around_a_closed_sms(sms: Closed, tmp_path: Path) -> None:
    before = head_of(sms)
    with joining(Server, tmp_path / "open", sms, sms.port, sms_token_path=with_token(tmp_path, sms, "open")) as node:
        for method, path in (*READS, *WRITES):
            told = {} if (method, path) in READS else {"json": BODY}
            assert has_to_ask(node.call(method, f"/api/v1/{path}", **told), sms, sms.port)
        assert node.get("/api/v1/tasks?here=true").json()["tasks"] == []
    assert head_of(sms) == before + 2  # the node's own registration, and that its token is bound to it


def test_a_closed_node_is_no_way_around_an_sms_that_is_open_on_loopback(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "sms", role="sms") as sms,
        joining(Node, tmp_path / "node", sms, sms.port) as node,
    ):
        assert isinstance(node, Node)
        for method, path in (*READS, *WRITES):
            told = {} if (method, path) in READS else {"json": BODY}
            answer = node.as_(node.tokens["operator"], method, f"/api/v1/{path}", **told)
            assert has_to_ask(answer, sms, sms.port)
        assert sms.get("/api/v1/tasks").json()["tasks"] == []


def test_a_page_that_the_node_lets_write_is_judged_by_the_sms_too(tmp_path: Path) -> None:
    page = {"Origin": "http://page.example"}
    with Server(tmp_path / "sms", role="sms") as sms:
        node = joining(Server, tmp_path / "node", sms, sms.port)
        config = tmp_path / "node" / "node.toml"
        config.write_text(f'{config.read_text()}[http]\norigins = "{page["Origin"]}"\n')
        with node:
            told = node.post("/api/v1/tasks", json=BODY, headers=page)
            assert has_to_ask(told, sms, sms.port)
            assert node.get("/api/v1/tasks", headers=page).json()["tasks"] == []


def test_a_node_with_a_certificate_for_its_sms_lends_it_to_nobody() -> None:
    app, tasks = Flask("spear"), Blueprint("tasks", "tasks")
    tasks.get("/tasks")(lambda: "its own")
    passing.install(app, passing.SmsDoor(Address("127.0.0.1", 1), certified=True), own=Address("127.0.0.1", 2), most=1)
    errors.install(app)
    app.register_blueprint(tasks)
    asked = app.test_client()
    assert (asked.get("/tasks").status_code, asked.get("/tasks").json["error"]) == (403, "ASK_SMS")
    assert asked.get("/tasks?here=true").text == "its own"
