"""Paging: every list is bounded, and a page continues where the one before ended, whatever happened meanwhile."""

import pytest

from tests.rest.conftest import NODE, done, refused
from tests.server import Server


def pages(server: Server, noun: str, ident: str, between: object = None, **query: object) -> list[str]:
    found: list[str] = []
    after = 0
    while True:
        page = done(server.get(f"/api/v1/{noun}", params={**query, "limit": 2, "after": after}))
        assert len(page[noun]) <= 2
        found += [row[ident] for row in page[noun]]
        after = page["next_after"]
        if not after:
            return found
        if callable(between):
            between()


def test_pages_of_nodes_neither_repeat_nor_miss_while_nodes_come_and_go(server: Server) -> None:
    def born() -> str:
        uuid = done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"]
        done(server.call("PUT", f"/api/v1/nodes/{uuid}", json={"status": "paged"}))
        return str(uuid)

    first = [born() for _ in range(7)]
    born_later: list[str] = []

    def meanwhile() -> None:
        if len(born_later) < 2:
            born_later.append(born())
            done(server.call("DELETE", f"/api/v1/nodes/{first[0]}")) if len(born_later) == 1 else None

    assert pages(server, "nodes", "uuid", meanwhile, status="paged") == first + born_later


def test_pages_of_tasks_come_in_order_of_registration(server: Server, node: str) -> None:
    body = {"name": "t", "version": "1", "node_uuid": node}
    ids = [done(server.post("/api/v1/tasks", json=body))["task_id"] for _ in range(5)]
    assert pages(server, "tasks", "task_id", node_uuid=node) == ids
    assert done(server.get("/api/v1/tasks", params={"node_uuid": node, "limit": 2}))["total_count"] == 5


def test_pages_of_executions_come_newest_first_and_do_not_shift(server: Server) -> None:
    task = server.register("hello")
    ids = [done(server.run(task))["execution_id"] for _ in range(5)]
    found = pages(server, "executions", "execution_id", lambda: server.run(task), task_id=task)
    assert found == ids[::-1]


def test_clients_that_count_rows_may_use_an_offset(server: Server, node: str) -> None:
    body = {"name": "t", "version": "1", "node_uuid": node}
    ids = [done(server.post("/api/v1/tasks", json=body))["task_id"] for _ in range(3)]
    page = done(server.get("/api/v1/tasks", params={"node_uuid": node, "limit": 1, "offset": 1}))
    assert ([t["task_id"] for t in page["tasks"]], page["total_count"]) == ([ids[1]], 3)
    beyond = done(server.get("/api/v1/tasks", params={"node_uuid": node, "offset": 99}))
    assert (beyond["tasks"], beyond["total_count"]) == ([], 3)


@pytest.mark.parametrize(
    "path", ["nodes", "tasks", "executions", "resources", "tasks/x/instances", "instances/x/executions"]
)
@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1.5", "", "9" * 5000])
def test_a_limit_out_of_bounds_is_refused_everywhere(server: Server, path: str, limit: str) -> None:
    refused(
        server.get(f"/api/v1/{path}", params={"limit": limit}), 422, "INVALID_ARGUMENT", "limit: got", "from 1 to 1000"
    )


def test_a_page_is_bounded_for_who_names_no_limit_too(server: Server) -> None:
    for number in range(101):
        done(server.call("PUT", f"/api/v1/objects/many/{number:03}", data=b"x"), 201)
    page = done(server.get("/api/v1/objects", params={"prefix": "many/"}))
    assert ([one["key"] for one in page["objects"]][-1], len(page["objects"])) == ("many/099", 100)
    rest = done(server.get("/api/v1/objects", params={"prefix": "many/", "after": page["next_after"]}))
    assert [one["key"] for one in rest["objects"]] == ["many/100"]


def test_every_list_has_a_limit_and_the_limit_has_a_bound(server: Server) -> None:
    document = done(server.get("/api/openapi.json"))
    limits = {}
    for path, operations in document["paths"].items():
        asked = {one["name"]: one["schema"] for one in operations.get("get", {}).get("parameters", ())}
        if "limit" in asked:
            limits[path] = asked["limit"]
    lists = [
        "nodes",
        "tasks",
        "executions",
        "resources",
        "files",
        "objects",
        "events",
        "backends",
        "ai-models",
        "tokens",
    ]
    assert {f"/api/v1/{name}" for name in lists} <= set(limits)
    assert [path for path, limit in limits.items() if not 1 <= limit["default"] <= limit["maximum"] <= 10_000] == []


@pytest.mark.parametrize("after", ["-1", "x", str(2**63), "9" * 5000])
def test_a_cursor_that_cannot_be_is_refused(server: Server, after: str) -> None:
    for noun in ("nodes", "tasks", "executions"):
        refused(server.get(f"/api/v1/{noun}", params={"after": after}), 422, "INVALID_ARGUMENT", "after: got")
    refused(
        server.get("/api/v1/tasks/x/instances", params={"page_token": after}),
        422,
        "INVALID_ARGUMENT",
        "page_token: got",
    )


def test_unknown_query_parameters_are_ignored_and_the_first_of_two_counts(server: Server) -> None:
    assert len(done(server.get("/api/v1/nodes?limit=1&limit=x&nonsense=%ff%00&=&&"))["nodes"]) == 1
