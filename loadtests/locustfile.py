"""A fleet at work: nodes that beat, clients that call agents, operators that look around; every answer is checked.

`python -m loadtests.run` does all; a server with the sample agents can also be loaded from a browser:
`locust -f loadtests/locustfile.py --host http://127.0.0.1:8080`.
"""

import os
import random
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from itertools import count
from typing import Any, cast

import gevent
from locust import FastHttpUser, between, task
from locust.contrib.fasthttp import FastResponse
from locust.exception import RescheduleTask, ResponseError, StopUser

ECHO = os.environ.get("LOAD_ECHO", "echo")
SIZES = (16, 512, 2048, 16384)  # bytes; over 4 KiB content lies in a file of its own
ASYNC_WITHIN_S = 20
POLL_S = 0.02
TIMEOUT_S = 20
NODES = "/api/v1/nodes"
TASKS = "/api/v1/tasks"
EXECUTIONS = "/api/v1/executions"
EVENTS = "/api/v1/events"
_numbers = count(1)


class Visitor(FastHttpUser):
    """Somebody who looks at every answer."""

    abstract = True
    network_timeout = connection_timeout = TIMEOUT_S

    def on_start(self) -> None:
        """Take a number of one's own."""
        self.number = next(_numbers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        name: str = "",
        status: int = 200,
        right: Callable[[FastResponse], bool] = lambda _: True,
        **options: Any,
    ) -> FastResponse:
        """One request; a status or content that is not `right` counts as a failure and ends this turn."""
        reply: FastResponse
        with self.client.request(method, path, name=name or path, catch_response=True, **options) as reply:
            if reply.status_code != status:
                raise ResponseError(f"status {reply.status_code}, expected {status}: {shown(reply)}")
            if not right(reply):
                raise ResponseError(f"wrong content: {shown(reply)}")
            return reply
        raise RescheduleTask

    def read(self, path: str, *, name: str = "", right: Callable[[Any], bool] = lambda _: True) -> Any:
        """The JSON that a GET answers, `right` in the same sense."""
        return self.ask("GET", path, name=name, right=lambda reply: right(reply.json())).json()


def shown(reply: FastResponse) -> str:
    """The beginning of an answer, or why there is none."""
    return str(reply.text or getattr(reply, "error", ""))[:200]


class NodeAgent(Visitor):
    """A machine of the fleet."""

    fixed_count = 20
    wait_time = between(0.2, 0.6)

    def on_start(self) -> None:
        """Register and report; a node that cannot has nothing more to do."""
        super().on_start()
        body = {"ip_address": "127.0.0.1", "port": 20000 + self.number, "metadata": {"number": str(self.number)}}
        try:
            uuid = self.ask("POST", NODES, json=body, status=201).json()["node_uuid"]
            self.path = f"{NODES}/{uuid}"
            self.report()
        except RescheduleTask:
            raise StopUser from None

    @task(6)
    def beat(self) -> None:
        """Say that it lives."""
        health = {"health_info": {"cpu_usage": f"{random.randrange(100)}%"}}
        self.ask("POST", f"{self.path}/heartbeat", name=f"{NODES}/UUID/heartbeat", json=health)

    @task(3)
    def report(self) -> None:
        """Say what it uses."""
        self.used = random.randrange(2**40)
        body = {"used_memory_bytes": self.used, "total_memory_bytes": 2**40}
        self.ask("PUT", f"{self.path}/resource", name=f"{NODES}/UUID/resource", json=body)

    @task(1)
    def look_at_itself(self) -> None:
        """Find what it said last, and that it is thought to live."""
        self.read(
            f"{self.path}/with-resource",
            name=f"{NODES}/UUID/with-resource",
            right=lambda node: (node["resource"]["used_memory_bytes"], node["status"]) == (self.used, "online"),
        )


class Client(Visitor):
    """Somebody who calls agents."""

    fixed_count = 20
    wait_time = between(0.02, 0.12)

    @task(4)
    def hello(self) -> None:
        """Call an agent that always says the same."""
        self.ask("POST", "/e/hello", data="hi", right=lambda reply: b"hello" in reply.content.lower())

    @task(4)
    def echo(self) -> None:
        """Call an agent that answers what it was sent."""
        sent = random.randbytes(random.choice(SIZES))
        self.ask("POST", f"/e/{ECHO}", data=sent, right=lambda reply: reply.content == sent)

    @task(2)
    def run_and_wait(self) -> None:
        """Run an agent and wait."""
        body = {"endpoint": ECHO, "input": f"client {self.number}, call {next(_numbers)}"}
        self.ask(
            "POST", EXECUTIONS, name=f"{EXECUTIONS} sync", json=body, right=lambda reply: completed(reply.json(), body)
        )

    @task(1)
    def run_later(self) -> None:
        """Have an agent run, and ask until it ended."""
        body = {"endpoint": ECHO, "input": f"client {self.number}, call {next(_numbers)}", "mode": "async"}
        began = time.perf_counter()
        accepted = self.ask("POST", EXECUTIONS, name=f"{EXECUTIONS} async", json=body, status=202).json()
        found = accepted
        while found["status"] in ("pending", "running") and time.perf_counter() < began + ASYNC_WITHIN_S:
            gevent.sleep(POLL_S)
            found = self.read(f"{EXECUTIONS}/{accepted['execution_id']}", name=f"{EXECUTIONS}/ID")
        self.ended(began, None if completed(found, body) else ResponseError(f"{found['status']}, not as sent"))

    def ended(self, began: float, error: ResponseError | None) -> None:
        """Count an asynchronous run, with the time from its request until it was seen completed."""
        self.environment.events.request.fire(
            request_type="async",
            name="run until seen completed",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            exception=error,
            context={},
        )


def completed(found: dict[str, Any], body: dict[str, str]) -> bool:
    """Whether an execution ended well, with its input as its output."""
    return (found["status"], found.get("output")) == ("completed", body["input"])


class Operator(Visitor):
    """Somebody who wants to know what goes on."""

    fixed_count = 4
    wait_time = between(0.2, 0.5)

    def on_start(self) -> None:
        """Begin to read the log at its beginning, and to remember moments."""
        super().on_start()
        self.after = 0
        self.past: dict[str, bytes] = {}

    @task(3)
    def fleet(self) -> None:
        """Page through the fleet: all are there, each once."""
        page = self.page(NODES, 0, limit=8)
        uuids = [node["uuid"] for node in page["nodes"]]
        while page["next_after"]:
            page = self.page(NODES, page["next_after"], limit=8, right=lambda page: page["nodes"])
            uuids += [node["uuid"] for node in page["nodes"]]
        if len(set(uuids)) != len(uuids) or len(uuids) < page["total_count"]:
            raise AssertionError(f"{len(uuids)} rows of {page['total_count']} nodes, {len(set(uuids))} different")

    @task(2)
    def agents(self) -> None:
        """See the registered agents."""
        self.read(TASKS, right=lambda page: "hello" in [found["endpoint"] for found in page["tasks"]])

    @task(3)
    def newest_executions(self) -> None:
        """Look at the newest executions, then at those before them."""
        after = 2**62
        for _ in range(3):
            page = self.page(EXECUTIONS, after, limit=20, right=partial(falls, after=after))
            if not (after := page["next_after"]):
                break

    @task(6)
    def read_on(self) -> None:
        """Read the log on from where the last turn ended: no position is missing."""
        page = self.page(EVENTS, self.after, limit=200, right=partial(dense, after=self.after))
        self.after = page["next_after"]

    @task(1)
    def look_back(self) -> None:
        """Look at a new moment or again at an old one: the past never changes."""
        path = random.choice(list(self.past)) if len(self.past) > random.randrange(4) else self.moment()
        self.ask(
            "GET",
            path,
            name=f"{path.partition('?')[0]}?as_of",
            right=lambda reply: reply.content == self.past.setdefault(path, reply.content),
        )

    def moment(self) -> str:
        """A table as of now."""
        head = self.read(f"{EVENTS}?after=-1", name=f"{EVENTS}?after=-1")["head"]
        return f"{random.choice((NODES, TASKS, EXECUTIONS))}?as_of={head}"

    @task(5)
    def objects(self) -> None:
        """Write an object, read it, delete it."""
        path, name = f"/api/v1/objects/load/{self.number}/{next(_numbers)}", "/api/v1/objects/KEY"
        sent = random.randbytes(random.choice(SIZES))
        digest = sha256(sent).hexdigest()
        self.ask("PUT", path, name=name, data=sent, status=201, right=lambda reply: reply.json()["sha256"] == digest)
        self.ask("GET", path, name=name, right=lambda reply: reply.content == sent)
        self.ask("DELETE", path, name=name, right=lambda reply: reply.json()["deleted"])

    def page(
        self, path: str, after: int, *, limit: int, right: Callable[[Any], bool] = lambda _: True
    ) -> dict[str, Any]:
        """One page of a list."""
        found = self.read(f"{path}?after={after}&limit={limit}", name=f"{path}?after", right=right)
        return cast(dict[str, Any], found)


def falls(page: dict[str, Any], *, after: int) -> bool:
    """Whether executions come newest first, all older than `after`."""
    positions = [after, *(row["position"] for row in page["executions"])]
    return positions == sorted(set(positions), reverse=True)


def dense(page: dict[str, Any], *, after: int) -> bool:
    """Whether events follow `after` without a gap."""
    positions = [fact["position"] for fact in page["events"]]
    return positions == list(range(after + 1, after + 1 + len(positions)))
