"""The domain against a small reference: random commands, the same verdicts, the same state, and replay agrees."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from spear.domain.base import Aggregate
from spear.domain.execution import FINAL, Execution, ExecutionStatus, Start
from spear.domain.node import Node, NodeStatus
from spear.domain.object import Object
from spear.domain.task import Endpoint
from spear.errors import AlreadyExists, Invalid, NotFound, PreconditionFailed, Refused, SpearError
from spear.events.mapper import domain_event, pend
from spear.events.record import Recorded

ID = UUID(int=7)
settings.register_profile("model", max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)


def verdict(command: Callable[[], object]) -> type[SpearError] | None:
    """The kind of refusal, or None."""
    try:
        command()
    except SpearError as error:
        return type(error)
    return None


class Recording(RuleBasedStateMachine):
    """A machine that keeps every event and can replay them into a second aggregate."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Recorded] = []

    def keep(self, aggregate: Aggregate) -> int:
        """Store what was recorded as the log would; how many events that was."""
        events = aggregate.collect_events()
        for event in events:
            p = pend(event)  # type: ignore[arg-type]
            self.history.append(
                Recorded(len(self.history) + 1, p.originator_id, p.version, p.topic, 0, "", 0, "", p.state, b"")
            )
        return len(events)

    def replayed(self, blank: Aggregate | None, ident: UUID = ID) -> Any:
        """The aggregate as its stored events make it."""
        found: Any = blank
        for fact in self.history:
            if fact.originator_id == str(ident):
                found = domain_event(fact).mutate(found)
        return found


class ObjectModel(Recording):
    """Put, references, pin and delete against five plain variables."""

    @initialize()
    def start(self) -> None:
        self.object = Object.blank(ID)
        self.present, self.version, self.refs, self.pinned = False, 0, 0, False

    @rule(if_version=st.none() | st.integers(0, 3), if_absent=st.booleans())
    def put(self, if_version: int | None, if_absent: bool) -> None:
        current = self.version if self.present else 0
        clash = (if_absent and self.present) or (if_version is not None and if_version != current)
        got = verdict(lambda: self.object.put("b", "k", sha256="s", size=1, if_version=if_version, if_absent=if_absent))
        assert got is (PreconditionFailed if clash else None)
        if not clash:
            self.refs, self.pinned = (self.refs, self.pinned) if self.present else (1, False)
            self.present, self.version = True, self.version + 1

    @rule(count=st.integers(-1, 3))
    def add_ref(self, count: int) -> None:
        wanted = NotFound if not self.present else Invalid if count < 1 else None
        assert verdict(lambda: self.object.add_ref(count)) is wanted
        self.refs += 0 if wanted else count

    @rule(count=st.integers(-1, 3))
    def remove_ref(self, count: int) -> None:
        wanted = NotFound if not self.present else Invalid if count < 1 else Refused if count > self.refs else None
        assert verdict(lambda: self.object.remove_ref(count)) is wanted
        if wanted is None:
            self.refs -= count
            self.reclaim()

    @rule()
    def pin(self) -> None:
        assert verdict(self.object.pin) is (None if self.present else NotFound)
        self.pinned = self.present

    @rule()
    def unpin(self) -> None:
        assert verdict(self.object.unpin) is (None if self.present else NotFound)
        if self.present and self.pinned:
            self.pinned = False
            self.reclaim()

    @rule(force=st.booleans())
    def delete(self, force: bool) -> None:
        wanted = NotFound if not self.present else Refused if self.pinned and not force else None
        assert verdict(lambda: self.object.delete("because", force=force)) is wanted
        if wanted is None:
            self.present, self.refs, self.pinned = False, 0, False

    def reclaim(self) -> None:
        if self.refs == 0 and not self.pinned:
            self.present = False

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "object"):
            return
        self.keep(self.object)
        for seen in (self.object, self.replayed(Object.blank(ID))):
            assert (seen.present, seen.object_version) == (self.present, self.version)
            if self.present:
                assert (seen.refs, seen.pinned) == (self.refs, self.pinned)


class NodeModel(Recording):
    """Registration, updates, silence, recovery and deletion."""

    @initialize()
    def start(self) -> None:
        self.node = Node(id=ID, ip_address="10.0.0.1", port=1, http_port=0, metadata={})
        self.status, self.port, self.deleted = "online", 1, False
        self.keep(self.node)

    @rule(port=st.none() | st.integers(1, 3), status=st.none() | st.sampled_from(["online", "active", "draining"]))
    def update(self, port: int | None, status: str | None) -> None:
        assert verdict(lambda: self.node.update(port=port, status=status)) is self.gone()
        changes = (port or self.port, status or self.status) != (self.port, self.status)
        assert self.keep(self.node) == (1 if changes and not self.deleted else 0)
        if not self.deleted:
            self.port, self.status = port or self.port, status or self.status

    @rule()
    def beat(self) -> None:
        assert verdict(lambda: self.node.beat({})) is self.gone()
        was_offline = self.status == NodeStatus.OFFLINE and not self.deleted
        assert self.keep(self.node) == (1 if was_offline else 0)
        self.status = "online" if was_offline else self.status

    @rule()
    def lose(self) -> None:
        assert verdict(lambda: self.node.lose("silent")) is self.gone()
        self.status = self.status if self.deleted else "offline"

    @rule()
    def delete(self) -> None:
        assert verdict(lambda: self.node.delete("gone")) is self.gone()
        self.deleted = True

    def gone(self) -> type[SpearError] | None:
        return NotFound if self.deleted else None

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "node"):
            return
        self.keep(self.node)
        for seen in (self.node, self.replayed(None)):
            assert (str(seen.status), seen.port, seen.deleted) == (self.status, self.port, self.deleted)


class EndpointModel(Recording):
    """A name has at most one owner."""

    @initialize()
    def start(self) -> None:
        self.name = Endpoint.blank(ID)
        self.owner = ""

    @rule(task=st.sampled_from("abc"))
    def claim(self, task: str) -> None:
        taken = self.owner not in ("", task)
        assert verdict(lambda: self.name.claim("chat", task)) is (AlreadyExists if taken else None)
        self.owner = self.owner or task

    @rule(task=st.sampled_from("abc"))
    def release(self, task: str) -> None:
        self.name.release("chat", task)
        self.owner = "" if self.owner == task else self.owner

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "name"):
            return
        self.keep(self.name)
        assert self.name.task_id == self.replayed(Endpoint.blank(ID)).task_id == self.owner


class ExecutionModel(Recording):
    """It starts at most once and ends exactly once, however often it is told to."""

    @initialize()
    def start(self) -> None:
        self.execution = Execution(
            id=ID, task_id="t", node_uuid="", mode="sync", args=[], environment={}, timeout_ms=0, input_sha256="",
            input_size=0, input_inline="", input_content_type="", fingerprint="",
        )  # fmt: skip
        self.status = ExecutionStatus.PENDING
        self.ends = 0

    @rule()
    def begin(self) -> None:
        wanted = None if self.status is ExecutionStatus.PENDING else Refused
        assert verdict(lambda: self.execution.begin_on("i", node_uuid="n", start=Start.COLD)) is wanted
        self.status = ExecutionStatus.RUNNING if wanted is None else self.status

    @rule(how=st.sampled_from(sorted(FINAL)))
    def end(self, how: ExecutionStatus) -> None:
        commands: dict[ExecutionStatus, Callable[[], None]] = {
            ExecutionStatus.COMPLETED: lambda: self.execution.complete(
                exit_code=0, sha256="", size=0, content_type="", duration_us=1
            ),
            ExecutionStatus.FAILED: lambda: self.execution.fail("no"),
            ExecutionStatus.CANCELLED: lambda: self.execution.cancel("enough"),
            ExecutionStatus.TIMEOUT: lambda: self.execution.time_out("late"),
        }
        commands[how]()
        if self.status not in FINAL:
            self.status, self.ends = how, self.ends + 1

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "execution"):
            return
        self.keep(self.execution)
        assert self.execution.status is self.replayed(None).status is self.status
        assert self.ends <= 1


def _case(machine: type[RuleBasedStateMachine]) -> Any:
    case = machine.TestCase
    case.settings = settings.get_profile("model")
    return case


TestObjectAgainstItsReference = _case(ObjectModel)
TestNodeAgainstItsReference = _case(NodeModel)
TestEndpointAgainstItsReference = _case(EndpointModel)
TestExecutionAgainstItsReference = _case(ExecutionModel)
