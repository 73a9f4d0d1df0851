"""How a task fares, by WebSocket: the task as it is now, and again after each thing that happens to it."""

from typing import Any

import msgspec
from flask import Response

from spear.adapters.rest import sse, upgrade
from spear.adapters.rest.resources.events import PROTOCOL, events_json
from spear.adapters.rest.resources.tasks import tasks_json
from spear.adapters.rest.schemas import Resource, Taken, Text
from spear.adapters.rest.websocket import NORMAL, Closed, Message, Say
from spear.domain.task import Task
from spear.errors import Invalid
from spear.events.feed import cursor_at, feed
from spear.projections.tasks import get_task
from spear.protocols.cursor import LONGEST, Cursor, Filter
from spear.services.platform import Platform
from spear.services.unit import as_uuid


class StatusQuery(Taken):
    """Where to go on; without it, at the task as it is now."""

    cursor = Text(LONGEST, load_default="")


class _Status:
    """What is said of tasks."""

    def __init__(self, platform: Platform) -> None:
        self._tasks, self._reader, self._log = platform.tasks, platform.reader, platform.log

    def follow(self, task_id: str, text: str) -> Say:
        """From a cursor, or from now on; raises `NotFound`, or `Invalid` for the cursor of something else."""
        if not text:
            task_id = self._tasks.get(task_id).task_id
            return self._told(task_id, cursor_at(self._log, self._log.head, _of(task_id)), anew=True)
        task_id, cursor = str(as_uuid("task", task_id)), Cursor.parse(text)
        if cursor.filter != _of(task_id):
            raise Invalid.field("cursor", text, "a cursor of this task's status")
        return self._told(task_id, cursor, anew=False)

    def _told(self, task_id: str, cursor: Cursor, *, anew: bool) -> Say:
        if anew:
            yield [_message(self._now(task_id), None, str(cursor))]
        for page in feed(self._log, cursor, idle_s=sse.IDLE_S):
            found, task = list(events_json(page)), self._now(task_id)
            yield [_message(task, event, event["cursor"]) for event in found]
            if any(event["type"] == Task.TaskUnregistered.__name__ for event in found):
                raise Closed(NORMAL, "the task was unregistered")

    def _now(self, task_id: str) -> dict[str, Any] | None:
        row = get_task(self._reader, task_id)
        return tasks_json(self._reader, [row])[0] if row else None


def _of(task_id: str) -> Filter:
    return Filter(noun="task", id=task_id)


def _message(task: dict[str, Any] | None, event: dict[str, Any] | None, cursor: str) -> Message:
    return msgspec.json.encode({"task": task, "event": event, "cursor": cursor}).decode()


def make(platform: Platform) -> Resource:
    """The route /api/v1/tasks/<task_id>/ws."""
    api = Resource("task_status", __name__, url_prefix="/api/v1/tasks", description="How tasks fare")
    status = _Status(platform)
    sockets = upgrade.Sockets(platform.config.http, platform.tokens, protocol=PROTOCOL)

    @api.get("/<task_id>/ws")
    @upgrade.required(api, refuses=(404, 422))
    @api.query(StatusQuery)
    def follow(query: dict[str, Any], task_id: str) -> Response:
        """The task as it is, and again after each event of its own; a task that is gone ends it."""
        return sockets.answer(status.follow(task_id, query["cursor"]))

    return api
