"""Nodes and resources over HTTP, in the shapes of the public API."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from tests.rest.conftest import NODE, done, refused
from tests.server import Server

PUBLIC = {"uuid", "ip_address", "port", "http_port", "status", "last_heartbeat", "registered_at", "metadata"}
MEASURES = {
    "cpu_usage_percent", "memory_usage_percent", "disk_usage_percent", "total_memory_bytes", "used_memory_bytes",
    "available_memory_bytes", "total_disk_bytes", "used_disk_bytes", "network_rx_bytes_per_sec",
    "network_tx_bytes_per_sec", "load_average_1m", "load_average_5m", "load_average_15m",
}  # fmt: skip


def shown(server: Server, uuid: str) -> dict:
    return done(server.get(f"/api/v1/nodes/{uuid}"))["node"]


def test_a_registered_node_is_online_and_shown_whole(server: Server) -> None:
    said = done(server.post("/api/v1/nodes", json=NODE), 201)
    assert said["success"] is True
    assert said["message"]
    found = shown(server, said["node_uuid"])
    assert set(found) >= PUBLIC
    assert {name: found[name] for name in NODE} == NODE
    assert UUID(found["uuid"]).version == 7
    assert (found["status"], found["health_info"]) == ("online", {})
    assert found["registered_at"] == found["last_heartbeat"] > 1_600_000_000


def test_what_may_be_left_out_of_a_node_has_defaults(server: Server) -> None:
    uuid = done(server.post("/api/v1/nodes", json={"ip_address": "127.0.0.9", "port": 1, "metadata": None}), 201)[
        "node_uuid"
    ]
    assert (shown(server, uuid)["http_port"], shown(server, uuid)["metadata"]) == (0, {})


def test_unknown_fields_are_ignored(server: Server) -> None:
    uuid = done(server.post("/api/v1/nodes", json={**NODE, "uuid": "mine", "extra": [1]}), 201)["node_uuid"]
    assert "extra" not in shown(server, uuid)


def test_writes_are_answered_in_the_words_that_clients_know(server: Server, node: str, task: str) -> None:
    said = done(server.post("/api/v1/nodes", json=NODE), 201)
    assert said == {"success": True, "message": said["message"], "node_uuid": said["node_uuid"]}
    path = f"/api/v1/nodes/{node}"
    assert done(server.get(path)) == {"success": True, "node": shown(server, node)}
    assert done(server.call("PUT", path)) == {"success": True, "message": "Node updated successfully"}
    updated = {"success": True, "message": "Resource updated successfully"}
    assert done(server.call("PUT", f"{path}/resource")) == updated
    assert done(server.call("DELETE", path)) == {"success": True, "message": "Node deleted successfully"}
    gone = done(server.call("DELETE", f"/api/v1/tasks/{task}"))
    assert gone == {"success": True, "message": gone["message"]} and gone["message"]


def test_a_healthy_server_says_so_with_the_time(server: Server) -> None:
    found = done(server.get("/health"))
    assert found == {"status": "healthy", "timestamp": found["timestamp"], "service": "sms"}
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found["timestamp"])).total_seconds()) < 60


def test_an_update_changes_what_is_given_and_replaces_metadata(server: Server, node: str) -> None:
    done(server.call("PUT", f"/api/v1/nodes/{node}", json={"port": 7, "metadata": {"b": "2"}, "status": "draining"}))
    found = shown(server, node)
    assert (found["ip_address"], found["port"], found["metadata"]) == (NODE["ip_address"], 7, {"b": "2"})
    assert found["status"] == "draining"


def test_an_update_counts_as_a_heartbeat(server: Server, node: str) -> None:
    answer = server.call("PUT", f"/api/v1/nodes/{node}")
    done(answer)
    (event,) = done(server.get("/api/v1/events", params={"after": int(answer.headers["X-Position"]) - 1, "limit": 1}))[
        "events"
    ]
    assert (event["type"], event["data"]["node_uuid"]) == ("Heartbeat", node)


def test_a_deleted_node_is_gone_and_its_id_stays_dead(server: Server, node: str) -> None:
    done(server.call("DELETE", f"/api/v1/nodes/{node}"))
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/heartbeat"), ("PUT", "/resource")):
        refused(server.call(method, f"/api/v1/nodes/{node}{path}"), 404, "NODE_NOT_FOUND", node)
    refused(server.get(f"/api/v1/nodes/{node}/resource"), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"json": {}}, {"data": b"", "headers": {"Content-Type": "application/json"}}])
def test_a_heartbeat_needs_no_body(server: Server, node: str, body: dict) -> None:
    assert done(server.post(f"/api/v1/nodes/{node}/heartbeat", **body)) == {
        "success": True,
        "message": "Heartbeat received",
    }


def test_a_heartbeat_may_say_its_health_in_numbers(server: Server, node: str) -> None:
    health = {"cpu_usage": 60, "memory_usage": 45.5, "disk_usage": 1000}
    done(server.post(f"/api/v1/nodes/{node}/heartbeat", json={"health_info": health}))
    assert shown(server, node)["health_info"] == {"cpu_usage": "60", "memory_usage": "45.5", "disk_usage": "1000"}
    resource = done(server.get(f"/api/v1/nodes/{node}/resource"))
    assert (resource["cpu_usage_percent"], resource["memory_usage_percent"]) == (60, 45.5)
    assert resource["disk_usage_percent"] == 0


@pytest.mark.parametrize("value", [True, [60], {}, "a\x00b", "x" * 8193])
def test_health_that_is_neither_text_nor_a_number_is_refused(server: Server, node: str, value: object) -> None:
    answer = server.post(f"/api/v1/nodes/{node}/heartbeat", json={"health_info": {"cpu_usage": value}})
    refused(answer, 422, "INVALID_ARGUMENT", "health_info.cpu_usage", "or a number")


def test_a_heartbeat_with_health_shows_in_the_node_and_its_resources(server: Server, node: str) -> None:
    health = {"cpu_usage": "45%", "memory_usage": "30", "disk_usage": "a lot", "note": "fine"}
    done(server.post(f"/api/v1/nodes/{node}/heartbeat", json={"health_info": health}))
    assert shown(server, node)["health_info"] == health
    found = done(server.get(f"/api/v1/nodes/{node}/resource"))
    assert (found["cpu_usage_percent"], found["memory_usage_percent"], found["disk_usage_percent"]) == (45.0, 30.0, 0.0)


def test_resources_are_replaced_whole_and_shown_flat(server: Server, node: str) -> None:
    first = {"cpu_usage_percent": 12.5, "total_memory_bytes": 2**40, "resource_metadata": {"gpu": "1"}}
    assert done(server.call("PUT", f"/api/v1/nodes/{node}/resource", json=first))["message"]
    done(server.call("PUT", f"/api/v1/nodes/{node}/resource", json={"load_average_1m": 0.1}))
    found = done(server.get(f"/api/v1/nodes/{node}/resource"))
    assert set(found) == MEASURES | {"node_uuid", "updated_at", "resource_metadata"}
    assert (found["node_uuid"], found["load_average_1m"]) == (node, 0.1)
    assert (found["cpu_usage_percent"], found["total_memory_bytes"], found["resource_metadata"]) == (0.0, 0, {})


def test_a_node_with_its_resources_is_one_flat_object(server: Server, node: str) -> None:
    path = f"/api/v1/nodes/{node}/with-resource"
    assert "resource" not in done(server.get(path))
    done(server.call("PUT", f"/api/v1/nodes/{node}/resource", json={"cpu_usage_percent": 1}))
    found = done(server.get(path))
    assert (found["uuid"], found["resource"]["cpu_usage_percent"]) == (node, 1.0)


def test_nodes_can_be_filtered_by_status_and_the_total_counts_them(server: Server) -> None:
    status = f"s{uuid4().hex[:20]}"
    uuids = [done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"] for _ in range(3)]
    for uuid in uuids[:2]:
        done(server.call("PUT", f"/api/v1/nodes/{uuid}", json={"status": status}))
    found = done(server.get("/api/v1/nodes", params={"status": status, "limit": 1}))
    assert found["success"] is True
    assert ([n["uuid"] for n in found["nodes"]], found["total_count"]) == (uuids[:1], 2)


def test_resources_can_be_asked_for_some_nodes_and_paged(server: Server) -> None:
    uuids = sorted(done(server.post("/api/v1/nodes", json=NODE), 201)["node_uuid"] for _ in range(3))
    for uuid in uuids:
        done(server.call("PUT", f"/api/v1/nodes/{uuid}/resource"))
    asked = {"node_uuids": f" {uuids[2].upper()}, {uuids[0]},,nobody", "limit": 1}
    first = done(server.get("/api/v1/resources", params=asked))
    assert [r["node_uuid"] for r in first["resources"]] == [uuids[0]]
    second = done(server.get("/api/v1/resources", params={**asked, "after": first["next_after"]}))
    assert ([r["node_uuid"] for r in second["resources"]], second["next_after"]) == ([uuids[2]], "")
    everyone = done(server.get("/api/v1/resources"))["resources"]
    assert {r["node_uuid"] for r in everyone} >= set(uuids)


@pytest.mark.parametrize(
    "ident",
    ["nobody", "5f0d7ed6-7402-45f7-9671-22c2b0833e2f", "%00", "%ff", "x" * 3000, "1-2-3-4", "'; DROP TABLE nodes"],
)
def test_an_id_that_names_no_node_is_not_found(server: Server, ident: str) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/heartbeat"), ("GET", "/with-resource")):
        refused(server.call(method, f"/api/v1/nodes/{ident}{path}"), 404, "NODE_NOT_FOUND")


def test_an_id_may_be_spelled_in_any_way(server: Server, node: str) -> None:
    for spelling in (node.upper(), node.replace("-", ""), f"urn:uuid:{node}"):
        assert shown(server, spelling)["uuid"] == node
        done(server.post(f"/api/v1/nodes/{spelling}/heartbeat"))
