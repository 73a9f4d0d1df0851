"""How values look: times, sizes, links and nested values, by the names that REST gives them."""

import json
from datetime import UTC, datetime

from flask import Flask, request
from markupsafe import Markup, escape

from admin.client import Row

PAGES = {
    "node_uuid": "nodes", "uuid": "nodes", "task_id": "tasks", "instance_id": "instances",
    "execution_id": "executions", "current_execution_id": "executions", "position": "events", "cause": "events",
}  # fmt: skip
SECONDS = {"registered_at", "last_heartbeat", "updated_at", "last_completed_at"}
NOUNS_WITH_PAGES = ("node", "task", "instance", "execution")
BESIDE = {
    "node": "node_uuid",
    "task": "task_id",
    "execution": "execution_id",
}  # who an event in a stream of its own is of
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
NOTHING = Markup('<span class="none">none</span>')


def install(app: Flask) -> None:
    """Make these available to every template."""
    app.jinja_env.filters.update(moment=moment, recorded=recorded, size=size, pretty=pretty, label=label, shown=shown)
    app.jinja_env.globals.update(home=home, page=page, page_of=page_of, subject=subject)


def home() -> str:
    """The address of the overview, at the same time as the page that links to it."""
    return "/" + _same_time()


def page(kind: str, ident: object) -> str:
    """The address of a thing's page, at the same time as the page that links to it."""
    return f"/{kind}/{ident}{_same_time()}"


def _same_time() -> str:
    past = request.args.get("as_of", "")
    return f"?as_of={past}" if past.isascii() and past.isdigit() else ""


def page_of(event: Row) -> str:
    """The address of the thing that an event happened to, or "" when it has none."""
    return page(f"{event['noun']}s", subject(event)) if event["noun"] in NOUNS_WITH_PAGES else ""


def subject(event: Row) -> str:
    """The id of what an event happened to: a node's heartbeats and an execution's calls of models are streams beside its own."""
    return str(event["data"].get(BESIDE.get(event["noun"], ""), event["id"]))


def moment(seconds: float) -> Markup:
    """A time in UTC, to the second, with milliseconds in its title."""
    if not seconds:
        return NOTHING
    at = datetime.fromtimestamp(seconds, UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}"><span class="date">{1:%Y-%m-%d}</span> {1:%H:%M:%S}</time>').format(
        exact, at
    )


def recorded(text: str) -> Markup:
    """The same for an RFC 3339 time."""
    return moment(datetime.fromisoformat(text).timestamp())


def size(count: float) -> str:
    """A number of bytes for people."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if unit == 0 else f"{count:.1f} {UNITS[unit]}"


def pretty(value: object) -> str:
    """JSON, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def label(name: str) -> str:
    """The name of a property for people; its unit goes to the value."""
    for unit in ("_ms", "_bytes", "_percent"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def shown(value: object, name: str) -> Markup:
    """The value of a property, by its name: a link, a time, a size, nested JSON or plain text."""
    if value is None or value in ("", [], {}) or (name in PAGES and not value):
        return NOTHING
    if name in PAGES:
        return Markup('<a href="{}"><code>{}</code></a>').format(page(PAGES[name], value), value)
    if isinstance(value, (int, float)):
        return _number(value, name)
    if name == "time":
        return recorded(str(value))
    if isinstance(value, (dict, list)):
        return Markup("<pre>{}</pre>").format(pretty(value))
    return escape(value)


def _number(value: float, name: str) -> Markup:
    if name in SECONDS:
        return moment(value)
    if name.endswith(("_at_ms", "_seen_ms")):
        return moment(value / 1000)
    if name.endswith(("_bytes", "size")):
        return escape(size(value))
    unit = " ms" if name.endswith("_ms") else " %" if name.endswith("_percent") else ""
    return escape(f"{value:.3f}".rstrip("0").rstrip(".") + unit if isinstance(value, float) else f"{value}{unit}")
