"""The pages: an overview made of panels that refresh themselves, and one page for each thing."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, render_template, request

from admin.client import Api, Client, Refusal, Row
from admin.queries import as_of, number
from spear.errors import NotFound

SHOWN = 20
EVENTS_SHOWN = 100
LINES_SHOWN = 500
_LOGS_AT_LEADER = "LOGS_AT_LEADER"  # what a standby answers to who asks for lines
LIFE_OF_A_NODE = (
    "NodeRegistered,NodeRegisteredAgain,NodeUpdated,NodeDrained,NodeUndrained,NodeLost,NodeRecovered,NodeDeleted"
)
Load = Callable[[Client], Row]


@dataclass(frozen=True)
class Panel:
    """A part of the overview: what it shows, and which noun's events make it load again (`log`: any)."""

    load: Load
    noun: str


def _stats(rest: Client) -> Row:
    counts = rest.get("executions", limit=1)["counts"]
    return {
        "nodes": rest.total("nodes"),
        "online": rest.total("nodes", status="online") + rest.total("nodes", status="active"),
        "tasks": rest.total("tasks"),
        "executions": sum(counts.values()),
        "counts": {status: count for status, count in counts.items() if count},
        "head": rest.head(),
    }


def _nodes(rest: Client) -> Row:
    return rest.newest("nodes", SHOWN)


def _tasks(rest: Client) -> Row:
    return rest.newest("tasks", SHOWN)


def _executions(rest: Client) -> Row:
    page = rest.get("executions", limit=SHOWN)
    rows = page["executions"]
    tasks = {row["task_id"]: rest.find("tasks", row["task_id"]) for row in rows}
    nodes = {row["node_uuid"]: rest.find("nodes", row["node_uuid"]) for row in rows if row["node_uuid"]}
    return {
        "rows": rows,
        "total": sum(page["counts"].values()),
        "names": {task_id: task["name"] for task_id, task in tasks.items() if task},
        "nodes": {uuid: found["node"]["metadata"].get("name") for uuid, found in nodes.items() if found},
    }


def _events(rest: Client) -> Row:
    last = rest.head() if rest.as_of is None else rest.as_of
    return {"rows": rest.events(after=max(0, last - SHOWN), limit=SHOWN)[::-1], "total": last}


PANELS = {
    "stats": Panel(_stats, "log"),
    "nodes": Panel(_nodes, "node"),
    "tasks": Panel(_tasks, "task"),
    "executions": Panel(_executions, "execution"),
    "events": Panel(_events, "log"),
}


def make(api: Api) -> Blueprint:
    """The routes that people look at."""
    door = Blueprint("pages", __name__)

    @door.get("/")
    @door.get("/admin")
    @door.get("/admin/")
    def overview() -> str:
        rest = Client(api, as_of=as_of())
        head = rest.head()  # before the panels: what happens while they load is announced again
        loaded = {name: panel.load(rest) for name, panel in PANELS.items()}
        return render_template("overview.html", panels=PANELS, loaded=loaded, head=head, as_of=rest.as_of)

    @door.get("/panels/<name>")
    def panel(name: str) -> str:
        if name not in PANELS:
            raise NotFound.noun("panel", name)
        return render_template(f"panels/{name}.html", as_of=None, data=PANELS[name].load(Client(api)))

    for kind, load in DETAILS.items():
        _add_detail(door, api, kind, load)
    return door


def _add_detail(door: Blueprint, api: Api, kind: str, load: Callable[[Client, str], Row]) -> None:
    @door.get(f"/{kind}s/<ident>", endpoint=kind)
    def detail(ident: str) -> str:
        rest = Client(api, as_of=as_of())
        return render_template(f"{kind}.html", ident=ident, as_of=rest.as_of, **load(rest, ident))


def _history(rest: Client, noun: str, ident: str, **filters: str) -> Row:
    rows = rest.events(after=number("after", 0), limit=EVENTS_SHOWN, noun=noun, id=ident, **filters)
    return {"history": rows, "more": _next("after", rows[-1]["position"] if len(rows) == EVENTS_SHOWN else 0)}


def _next(name: str, cursor: int) -> str:
    return f"?{urlencode({**request.args, name: cursor})}" if cursor else ""


def _node(rest: Client, uuid: str) -> Row:
    row = rest.get("nodes", uuid, "with-resource")
    beats = number("beats", 0, most=1)
    filters = {} if beats else {"type": LIFE_OF_A_NODE}
    other = f"?{urlencode({**request.args, 'beats': 1 - beats})}"
    return {
        "resource": row.pop("resource", None),
        "row": row,
        "beats": beats,
        "other": other,
        **_history(rest, "node", uuid, **filters),
    }


def _task(rest: Client, task_id: str) -> Row:
    return {
        "row": rest.get("tasks", task_id),
        "instances": rest.get("tasks", task_id, "instances", limit=SHOWN)["instances"],
        "executions": rest.get("executions", task_id=task_id, limit=SHOWN)["executions"],
        **_history(rest, "task", task_id),
    }


def _instance(rest: Client, instance_id: str) -> Row:
    return {
        "row": rest.get("instances", instance_id),
        "executions": rest.get("instances", instance_id, "executions", limit=SHOWN)["executions"],
        **_history(rest, "instance", instance_id),
    }


def _execution(rest: Client, execution_id: str) -> Row:
    row = rest.get("executions", execution_id)
    logs = _lines(rest, execution_id)
    output = {name: row.pop(name, None) for name in ("output", "output_base64")}
    for wrapping in ("found", "execution"):
        row.pop(wrapping, None)
    return {
        "row": row,
        "error": row.pop("error"),
        "placement": rest.get("executions", execution_id, "placement")["explanation"] if rest.as_of is None else "",
        **output,
        "logs": logs,
        "more_lines": _next("log_after", logs["next_after"] if len(logs["lines"]) == LINES_SHOWN else 0),
        **_history(rest, "execution", execution_id),
    }


def _lines(rest: Client, execution_id: str) -> Row:
    try:
        found: Row = rest.get("executions", execution_id, "logs", after=number("log_after", 0), limit=LINES_SHOWN)
    except Refusal as refusal:
        if refusal.code != _LOGS_AT_LEADER:
            raise
        return {"lines": [], "next_after": 0, "elsewhere": refusal.message}
    return found


def _event(rest: Client, position: str) -> Row:
    at = int(position) if position.isascii() and position.isdigit() and len(position) < 19 else 0
    found = rest.events(after=at - 1, limit=1) if at else []
    if not found:
        raise NotFound.noun("event", position)
    return {"row": found[0], "position": at, "head": rest.head()}


DETAILS = {"node": _node, "task": _task, "instance": _instance, "execution": _execution, "event": _event}
