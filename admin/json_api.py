"""The read side of /admin/api."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flask import Blueprint, Response, request

from admin import live, registries_api
from admin.client import Api, Client, Row
from admin.queries import number, passed_on, resumed_after, selected

MOST_LINES = 2000


def make(api: Api) -> Blueprint:
    """The routes under /admin/api."""
    door = Blueprint("json_api", __name__, url_prefix="/admin/api")
    rest = Client(api)
    _add_nodes(door, rest)
    _add_tasks(door, rest)
    _add_executions(door, rest)
    registries_api.add(door, rest)

    @door.get("/events/stream")
    def follow() -> Response:
        return _stream(live.changes(rest, resumed_after(rest.head())))

    return door


def _stream(messages: Iterator[str]) -> Response:
    return Response(messages, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _add_nodes(door: Blueprint, rest: Client) -> None:
    @door.get("/stats")
    def stats() -> Any:
        return node_stats(list(rest.every("nodes")), now_s=time.time())

    @door.get("/nodes")
    def nodes() -> Any:
        rows = map(_named, rest.every("nodes"))
        found, total = selected(rows, equal=["status"], search=["uuid", "ip_address"])
        return {"nodes": found, "total_count": total}

    @door.get("/nodes/<uuid>")
    def node(uuid: str) -> Any:
        found = rest.find("nodes", uuid, "with-resource")
        if found is None:
            return {"found": False, "node": None, "resource": None}
        return {"found": True, "resource": found.pop("resource", None), "node": _named(found)}

    @door.get("/nodes/stream")
    def snapshots() -> Response:
        once = request.args.get("once", "false") == "true"
        return _stream(islice(live.node_snapshots(rest), 1 if once else None))


def _named(node: Row) -> Row:
    return {**node, "name": node["metadata"].get("name", "")}


def node_stats(nodes: list[Row], *, now_s: float) -> Row:
    """Counts by presence: online is online or active, recent is a heartbeat within 60 s."""
    online = sum(node["status"] in ("online", "active") for node in nodes)
    recent = sum(node["last_heartbeat"] >= now_s - 60 for node in nodes)
    return {
        "total_count": len(nodes),
        "online_count": online,
        "offline_count": len(nodes) - online,
        "recent_60s_count": recent,
    }


def _add_tasks(door: Blueprint, rest: Client) -> None:
    @door.get("/tasks")
    def tasks() -> Any:
        rows = map(_with_executable, rest.every("tasks"))
        search = ["task_id", "name", "node_uuid", "endpoint"]
        found, total = selected(rows, equal=["status", "priority"], search=search)
        return {"tasks": found, "total_count": total}

    @door.get("/tasks/<task_id>")
    def task(task_id: str) -> Any:
        found = rest.find("tasks", task_id)
        return {"found": True, "task": _with_executable(found)} if found else {"found": False, "task": None}

    @door.get("/tasks/<task_id>/instances")
    def instances(task_id: str) -> Any:
        return {"success": True, **rest.get("tasks", task_id, "instances", **passed_on("limit", "page_token"))}


def _with_executable(task: Row) -> Row:
    runs = task["executable"] or {"type": "", "uri": "", "name": "", "checksum_sha256": "", "args": [], "env": {}}
    flat = {f"executable_{name}": runs[name] for name in ("type", "uri", "name", "args", "env")}
    return {**task, **flat, "executable_checksum": runs["checksum_sha256"]}


def _add_executions(door: Blueprint, rest: Client) -> None:
    @door.get("/instances/<instance_id>/executions")
    def of_instance(instance_id: str) -> Any:
        asked = passed_on("limit", "page_token")
        return {"success": True, **rest.get("instances", instance_id, "executions", **asked)}

    @door.get("/executions")
    def executions() -> Any:
        return {"success": True, **rest.get("executions", **passed_on("task_id", "status", "after", "limit"))}

    @door.get("/executions/<execution_id>")
    def execution(execution_id: str) -> Any:
        found = rest.find("executions", execution_id)
        return {"success": True, "found": found is not None, "execution": found and found["execution"]}

    @door.get("/executions/<execution_id>/logs")
    def logs(execution_id: str) -> Any:
        return {"success": True, **log_lines(rest, execution_id)}


def log_lines(rest: Client, execution_id: str) -> Row:
    """The page of log lines that the query asks for; `next_cursor` is text, as clients expect."""
    limit = min(max(number("limit", 200), 1), MOST_LINES)
    page: Row = rest.get("executions", execution_id, "logs", after=number("cursor", 0), limit=limit)
    return {**page, "next_cursor": str(page.pop("next_after"))}
