"""Who may come in: a door beyond loopback asks for tokens, and a token opens what its role may do and no more."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
import websocket

from spear.adapters.rest.access import ROUTES, markdown
from spear.domain.token import TokenRole
from tests.closed import Closed
from tests.e2e.test_cli import started
from tests.rest._sockets import HANDSHAKE, PONG, Raw, dial
from tests.rest._sockets import closed as ended
from tests.rest.conftest import NODE, done, refused
from tests.server import ROOT, Server, events_of, eventually

ROLES = [role.value for role in TokenRole]
GET_NODES = ("GET", "/api/v1/nodes")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    with Closed(tmp_path_factory.mktemp("closed") / "data") as server:
        yield server


@pytest.fixture(params=["stopped", "running"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Closed]:
    """A data directory that nobody serves, or that somebody does."""
    server = Closed(tmp_path / "data")
    if request.param == "running":
        server.flags = ()
        server.start()
    yield server
    server.kill()


def test_a_token_is_issued_listed_and_revoked_whether_a_server_runs_or_not(either: Closed) -> None:
    token = either.new_token("alice", "client")
    assert token.startswith("spear_") and len(token) == 49
    again = either.about_tokens("--new-token", "alice", "--role", "admin")
    assert (again.returncode, again.stdout) == (2, "") and "token 'alice' already exists" in again.stderr
    listed = either.about_tokens("--list-tokens").stdout
    assert "alice" in listed and "client" in listed and "good" in listed and token not in listed
    assert either.about_tokens("--revoke-token", "alice").returncode == 0
    assert "revoked" in either.about_tokens("--list-tokens").stdout
    gone = either.about_tokens("--revoke-token", "alice")
    assert gone.returncode == 2 and gone.stderr == "spear_server: token 'alice' not found\n"
    assert either.new_token("alice", "admin") != token


@pytest.mark.parametrize("asked", [("--list-tokens",), ("--revoke-token", "alice")])
def test_a_directory_without_a_log_has_no_tokens_and_is_left_as_it_is(tmp_path: Path, asked: tuple[str, ...]) -> None:
    told = Closed(tmp_path / "data").about_tokens(*asked)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == f"spear_server: data_dir: no log in {tmp_path / 'data'}, so nobody has a token for it\n"
    assert not (tmp_path / "data").exists()


def test_a_name_that_is_none_is_refused(either: Closed) -> None:
    told = either.about_tokens("--new-token", "../alice", "--role", "client")
    assert told.returncode == 2 and "name: got '../alice', expected 1 to 64 letters" in told.stderr


def test_the_log_of_a_spearlet_takes_tokens_too(tmp_path: Path) -> None:
    spearlet = Server(tmp_path / "data", role="spearlet")
    with spearlet:
        done(spearlet.get("/health"))
    assert spearlet.process is not None
    token = Closed(tmp_path / "data").new_token("alice", "client")
    assert not (tmp_path / "data" / "sms.db").exists()
    with spearlet:
        headers = {"Authorization": f"Bearer {token}"}
        done(spearlet.get("/api/v1/tasks", headers=headers))
        streams = spearlet.get(f"/api/v1/executions/{uuid4()}/streams/ws", headers={**HANDSHAKE, **headers})
        refused(streams, 403, "FORBIDDEN", "without a session's token")


@pytest.mark.parametrize("door", ["http", "grpc", "bus", "web-admin"])
def test_a_door_that_nobody_could_open_is_not_served(tmp_path: Path, door: str) -> None:
    server = Server(tmp_path / "data")
    server.flags = (f"--{door}-addr", "127.1:9")
    told = subprocess.run(server.command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 2
    key = door.replace("-", "_")
    assert f"{key}.addr: got '127.1:9', expected a loopback address while there is no token" in told.stderr
    assert "--new-token" in told.stderr and "--insecure" in told.stderr


def test_insecure_serves_anybody_in_so_many_words(tmp_path: Path) -> None:
    server = Closed(tmp_path / "data", "--insecure")
    try:
        done(server.start().get("/api/v1/nodes"))
    finally:
        server.kill()


def test_the_door_in_the_data_directory_is_its_owners_alone(closed: Closed) -> None:
    door = closed.data_dir / "door"
    assert door.is_socket() and door.stat().st_mode & 0o777 == 0o600


def test_a_data_directory_with_a_long_path_has_a_door(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    with Server(deep / "data"):
        assert Closed(deep / "data").new_token("alice", "client")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "missing, expected Bearer"),
        ("Bearer spear_wrong", "unknown or was revoked"),
        ("Bearer ", "unknown or was revoked"),
        ("Bearer \xff", "unknown or was revoked"),
        ("Basic YTpi", "expected the scheme Bearer"),
        ("nonsense", "expected the scheme Bearer"),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [GET_NODES, ("POST", "/e/hello"), ("GET", "/no/such/route"), ("POST", "/api/v1/tokens"), ("GET", "/api/v1/tokens")],
)
def test_who_brings_no_good_token_learns_nothing(
    closed: Closed, given: str | None, told: str, asked: tuple[str, str]
) -> None:
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    answer = closed.call(*asked, headers=headers)
    refused(answer, 401, "UNAUTHENTICATED", told)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "spear_wrong" not in answer.text


def test_a_wrong_token_is_refused_even_where_none_is_needed(server: Server) -> None:
    refused(server.get("/api/v1/nodes", headers={"Authorization": "Bearer spear_wrong"}), 401, "UNAUTHENTICATED")
    refused(server.post("/e/hello", headers={"Authorization": "Bearer spear_wrong"}), 401, "UNAUTHENTICATED")


def test_an_agent_that_is_there_runs_only_for_whom_it_may(closed: Closed) -> None:
    headers = {"Authorization": f"Bearer {closed.tokens['operator']}"}
    closed.session.headers.update(headers)
    closed.register("hello", endpoint="guarded")
    closed.session.headers.pop("Authorization")
    refused(closed.post("/e/guarded"), 401, "UNAUTHENTICATED")
    refused(
        closed.as_(closed.tokens["node"], "POST", "/e/guarded"), 403, "FORBIDDEN", "POST /e/<endpoint>", "role node"
    )
    assert done(closed.get("/api/v1/executions", headers=headers))["total_count"] == 0
    assert closed.as_(closed.tokens["client"], "POST", "/e/guarded").status_code == 200


def test_a_page_brings_its_token_as_a_protocol_that_is_never_chosen(closed: Closed) -> None:
    offered = {name: f"spear.v1, bearer.{token}" for name, token in {**closed.tokens, "": "wrong"}.items()}
    with Raw(closed, "/api/v1/events/ws", **{"Sec-WebSocket-Protocol": offered["operator"]}) as raw:
        assert b"Sec-WebSocket-Protocol: spear.v1\r\n" in raw.head and b"bearer." not in raw.head
    for name, status in {"": 401, "client": 403}.items():
        answer = closed.get("/api/v1/events/ws", headers={**HANDSHAKE, "Sec-WebSocket-Protocol": offered[name]})
        assert answer.status_code == status, answer.text
    refused(closed.get("/api/v1/events/ws", headers=HANDSHAKE), 401, "UNAUTHENTICATED")
    assert not any(token in closed.output() for token in closed.tokens.values())


def test_a_revoked_token_opens_nothing_at_once(closed: Closed) -> None:
    token = closed.new_token("shortlived", "operator")
    done(closed.as_(token, *GET_NODES))
    closed.about_tokens("--revoke-token", "shortlived")
    refused(closed.as_(token, *GET_NODES), 401, "UNAUTHENTICATED", "was revoked")


def test_a_revoked_token_ends_the_streams_that_it_opened_and_no_others(closed: Closed) -> None:
    def following(token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        return requests.get(f"{closed.url}/api/v1/events?noun=token", headers=headers, stream=True, timeout=30)

    admin = closed.tokens["admin"]
    with following(closed.issued("leaver", "operator")) as lost, following(closed.tokens["operator"]) as kept:
        done(closed.as_(admin, "DELETE", "/api/v1/tokens/leaver"))
        *_, last = (line for line in lost.iter_lines(chunk_size=1) if line)
        assert last.startswith(b"data: ") and b"UNAUTHENTICATED" in last
        closed.issued("later", "client")
        assert next(line for line in kept.iter_lines(chunk_size=1) if b'"later"' in line)


@pytest.mark.parametrize("path", ["/api/v1/events/ws", "/api/v1/tasks/{task}/ws", "/e/talks/ws", "session"])
def test_a_revoked_token_ends_the_websockets_that_it_opened_and_no_others(closed: Closed, path: str) -> None:
    admin, name = closed.tokens["admin"], f"ws{path.count('/')}{len(path)}"
    leaver = closed.issued(name, "operator")
    closed.session.headers["Authorization"] = f"Bearer {admin}"
    task = closed.register("loop")
    if path == "/e/talks/ws":
        closed.register("loop", endpoint="talks")
    execution = closed.run(task, mode="async").json()["execution_id"]

    def opened(token: str) -> websocket.WebSocket:
        shown = {"header": {"Authorization": f"Bearer {token}"}}
        if path != "session":
            return dial(closed, path.format(task=task), **shown)
        told = closed.as_(token, "POST", f"/api/v1/executions/{execution}/streams/session").json()
        return dial(closed, "/" + told["ws_url"].split("/", 3)[3])

    lost, kept = opened(leaver), opened(admin)
    try:
        done(closed.as_(admin, "DELETE", f"/api/v1/tokens/{name}"))
        assert ended(lost) == (1008, "authorization: the token is unknown or was revoked")
        kept.ping()
        while kept.recv_data(control_frame=True)[0] != PONG:
            pass
    finally:
        lost.shutdown()
        kept.shutdown()
        closed.as_(admin, "DELETE", f"/api/v1/tasks/{task}")
        closed.as_(admin, "POST", f"/api/v1/executions/{execution}/terminate")
        del closed.session.headers["Authorization"]


@pytest.fixture(scope="module")
def loop(closed: Closed) -> str:
    """A task that only ends by force."""
    closed.session.headers["Authorization"] = f"Bearer {closed.tokens['admin']}"
    try:
        return closed.register("loop", endpoint="loops")
    finally:
        del closed.session.headers["Authorization"]


def begun(closed: Closed, token: str, task: str, **headers: str) -> str:
    """The execution that the token's bearer is given."""
    asked = {"task_id": task, "mode": "async"}
    return str(done(closed.as_(token, "POST", "/api/v1/executions", json=asked, headers=headers), 202)["execution_id"])


def terminate(closed: Closed, token: str, execution: str) -> requests.Response:
    return closed.as_(token, "POST", f"/api/v1/executions/{execution}/terminate", json={"reason": "enough"})


def test_a_client_ends_what_its_token_requested_and_nothing_else(closed: Closed, loop: str) -> None:
    mine, other = closed.issued("mine", "client"), closed.issued("other", "client")
    execution = begun(closed, mine, loop, **{"Idempotency-Key": "k"})
    assert begun(closed, other, loop, **{"Idempotency-Key": "k"}) == execution
    refused(terminate(closed, other, execution), 403, "ANOTHER_CLIENT", "other", execution)
    assert done(closed.as_(other, "GET", f"/api/v1/executions/{execution}"))["status"] in ("pending", "running")
    for _ in range(2):
        assert done(terminate(closed, mine, execution))["final_status"] == "cancelled"
    refused(terminate(closed, mine, str(uuid4())), 404, "EXECUTION_NOT_FOUND")
    operators = begun(closed, closed.tokens["operator"], loop)
    refused(terminate(closed, mine, operators), 403, "ANOTHER_CLIENT")
    done(terminate(closed, closed.tokens["operator"], operators))


def test_a_new_token_of_an_old_name_owns_nothing_yet(closed: Closed, loop: str) -> None:
    execution = begun(closed, closed.issued("heir", "client"), loop)
    done(closed.as_(closed.tokens["admin"], "DELETE", "/api/v1/tokens/heir"))
    heir = closed.issued("heir", "client")
    refused(terminate(closed, heir, execution), 403, "ANOTHER_CLIENT")
    done(terminate(closed, closed.tokens["operator"], execution))
    done(terminate(closed, heir, begun(closed, heir, loop)))


def test_a_client_that_leaves_the_command_ends_its_run(closed: Closed, loop: str) -> None:
    token = closed.issued("leaves", "client")
    listed = f"/api/v1/executions?task_id={loop}&status="
    with started(closed, "run", "--token", token, "--task", "loops") as command:
        [row] = eventually(lambda: closed.as_(token, "GET", f"{listed}running").json()["executions"])
        command.send_signal(signal.SIGINT)
        assert (command.wait(30), command.stderr.read()) == (130, "")
    eventually(lambda: not closed.as_(token, "GET", f"{listed}running").json()["executions"])
    ended_as = done(closed.as_(token, "GET", f"/api/v1/executions/{row['execution_id']}"))
    assert (ended_as["status"], ended_as["error"]["reason"]) == ("cancelled", "terminated")


def test_a_revoked_token_ends_a_stream_whose_reader_takes_nothing(closed: Closed) -> None:
    admin, token = closed.tokens["admin"], closed.issued("lazy", "operator")
    for number in range(24):
        task = {"name": "t", "version": "1", "metadata": {str(n): "x" * 8000 for n in range(60)}}
        done(closed.as_(admin, "POST", "/api/v1/tasks", json=task | {"endpoint": f"big{number}"}))
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection(("127.0.0.1", closed.port), timeout=30) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(head.encode() + b"\r\n")
        lazy.recv(1)
        done(closed.as_(admin, "DELETE", "/api/v1/tokens/lazy"))
        eventually(lambda: not _established(closed.port, lazy.getsockname()[1]))
    assert "Traceback" not in closed.output()


def _established(server_port: int, client_port: int) -> bool:
    """Whether the server still has the connection."""
    wanted = (f":{server_port:04X}", f":{client_port:04X}", "01")
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any((row[1][-5:], row[2][-5:], row[3]) == wanted for row in rows)


def _path(rule: str) -> str:
    return (
        rule.replace("<uuid>", "00000000-0000-0000-0000-000000000000")
        .replace("path:", "")
        .replace("<", "")
        .replace(">", "")
    )


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "rule", "who"), ROUTES, ids=[f"{method} {rule}" for method, rule, _ in ROUTES])
def test_each_route_is_for_whom_the_table_says(closed: Closed, role: str, method: str, rule: str, who: str) -> None:
    answer = closed.as_(closed.tokens[role], method, _path(rule), stream=True)
    answer.close()
    may = role == "admin" or role in who.split() or who == "anybody" or (role == "client" and "owner" in who)
    assert (answer.status_code == 403) != may, answer.status_code
    assert answer.status_code not in (401, 500)


def test_what_needs_no_token_needs_none(closed: Closed) -> None:
    for method, rule, who in ROUTES:
        answer = closed.call(method, _path(rule), stream=True)
        answer.close()
        assert (answer.status_code == 401) == (who != "anybody"), rule


def test_the_table_has_every_route(server: Server) -> None:
    paths = done(server.get("/api/openapi.json"))["paths"]
    documented = {
        (method.upper(), path.replace("{", "<").replace("}", ">"))
        for path, operations in paths.items()
        for method in set(operations) & {"get", "post", "put", "delete", "patch"}
    }
    pages = {("GET", path) for path in ("/api/openapi.json", "/swagger-ui/", "/swagger-ui/<name>")}
    assert {(method, rule.replace("<path:", "<")) for method, rule, _ in ROUTES} == documented | pages


def test_the_openapi_document_says_that_a_bearer_token_may_be_asked_for(server: Server) -> None:
    document = done(server.get("/api/openapi.json"))
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{}, {"token": []}]


def test_the_documentation_shows_the_table() -> None:
    assert markdown() in (ROOT / "docs" / "security.md").read_text()


def test_a_node_registers_once_and_then_speaks_for_itself_alone(closed: Closed) -> None:
    token = closed.new_token("n1", "node")
    other = done(closed.as_(closed.tokens["operator"], "POST", "/api/v1/nodes", json=NODE), 201)["node_uuid"]
    early = closed.as_(token, "POST", f"/api/v1/nodes/{other}/heartbeat")
    refused(early, 403, "ANOTHER_NODE", "bound to no node yet")
    own = done(closed.as_(token, "POST", "/api/v1/nodes", json=NODE), 201)["node_uuid"]
    done(closed.as_(token, "POST", f"/api/v1/nodes/{own.upper()}/heartbeat"))
    done(closed.as_(token, "PUT", f"/api/v1/nodes/{own}/resource", json={"cpu_usage_percent": 1}))
    for method, rule, who in ROUTES:
        if "itself" in who:
            asked = closed.as_(token, method, rule.replace("<uuid>", other))
            refused(asked, 403, "ANOTHER_NODE", own, "speaks for no other")
    refused(closed.as_(token, "POST", "/api/v1/nodes", json=NODE), 403, "ANOTHER_NODE", own)


def test_a_node_that_was_deleted_may_register_again_with_its_token(closed: Closed) -> None:
    token = closed.new_token("n2", "node")
    first = done(closed.as_(token, "POST", "/api/v1/nodes", json=NODE), 201)["node_uuid"]
    done(closed.as_(closed.tokens["operator"], "DELETE", f"/api/v1/nodes/{first}"))
    second = done(closed.as_(token, "POST", "/api/v1/nodes", json=NODE), 201)["node_uuid"]
    done(closed.as_(token, "POST", f"/api/v1/nodes/{second}/heartbeat"))
    refused(closed.as_(token, "POST", f"/api/v1/nodes/{first}/heartbeat"), 403, "ANOTHER_NODE")


def test_a_nodes_binding_is_one_fact_with_its_registration(closed: Closed) -> None:
    token = closed.new_token("n3", "node")
    own = done(closed.as_(token, "POST", "/api/v1/nodes", json=NODE), 201)["node_uuid"]
    admin = {"Authorization": f"Bearer {closed.tokens['admin']}"}
    query = {"type": "NodeRegistered,TokenBound", "limit": 1000}
    registered, bound = closed.get("/api/v1/events", headers=admin, params=query).json()["events"][-2:]
    assert (registered["id"], bound["data"]["node_uuid"]) == (own, own)
    assert registered["time"] == bound["time"]
    listed = closed.get("/api/v1/tokens", headers=admin).json()["tokens"]
    assert [row["node_uuid"] for row in listed if row["name"] == "n3"] == [own]


def test_every_event_names_the_token_that_caused_it(server: Server) -> None:
    token = done(server.post("/api/v1/tokens", json={"name": "carol", "role": "operator"}), 201)["token"]
    headers = {"Authorization": f"Bearer {token}"}
    node = done(server.post("/api/v1/nodes", json=NODE, headers=headers), 201)["node_uuid"]
    assert [event["actor"] for event in events_of(server, ["NodeRegistered"], noun="node", ident=node)] == [
        "rest:carol"
    ]
    task = server.register("hello", endpoint="carols")
    ran = server.post("/e/carols", headers=headers).headers["X-Execution-Id"]
    kinds = ["ExecutionRequested", "ExecutionCompleted"]
    assert {event["actor"] for event in events_of(server, kinds, noun="execution", ident=ran)} == {"rest:carol"}
    again = server.run(task).json()["execution_id"]
    assert {event["actor"] for event in events_of(server, kinds, noun="execution", ident=again)} == {"rest"}


def test_a_token_is_told_once_and_stands_nowhere(closed: Closed) -> None:
    admin = {"Authorization": f"Bearer {closed.tokens['admin']}"}
    answer = closed.post("/api/v1/tokens", json={"name": "secret", "role": "client"}, headers=admin)
    token = done(answer, 201)["token"]
    assert answer.headers["Cache-Control"] == "no-store"
    done(closed.as_(token, "GET", "/api/v1/tasks"))
    refused(closed.as_(token + "x", "GET", "/api/v1/tasks"), 401, "UNAUTHENTICATED")
    kept = [Path(folder) / name for folder, _, names in os.walk(closed.data_dir) for name in names]
    texts = [path.read_bytes() for path in kept if path.is_file()]
    assert texts and not any(token.encode() in text for text in texts)
    assert token not in closed.output()
    assert token not in closed.get("/api/v1/events", headers=admin, params={"limit": 1000}).text
    assert token not in closed.get("/api/v1/tokens", headers=admin).text


def test_the_admin_asks_a_browser_for_the_token_as_a_password(closed: Closed) -> None:
    page = f"http://127.0.0.1:{closed.admin_port}/admin"
    asked = requests.get(page, timeout=30)
    assert asked.status_code == 401 and asked.headers["WWW-Authenticate"].startswith("Basic ")
    for path in ("/admin", "/panels/stats", "/admin/api/stats", "/admin/static/admin.css"):
        url = f"http://127.0.0.1:{closed.admin_port}{path}"
        assert requests.get(url, auth=("me", closed.tokens["operator"]), timeout=30).status_code == 200, path
        assert requests.get(url, auth=("me", closed.tokens["client"]), timeout=30).status_code == 403, path
        assert requests.get(url, auth=("me", "wrong"), timeout=30).status_code == 401, path
    bearer = {"Authorization": f"Bearer {closed.tokens['admin']}"}
    assert requests.get(page, headers=bearer, timeout=30).status_code == 200
    assert requests.get(page, headers={"Authorization": "Basic !"}, timeout=30).status_code == 401
