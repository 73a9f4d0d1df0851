"""Histories that contain every type of event, the same for the same seed."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from random import Random
from typing import TypeVar
from uuid import UUID

from eventsourcing.domain import AggregateEvent

from spear.domain.backend import BackendsReported
from spear.domain.base import NEXT, UNSTAMPED
from spear.domain.deployment import Deployment, Phase
from spear.domain.execution import Execution, ExecutionReport, ExecutionStatus, ModelCalled, Start
from spear.domain.file import File
from spear.domain.holding import Holding, HoldingReport
from spear.domain.instance import Instance, InstanceReport, InstanceStatus
from spear.domain.mcp_server import McpServer, McpServerRecord
from spear.domain.node import Node, NodeStatus, OutcomeClass, OutcomeReported, ResourcesReported, observations
from spear.domain.object import Object
from spear.domain.placement import DecisionFacts, InvocationPlaced, Rule
from spear.domain.task import Endpoint, Task
from spear.domain.token import Token, TokenRole

T = TypeVar("T")
Events = list[AggregateEvent]
MEASURES = [name for name in ResourcesReported.__annotations__ if name not in ("node_uuid", "resource_metadata")]


class World:
    """A small cluster that does one random thing after another; `step` is the events of one of them, to be committed."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, Random(seed)
        self.aside = Random(f"aside {seed}")  # for later additions: all else stays as it was
        self.nodes: list[Node] = [self.new_node()]
        self.gone: list[Node] = []
        self.tasks: list[Task] = [self.new_task()]
        self.dropped: list[Task] = []
        self.instances: list[Instance] = [self.new_instance()]
        self.executions: list[Execution] = []
        self.objects: list[Object] = []
        self.files: list[File] = []
        self.holdings: dict[UUID, Holding] = {}
        self.heard: list[tuple[Instance, Execution]] = []
        self.time_us = 0
        self.tokens = {name: Token.blank(Token.ident(name)) for name in (f"t{seed}-{number}" for number in range(3))}
        self.servers = {f"s{seed}-{n}": McpServer.blank(McpServer.ident(f"s{seed}-{n}")) for n in range(2)}
        self.deployments = {f"d{seed}-{n}": Deployment.blank(Deployment.ident(f"d{seed}-{n}")) for n in range(2)}
        self.actions: list[Callable[[], Events]] = [
            self.register, self.observe, self.judge, self.change_node, self.create, self.change_task, self.prepare, self.request,
            self.begin, self.begin, self.end, self.end, self.put, self.touch, self.upload, self.remove,
        ]  # fmt: skip

    def steps(self, count: int) -> Iterator[Events]:
        """The first things that happen, then `count` more."""
        yield [*self.nodes[0].collect_events(), *self.tasks[0].collect_events(), *self.instances[0].collect_events()]
        done = 0
        while done < count:
            if events := self.random.choice(self.actions)():
                done += 1
                yield events

    def ident(self) -> UUID:
        """A random id of this world."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def content(self) -> tuple[str, int, str]:
        """Hash, size and inline text of some content that often comes again."""
        text = f"content {self.random.randrange(5)}"
        return sha256(text.encode()).hexdigest(), len(text), self.random.choice(["", text])

    def new_node(self) -> Node:
        return Node(
            id=self.ident(), ip_address="10.0.0.1", port=self.random.randrange(1, 9999), http_port=80, metadata={}
        )

    def new_task(self) -> Task:
        executable = {"type": "wasm", "uri": "object://a", "name": "a", "checksum_sha256": "", "args": [], "env": {}}
        return Task(
            id=self.ident(), name="task", description="", priority="normal", node_uuid=str(self.nodes[0].id),
            endpoint=f"e{self.seed}-{self.random.randrange(4)}", version="1", capabilities=["cpu"], metadata={}, config={},
            executable=executable,
        )  # fmt: skip

    def new_instance(self) -> Instance:
        task, node = self.random.choice(self.tasks), self.random.choice(self.nodes)
        return Instance(id=self.ident(), task_id=str(task.id), node_uuid=str(node.id), runtime="wasm", sha256="")

    def register(self) -> Events:
        self.nodes.append(self.new_node())
        return [*self.nodes[-1].collect_events(), *self.welcome_back()]

    def welcome_back(self) -> Events:
        """Now and then a node that is known, or was, registers again."""
        if self.aside.random() < 0.5:
            return []
        node = self.gone.pop() if self.gone and self.aside.random() < 0.5 else self.aside.choice(self.nodes)
        port = self.aside.randrange(1, 9999)
        node.register_again(ip_address="10.0.0.2", port=port, http_port=80, metadata={})
        return node.collect_events()

    def observe(self) -> Events:
        node = self.random.choice(self.nodes)
        beat = node.beat({"cpu_usage": f"{self.random.randrange(101)}%"})
        report = ResourcesReported(
            originator_id=observations(node.id), originator_version=NEXT, timestamp=UNSTAMPED, node_uuid=str(node.id),
            resource_metadata={}, **{name: self.random.randrange(100) for name in MEASURES},
        )  # fmt: skip
        return [*node.collect_events(), beat, report]

    def placed(self) -> InvocationPlaced:
        """A caller asked where something should run."""
        ident = UUID(int=self.aside.getrandbits(128), version=4)
        return InvocationPlaced(
            originator_id=ident, originator_version=1, timestamp=UNSTAMPED, request_id="r",
            task_id=str(self.tasks[0].id), labels={"zone": "a"}, decision=self.decision(),
        )  # fmt: skip

    def judge(self) -> Events:
        """A caller asks for nodes, and reports on one."""
        node = self.random.choice(self.nodes)
        return [
            self.placed(),
            OutcomeReported(
                originator_id=observations(node.id), originator_version=NEXT, timestamp=UNSTAMPED,
                node_uuid=str(node.id), decision_id="d", request_id="r", task_id="", error_message="",
                outcome_class=self.random.choice(list(OutcomeClass)).value,
            ),
        ]  # fmt: skip

    def change_node(self) -> Events:
        node = self.random.choice(self.nodes)
        self.random.choice([
            lambda: node.lose("silent"),
            lambda: node.lose("silent"),
            lambda: node.update(status=self.random.choice(list(NodeStatus)), metadata={"zone": "a"}),
        ])()  # fmt: skip
        for _ in range(self.aside.randrange(3)):
            (node.undrain if node.drained else node.drain)("a new kernel")
        if len(self.nodes) > 5:
            self.nodes.remove(node)
            self.gone.append(node)
            node.delete("gone")
        return node.collect_events()

    def create(self) -> Events:
        self.tasks.append(self.new_task())
        return [*self.tasks[-1].collect_events(), *self.endpoint(lambda e, n: e.claim(n, str(self.tasks[-1].id)))]

    def endpoint(self, use: Callable[[Endpoint, str], None]) -> Events:
        name = f"e{self.seed}-{self.ident()}"
        endpoint = Endpoint.blank(Endpoint.ident(name))
        use(endpoint, name)
        if self.random.random() < 0.5:
            endpoint.release(name, endpoint.task_id)
        return endpoint.collect_events()

    def change_task(self) -> Events:
        task = self.random.choice(self.tasks)
        self.random.choice([
            lambda: task.update(description=f"{self.random.random()}"),
            lambda: task.activate("instance"),
            lambda: task.deactivate("idle"),
        ])()  # fmt: skip
        events = task.collect_events()
        return [*events, *self.take_over_again()] if events else []

    def take_over_again(self) -> Events:
        """Now and then a task that was dropped is taken over again, which nobody else uses."""
        if not self.dropped or self.aside.random() < 0.5:
            return []
        task, executable = self.dropped.pop(), {**self.tasks[0].executable, "args": ["again"]}
        task.register_again(
            name="again", description="", priority="high", node_uuid="", endpoint="", version="2", capabilities=[],
            metadata={"a": "b"}, config={}, executable=executable,
        )  # fmt: skip
        return task.collect_events()

    def prepare(self) -> Events:
        self.instances.append(self.new_instance())
        return self.instances[-1].collect_events()

    def request(self) -> Events:
        sha, size, inline = self.content()
        execution = Execution(
            id=self.ident(), task_id=str(self.random.choice(self.tasks).id), node_uuid="", mode="sync", args=["a"],
            environment={"A": "b"}, timeout_ms=1000, input_sha256=sha, input_size=size, input_inline=inline,
            input_content_type="text/plain", fingerprint="",
        )  # fmt: skip
        self.executions.append(execution)
        if self.aside.random() < 0.3:
            execution.place(str(self.nodes[0].id), Rule.LOCAL, self.decision())
            if self.aside.random() < 0.3:
                execution.spill(str(self.nodes[0].id), OutcomeClass.OVERLOADED, "its queue is full")
        return execution.collect_events()

    def decision(self) -> DecisionFacts:
        """What a policy may have said."""
        refused = {"node_uuid": str(self.nodes[0].id), "reason": "offline", "text": "it is offline"}
        return DecisionFacts(
            policy="p",
            policy_version=1,
            nodes=1,
            fitting=0,
            candidates=[],
            refused=[refused],
            refused_counts={"offline": 1},
        )

    def begin(self) -> Events:
        waiting = [e for e in self.executions if not e.instance_id]
        if not waiting or not self.instances:
            return []
        instance = self.random.choice(self.instances)
        waiting[0].begin_on(str(instance.id), node_uuid=instance.node_uuid, start=Start.COLD)
        return waiting[0].collect_events()

    def end(self) -> Events:
        if not self.executions:
            return []
        execution = self.executions.pop(self.random.randrange(len(self.executions)))
        self.random.choice([
            lambda: execution.complete(exit_code=0, sha256="", size=0, content_type="", duration_us=5),
            lambda: execution.fail("it broke", exit_code=1),
            lambda: execution.cancel("not wanted"),
            lambda: execution.time_out("too slow"),
        ])()  # fmt: skip
        return execution.collect_events()

    def put(self) -> Events:
        key = f"k{self.random.randrange(6)}-{self.seed}"
        found = next((o for o in self.objects if o.id == Object.ident("b", key)), None)
        item = found or Object.blank(Object.ident("b", key))
        sha, size, inline = self.content()
        item.put("b", key, sha256=sha, size=size, inline=inline)
        if not found:
            self.objects.append(item)
        return item.collect_events()

    def touch(self) -> Events:
        present = [o for o in self.objects if o.present]
        if not present:
            return []
        item = self.random.choice(present)
        self.random.choice([
            item.add_ref, lambda: item.refs and item.remove_ref(), item.pin, item.unpin,
            lambda: item.delete("old", force=True),
        ])()  # fmt: skip
        return item.collect_events()

    def upload(self) -> Events:
        sha, size, _ = self.content()
        self.files.append(File(id=self.ident(), name="f", content_type="", size=size, sha256=sha))
        return [
            *self.files[-1].collect_events(), *self.admit(), *self.serve_tools(), *self.deploy(), self.offer(), *self.hear(), *self.hear(), *self.hold(),
            self.think(),
        ]  # fmt: skip

    def think(self) -> ModelCalled:
        """A run asks a model."""
        return ModelCalled.by(
            str(UUID(int=len(self.files))), task_id=str(self.tasks[0].id), backend="b", model="m", outcome="completed",
            prompt_tokens=5, completion_tokens=2, total_tokens=7, duration_us=len(self.files),
        )  # fmt: skip

    def hear(self) -> Events:
        """A node reports what it has: something new, or how what is known went on."""
        self.time_us += 1
        if not self.heard or self.aside.random() < 0.4:
            self.heard.append(self.new_heard())
        instance, execution = self.heard[self.aside.randrange(len(self.heard))]
        status = self.aside.choice(list(ExecutionStatus))
        instance.report(InstanceReport(
            node_uuid=instance.node_uuid, status=self.aside.choice(list(InstanceStatus)), current_execution_id="",
            created_at_us=1, updated_at_us=self.time_us,
        ))  # fmt: skip
        execution.report(ExecutionReport(
            node_uuid=instance.node_uuid, status=status, updated_at_us=self.time_us, instance_id=str(instance.id),
            start="cold", requested_at_us=1, started_at_us=self.aside.choice([0, 2]), completed_at_us=self.time_us,
        ))  # fmt: skip
        task = self.aside.choice(self.tasks)
        said = task.result("object://r/1", status="failed", completed_at_us=self.time_us, metadata={"a": "b"})
        return [*instance.collect_events(), *execution.collect_events(), said]

    def hold(self) -> Events:
        """A node says what it has of an object."""
        name, at_us = f"k{self.aside.randrange(3)}", self.aside.randrange(100)
        node = str(self.aside.choice(self.nodes).id)
        ident = Holding.ident(node, Object.ident("b", name))
        holding = self.holdings.setdefault(ident, Holding.blank(ident))
        seen = HoldingReport(
            bucket="b", key=name, version=at_us + 1, sha256="0" * 64, size=at_us, content_type="", metadata={"a": "b"}
        )
        holding.report(node, self.aside.choice([seen, seen, None]), at_us=at_us)
        return holding.collect_events()

    def new_heard(self) -> tuple[Instance, Execution]:
        """An instance and an execution that this log hears of."""
        task, node = self.aside.choice(self.tasks), str(self.nodes[0].id)
        first, second = (UUID(int=self.aside.getrandbits(128), version=4) for _ in range(2))
        execution = Execution(
            id=second, task_id=str(task.id), node_uuid=node, mode="async", args=[], environment={}, timeout_ms=0,
            input_sha256="", input_size=0, input_inline="", input_content_type="", fingerprint="",
        )  # fmt: skip
        return Instance(id=first, task_id=str(task.id), node_uuid=node, runtime="wasm", sha256=""), execution

    def admit(self) -> Events:
        """Give a token out, bind it, or take it back."""
        name = self.aside.choice(list(self.tokens))
        token = self.tokens[name]
        if not token.sha256:
            token.issue(name, TokenRole.NODE, sha256(f"{self.aside.random()}".encode()).hexdigest())
        elif self.aside.random() < 0.5:
            token.bind(str(self.aside.choice(self.nodes).id))
        else:
            token.revoke(name, "lost")
        return token.collect_events()

    def serve_tools(self) -> Events:
        """Register a server of tools, change it, or take it out."""
        name = self.aside.choice(list(self.servers))
        server = self.servers[name]
        if server.record and self.aside.random() < 0.5:
            server.delete(name, "unused")
        else:
            server.put(name, self.record())
        return server.collect_events()

    def record(self) -> McpServerRecord:
        """A server of tools that differs a little each time."""
        return {
            "display_name": f"tools {self.aside.randrange(3)}", "transport": "stdio", "tool_namespace": "t",
            "stdio": {"command": "serve", "args": ["-v"], "env": {"KEY": "${ENV:KEY}"}, "cwd": ""},
            "http": {"url": "", "headers": {}, "auth_ref": ""}, "allowed_tools": ["*"],
            "approval_policy": {"default_policy": "", "per_tool": {}},
            "budgets": {"tool_timeout_ms": 5, "max_concurrency": 0, "max_tool_output_bytes": 0},
        }  # fmt: skip

    def deploy(self) -> Events:
        """Wish for a model, hear of it, or take the wish back."""
        name = self.aside.choice(list(self.deployments))
        wish = self.deployments[name]
        if not wish.target_node_uuid or self.aside.random() < 0.3:
            node_uuid = str(self.aside.choice(self.nodes).id)
            wish.put(name, target_node_uuid=node_uuid, provider="llamacpp", model="m", params={"threads": "2"})
        elif self.aside.random() < 0.6:
            phase = self.aside.choice(list(Phase))
            wish.report(name, wish.target_node_uuid, phase=phase, message="so far", updated_at_ms=0)
        else:
            wish.delete(name, "unused")
        return wish.collect_events()

    def offer(self) -> BackendsReported:
        """A node says which backends it has."""
        backend = {
            "name": "b", "kind": "stub", "operations": ["chat_completions"], "features": [], "transports": ["http"],
            "weight": 100, "priority": 0, "base_url": "", "status": self.aside.choice(["available", "unavailable"]),
            "status_reason": "", "provider": "", "model": "", "hosting": "local",
        }  # fmt: skip
        node = self.aside.choice(self.nodes)
        return BackendsReported(
            originator_id=observations(node.id), originator_version=NEXT, timestamp=UNSTAMPED, node_uuid=str(node.id),
            revision=self.aside.randrange(5), reported_at_ms=self.aside.randrange(3), backends=[backend],
        )  # fmt: skip

    def remove(self) -> Events:
        """End something for good."""
        choices = [(self.files, lambda f: f.delete("old")), (self.instances, lambda i: i.stop("idle"))]
        if len(self.tasks) > 2:
            choices.append((self.tasks, lambda t: t.unregister("unused")))
        things, end = self.random.choice([choice for choice in choices if choice[0]] or [([], None)])
        if not things:
            return []
        thing = things.pop()
        end(thing)
        if isinstance(thing, Task):
            self.dropped.append(thing)
        return thing.collect_events()
