"""The read side of /admin/api over HTTP, on a server with four nodes, five tasks and some executions."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from admin.pages import LIFE_OF_A_NODE
from admin.show import subject
from tests.server import ROOT, Server

ERROR = {"error", "message", "details"}


class Admin:
    """GET on the admin of a server that has something to show."""

    def __init__(self, server: Server) -> None:
        self.server, self.url = server, f"http://127.0.0.1:{server.admin_port}"
        for number in (1, 2, 3):
            body = {"ip_address": f"127.9.0.{number}", "port": 50000 + number, "metadata": {"name": f"edge-{number}"}}
            server.post("/api/v1/nodes", json=body)
        self.nodes = server.get("/api/v1/nodes").json()["nodes"]
        server.call("PUT", f"/api/v1/nodes/{self.nodes[1]['uuid']}", json={"status": "offline"})
        self.tasks = [server.register("hello", endpoint=f"hello-{number}") for number in range(4)]
        self.tasks.append(server.post("/api/v1/tasks", json={"name": "nothing", "version": "1"}).json()["task_id"])
        self.runs = [server.run(self.tasks[0]).json() for _ in range(3)]
        self.logging = server.run(server.register("log_flood", config={"limits.log_bytes": "20000"})).json()

    def get(self, path: str, *, expecting: int = 200, **query: Any) -> Any:
        """The JSON at /admin/api/<path>."""
        answer = requests.get(f"{self.url}/admin/api/{path}", params=query, timeout=30)
        assert answer.status_code == expecting, answer.text
        return answer.json()

    def stream(self, path: str, **options: Any) -> requests.Response:
        """An open stream."""
        return requests.get(f"{self.url}/admin/api/{path}", stream=True, timeout=30, **options)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with Server(tmp_path_factory.mktemp("admin-api")) as server:
        yield Admin(server)


def messages(answer: requests.Response) -> Iterator[dict[str, str]]:
    """The server-sent events of an open stream."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        if name and value:
            fields[name] = value
        elif not line and "event" in fields:
            yield fields
            fields = {}


def test_stats_count_nodes_by_presence(admin: Admin) -> None:
    assert admin.get("stats") == {"total_count": 4, "online_count": 3, "offline_count": 1, "recent_60s_count": 4}


def test_nodes_have_the_names_that_clients_know(admin: Admin) -> None:
    shown = admin.get("nodes")
    assert shown["total_count"] == len(shown["nodes"]) == 4
    known = {"uuid", "name", "ip_address", "port", "http_port", "status", "last_heartbeat", "registered_at", "metadata"}
    assert all(known <= node.keys() for node in shown["nodes"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "EDGE-2"}, {"edge-2"}),
        ({"q": "127.9.0.3"}, {"edge-3"}),
        ({"status": "offline"}, {"edge-1"}),
        ({"status": "offline", "q": "edge-2"}, set()),
    ],
)
def test_filters_filter_and_the_total_counts_what_they_left(
    admin: Admin, query: dict[str, str], names: set[str]
) -> None:
    shown = admin.get("nodes", **query)
    assert {node["name"] for node in shown["nodes"]} == names
    assert shown["total_count"] == len(names)


@pytest.mark.parametrize("query", [{"sort": "name:desc"}, {"sort_by": "name", "order": "desc"}])
def test_nodes_can_be_sorted_and_paged(admin: Admin, query: dict[str, str]) -> None:
    shown = admin.get("nodes", q="edge", limit=2, offset=1, **query)
    assert [node["name"] for node in shown["nodes"]] == ["edge-2", "edge-1"]
    assert shown["total_count"] == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "٣"}, "offset"),
        ({"sort": "colour"}, "sort"),
        ({"sort": "name:up"}, "order"),
    ],
)
def test_a_bad_query_is_named(admin: Admin, query: dict[str, str], field: str) -> None:
    for collection in ("nodes", "tasks"):
        told = admin.get(collection, expecting=422, **query)
        assert told.keys() == ERROR
        assert told["error"] == "INVALID_ARGUMENT"
        assert told["message"].startswith(f"{field}: got ")


def test_a_node_comes_with_its_resources(admin: Admin) -> None:
    own, registered = (admin.get(f"nodes/{node['uuid']}") for node in admin.nodes[:2])
    assert own["found"]
    assert own["resource"]["total_memory_bytes"] > 0
    assert registered["node"]["name"] == "edge-1"
    assert registered["resource"] is None


def test_the_page_of_a_node_leaves_out_none_of_its_own_events() -> None:
    catalogue = (ROOT / "tests/core/event_catalogue.txt").read_text().splitlines()
    own = {line.split()[0].removeprefix("node.") for line in catalogue if line.startswith("node.Node")}
    assert set(LIFE_OF_A_NODE.split(",")) == own


@pytest.mark.parametrize("noun, field", [("node", "node_uuid"), ("task", "task_id"), ("execution", "execution_id")])
def test_an_event_in_a_stream_beside_a_things_own_leads_to_the_thing(noun: str, field: str) -> None:
    assert subject({"noun": noun, "id": "its stream", "data": {field: "the thing"}}) == "the thing"
    assert subject({"noun": noun, "id": "the thing", "data": {}}) == "the thing"


@pytest.mark.parametrize("ident", ["00000000-0000-4000-8000-000000000000", "no-id", "a?b", "é"])
def test_an_unknown_or_malformed_id_is_not_found(admin: Admin, ident: str) -> None:
    assert admin.get(f"nodes/{ident}") == {"found": False, "node": None, "resource": None}
    assert admin.get(f"tasks/{ident}") == {"found": False, "task": None}
    assert admin.get(f"executions/{ident}") == {"success": True, "found": False, "execution": None}


@pytest.mark.parametrize("path", ["tasks/x/instances", "instances/x/executions", "executions/x/logs", "nothing"])
def test_every_failure_has_the_one_shape(admin: Admin, path: str) -> None:
    assert admin.get(path, expecting=404).keys() == ERROR


@pytest.mark.parametrize("query", ["as_of=word", "as_of=99999999", "as_of=-1"])
def test_a_page_of_a_time_that_never_was_is_refused_as_a_page(admin: Admin, query: str) -> None:
    answer = requests.get(f"{admin.url}/?{query}", timeout=30)
    assert answer.status_code == 422
    assert "as_of: got " in answer.text
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_method_that_is_not_there_has_the_one_shape(admin: Admin) -> None:
    answer = requests.post(f"{admin.url}/admin/api/stats", timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (405, "METHOD_NOT_ALLOWED")


def test_tasks_show_what_they_run(admin: Admin) -> None:
    shown = admin.get("tasks", q="hello-3")
    assert shown["total_count"] == 1
    task = shown["tasks"][0]
    assert (task["task_id"], task["executable_type"]) == (admin.tasks[3], "wasm")
    assert task["executable_uri"].startswith("sms+file://")
    bare = admin.get(f"tasks/{admin.tasks[4]}")["task"]
    assert (bare["executable_type"], bare["executable_args"], bare["executable_checksum"]) == ("", [], "")


def test_tasks_beyond_the_first_thousand_are_found(admin: Admin) -> None:
    for number in range(1001 - len(admin.tasks)):
        admin.server.post("/api/v1/tasks", json={"name": f"many-{number}", "version": "1"})
    assert admin.get("tasks", q="many-995")["total_count"] == 1
    assert admin.get("tasks")["total_count"] > 1000


def test_instances_of_a_task_and_executions_of_an_instance_page_by_token(admin: Admin) -> None:
    instance = admin.get(f"tasks/{admin.tasks[0]}/instances")["instances"][0]
    path = f"instances/{instance['instance_id']}/executions"
    first = admin.get(path, limit=2)
    rest = admin.get(path, limit=2, page_token=first["next_page_token"])
    ids = [row["execution_id"] for row in first["executions"] + rest["executions"]]
    assert ids == [run["execution_id"] for run in reversed(admin.runs)]
    assert first["success"]
    assert rest["next_page_token"] == ""


def test_executions_are_listed_by_status(admin: Admin) -> None:
    failed = admin.get("executions", status="failed")["executions"]
    assert [row["execution_id"] for row in failed] == [admin.logging["execution_id"]]
    assert admin.get("executions", limit=1)["next_after"]


def test_an_execution_has_its_log_reference(admin: Admin) -> None:
    shown = admin.get(f"executions/{admin.runs[0]['execution_id']}")
    assert (shown["success"], shown["found"]) == (True, True)
    assert shown["execution"]["invocation_id"] == admin.runs[0]["execution_id"]
    assert shown["execution"]["log_ref"]["uri_prefix"].endswith("/logs")


def test_log_lines_go_on_from_a_cursor(admin: Admin) -> None:
    path = f"executions/{admin.logging['execution_id']}/logs"
    first = admin.get(path, limit=3)
    assert [line["seq"] for line in first["lines"]] == [1, 2, 3]
    assert first["next_cursor"] == "3"
    second = admin.get(path, limit=100_000, cursor=first["next_cursor"])
    assert second["lines"][0]["seq"] == 4
    assert second["completed"]


def test_a_single_node_snapshot_ends_by_itself(admin: Admin) -> None:
    with admin.stream("nodes/stream", params={"once": "true"}) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        found = list(messages(answer))
    assert [(one["event"], json.loads(one["data"])) for one in found] == [
        ("snapshot", {"count": 4, "type": "snapshot"})
    ]


def test_a_new_node_is_in_the_next_snapshot(admin: Admin) -> None:
    with admin.stream("nodes/stream") as answer:
        snapshots = messages(answer)
        before = json.loads(next(snapshots)["data"])["count"]
        body = {"ip_address": "127.0.0.9", "port": 1}
        uuid = admin.server.post("/api/v1/nodes", json=body).json()["node_uuid"]
        while json.loads(next(snapshots)["data"])["count"] == before:
            pass
    admin.server.call("DELETE", f"/api/v1/nodes/{uuid}")


def test_the_stream_of_changes_resumes_after_the_last_one_seen(admin: Admin) -> None:
    with admin.stream("events/stream") as answer:
        admin.server.run(admin.tasks[0])
        seen = next(one for one in messages(answer) if one["event"] == "log")
    with admin.stream("events/stream", headers={"Last-Event-ID": seen["id"]}) as answer:
        admin.server.run(admin.tasks[0])
        changes = messages(answer)
        assert next(changes)["event"] == "execution"
        assert int(next(one for one in changes if one["event"] == "log")["id"]) > int(seen["id"])


def told(changes: Iterator[dict[str, str]]) -> list[str]:
    """The nouns of the next telling, without nodes, whose heartbeats come when they will."""
    nouns = iter(lambda: next(changes)["event"], "log")
    return [noun for noun in nouns if noun != "node"] or told(changes)


def test_one_change_is_told_only_once(admin: Admin) -> None:
    head = admin.server.get("/api/v1/events", params={"limit": 1}).json()["head"]
    with admin.stream("events/stream", params={"after": head}) as answer:
        changes = messages(answer)
        admin.server.upload(b"something")
        assert told(changes) == ["file"]
        admin.server.call("PUT", f"/api/v1/tasks/{admin.tasks[0]}", json={"description": "changed"})
        assert told(changes) == ["task"]


def test_pages_allow_no_foreign_content_and_are_never_kept(admin: Admin) -> None:
    answer = requests.get(admin.url, timeout=30)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert "http" not in answer.text.replace(admin.server.url, "").replace("http-equiv", "")


def test_a_server_with_an_open_stream_stops_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("stopping")) as server:
        url = f"http://127.0.0.1:{server.admin_port}/admin/api/events/stream"
        with requests.get(url, stream=True, timeout=30):
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 5
        assert "Traceback" not in server.output()


def test_the_admin_can_be_left_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        Server(tmp_path_factory.mktemp("without"), "--disable-web-admin") as server,
        pytest.raises(requests.ConnectionError),
    ):
        requests.get(f"http://127.0.0.1:{server.admin_port}/", timeout=5)


def test_the_registries_have_the_names_that_clients_know(admin: Admin) -> None:
    server, uuid = admin.server, admin.nodes[0]["uuid"]
    backend = {"name": "a/b", "kind": "stub", "status": 1, "hosting": 2, "provider": "p", "model": "m"}
    assert server.post(
        "/api/v1/mcp/servers", json={"server_id": "t", "transport": "stdio", "stdio": {"command": "t"}}
    ).ok
    assert server.call("PUT", f"/api/v1/nodes/{uuid}/backends", json={"backends": [backend]}).ok
    assert server.post(f"/api/v1/nodes/{uuid}/ai-models", json={"provider": "vllm", "model": "m"}).ok
    assert [found["server_id"] for found in admin.get("mcp/servers")["servers"]] == ["t"]
    assert admin.get("mcp/servers/t")["server"]["transport"] == 1
    assert admin.get("backends", q="A/")["backends"][0]["available_nodes"] == 1
    assert admin.get("backends/stub/a/b")["backend"]["nodes"][0]["node_uuid"] == uuid
    assert admin.get(f"nodes/{uuid}/backends")["backends"][0]["hosting"] == 2
    assert admin.get("ai-models", provider="p")["total_count"] == 1
    assert admin.get("ai-models/p/m", hosting="local")["model"]["hosting"] == "local"
    assert admin.get(f"nodes/{uuid}/ai-models/deployments")["deployments"][0]["status"]["phase"] == 1


def test_what_no_registry_has_is_not_found_in_words(admin: Admin) -> None:
    for path in ("mcp/servers/none", "backends/stub/none", "ai-models/p/none"):
        assert admin.get(path) == {"success": True, "found": False}
    assert admin.get("ai-models/p/m", hosting="remote")["found"] is False
    assert admin.get("nodes/none/backends") == {"found": False, "node_uuid": "none", "backends": [], "snapshot": None}
