"""Executions on other nodes: each runs once and ends once, whatever gets lost on the way."""

from collections import defaultdict, deque
from contextlib import contextmanager
from uuid import uuid4

import pytest
from gevent.event import Event

from spear.domain.node import OutcomeClass
from spear.errands import Answer, Arrival, Declined
from spear.errors import Overloaded, Unavailable
from spear.ports import End, Outcome
from spear.services.calls import Call, Mode
from tests.core._node import ORIGIN, joined, node, until

INSTANCE = "01900000-0000-7000-8000-000000000001"
LOST_REQUEST = Declined(Arrival.UNKNOWN, OutcomeClass.UNAVAILABLE, "the connection broke")
LOST_ANSWER = Declined(Arrival.UNKNOWN, OutcomeClass.TIMEOUT, "no answer in time")
NO_ANSWER_IN_TIME = Declined(Arrival.UNKNOWN, OutcomeClass.TIMEOUT, "and the request did not arrive")
UNSENT = Declined(Arrival.UNSENT, OutcomeClass.UNAVAILABLE, "failed to connect")
FULL = Declined(Arrival.REFUSED, OutcomeClass.OVERLOADED, "the queue is full", "OVERLOADED")
GONE = Declined(Arrival.REFUSED, OutcomeClass.UNAVAILABLE, "task x not found", "TASK_NOT_FOUND")
BAD = Declined(Arrival.REFUSED, OutcomeClass.BAD_REQUEST, "no such field", "INVALID_ARGUMENT")


class Elsewhere:
    """Other nodes, who run what is new to them; `troubles` of a node are what the next errands to it meet."""

    def __init__(self):
        self.troubles = defaultdict(deque)
        self.ran = []  # node and execution, for each effect
        self.ends = {}  # what each node knows
        self.stopped = []
        self.gate = Event()
        self.gate.set()
        self.outcome = Outcome(End.COMPLETED, output=b"there", exit_code=0)

    def invoke(self, node, errand, *, timeout_s):
        trouble = self.troubles[node.node_uuid].popleft() if self.troubles[node.node_uuid] else None
        if trouble not in (None, LOST_ANSWER):
            return trouble
        key = node.node_uuid, errand.execution_id
        if key not in self.ends:
            self.ran.append(key)
            self.ends[key] = Answer(self.outcome, INSTANCE, "warm", 5)
        self.gate.wait()
        return trouble or self.ends[key]

    def knows(self, node, execution_id):
        return (node.node_uuid, execution_id) in self.ends

    def terminate(self, node, execution_id, reason):
        self.stopped.append(node.node_uuid)
        if not self.knows(node, execution_id):
            return False
        stopped = Outcome(End.CANCELLED, error=f"terminated: {reason}", reason="terminated")
        self.ends[node.node_uuid, execution_id] = Answer(stopped, INSTANCE, "warm", 5)
        self.gate.set()
        return True


@contextmanager
def sms(folder, elsewhere, **limits):
    with node(folder, own="", elsewhere=elsewhere, **limits) as here:
        yield here


@pytest.fixture
def there():
    return Elsewhere()


@pytest.fixture
def here(tmp_path, there):
    with sms(tmp_path, there) as opened:
        yield opened


def best_first(here, count=2, **metadata):
    """Nodes in the order in which placement prefers them."""
    return sorted(here.join(**metadata) for _ in range(count))


def ran_on(there):
    return [uuid for uuid, _ in there.ran]


def run(here, **call):
    """The row of an execution that somebody waited for."""
    ident, _ = here.executions.request(ORIGIN, here.task(), Call(**call))
    return here.executions.wait(ident, timeout_s=10)


def idle(here):
    return (len(here.forwards._works), here.forwards._admission.running, here.forwards._admission.waiting) == (0, 0, 0)


def test_it_is_requested_placed_started_and_ended_once_with_its_output(here, there):
    best, _ = best_first(here)
    ident, outcome = here.executions.request(ORIGIN, here.task(), Call(input=b"x"))
    assert (outcome.end, outcome.output) == (End.COMPLETED, b"there")
    assert here.names(ident) == ["ExecutionRequested", "ExecutionPlaced", "ExecutionStarted", "ExecutionCompleted"]
    row = here.executions.get(ident)
    assert [fact.cause for fact in here.log.stream(ident)] == [0, 0, row.seq, row.seq]
    assert (row.node_uuid, row.instance_id, row.start, row.duration_us) == (best, INSTANCE, "warm", 5)
    assert here.executions.output(row) == b"there"
    assert idle(here)


@pytest.mark.parametrize("trouble", [FULL, UNSENT, GONE])
def test_it_spills_to_the_next_node_and_each_hop_is_recorded_and_punished(here, there, trouble):
    best, other = best_first(here)
    there.troubles[best].append(trouble)
    row = run(here)
    assert (row.status, row.node_uuid, ran_on(there)) == ("completed", other, [other])
    placed = here.placements.of_execution(row)
    assert [(hop.node_uuid, hop.outcome_class, hop.error_message) for hop in placed.hops] == [
        (best, trouble.outcome.value, trouble.text)
    ]
    assert here.placements.failing(best)
    assert run(here).node_uuid == other


@pytest.mark.parametrize("troubles", [[LOST_ANSWER], [LOST_REQUEST], [LOST_ANSWER, UNSENT, LOST_REQUEST]])
def test_what_may_have_arrived_is_asked_for_there_and_runs_once(here, there, troubles):
    best, _ = best_first(here)
    there.troubles[best].extend(troubles)
    row = run(here)
    assert (row.status, row.node_uuid, ran_on(there)) == ("completed", best, [best])
    assert "ExecutionSpilled" not in here.recorded()


@pytest.mark.parametrize("silence", [LOST_REQUEST, NO_ANSWER_IN_TIME])
def test_a_node_that_says_that_it_does_not_have_it_lets_it_go(here, there, silence):
    best, other = best_first(here)
    there.troubles[best].extend([silence, FULL])
    assert run(here).node_uuid == other
    assert ran_on(there) == [other]


def test_a_node_that_never_answers_again_ends_it_as_lost_and_nobody_else_gets_it(here, there):
    best, _ = best_first(here)
    there.troubles[best].extend([LOST_ANSWER] + [UNSENT] * 10_000)
    row = run(here)
    assert (row.status, row.reason, ran_on(there)) == ("failed", "lost", [best])
    assert best in row.error


def test_a_node_that_was_removed_ends_what_it_may_have_run_as_lost(here, there):
    best, _ = best_first(here)
    there.troubles[best].extend([LOST_ANSWER] + [UNSENT] * 10_000)
    caller = here.ask(here.task())
    until(lambda: ran_on(there))
    here.nodes.delete(ORIGIN, best, "gone")
    caller.get(timeout=10)
    row = here.executions.get(here.the_one("failed"))
    assert (row.status, row.reason, ran_on(there)) == ("failed", "lost", [best])


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome(End.FAILED, error="exit 1", exit_code=1), "failed"), (Outcome(End.TIMEOUT, error="slow"), "timeout")],
)
def test_a_failed_agent_is_a_result_and_goes_nowhere_else(here, there, outcome, status):
    best, _ = best_first(here)
    there.outcome = outcome
    row = run(here)
    assert (row.status, ran_on(there)) == (status, [best])
    assert not here.placements.failing(best)


def test_a_task_that_is_gone_everywhere_ends_it_and_no_node_is_blamed(here, there):
    best, other = best_first(here)
    task = here.task()

    def invoke(node, errand, *, timeout_s):
        here.tasks.unregister(ORIGIN, task.task_id, "gone meanwhile")
        return GONE

    there.invoke = invoke
    _, outcome = here.executions.request(ORIGIN, task, Call())
    assert (outcome.end, outcome.code) == (End.FAILED, "TASK_NOT_FOUND")
    assert [here.placements.failing(uuid) for uuid in (best, other)] == [False, False]


def test_a_bad_request_ends_it_at_once(here, there):
    best, _ = best_first(here)
    there.troubles[best].append(BAD)
    row = run(here)
    assert (row.status, row.error_code, ran_on(there)) == ("failed", "INVALID_ARGUMENT", [])


def test_a_success_ends_a_nodes_penalty(here, there):
    best, _ = best_first(here)
    there.troubles[best].append(LOST_ANSWER)
    run(here)
    assert not here.placements.failing(best)
    assert here.recorded()["OutcomeReported"] == 2
    run(here)
    assert here.recorded()["OutcomeReported"] == 2


def test_a_pinned_task_runs_on_its_node_or_not_at_all(here, there):
    best, other = best_first(here)
    task = here.task(node_uuid=other)
    here.executions.request(ORIGIN, task, Call())
    assert ran_on(there) == [other]
    here.nodes.drain(ORIGIN, other, "a new kernel")
    with pytest.raises(Unavailable, match="a new kernel") as refused:
        here.executions.request(ORIGIN, task, Call())
    assert refused.value.code == "NODE_UNREACHABLE"
    here.executions.request(ORIGIN, here.task(), Call(node_uuid=best))
    assert ran_on(there) == [other, best]


def test_without_any_node_nothing_is_accepted(here):
    with pytest.raises(Unavailable) as refused:
        run(here)
    assert refused.value.code == "NO_NODE"
    assert here.counts() == {}


@pytest.fixture
def two_that_fail(here, there):
    """Nodes of which none can be reached now, and a task that may take 15 s: less than a failure keeps a node out."""
    for uuid in best_first(here):
        there.troubles[uuid].append(UNSENT)
    return here.task(**{"limits.wall_ms": "15000"})


def test_who_waits_hears_at_once_that_no_node_takes_it_in_time_and_the_next_one_when_to_come(here, two_that_fail):
    _, outcome = here.ask(two_that_fail).get(timeout=5)
    assert (outcome.end, outcome.code) == (End.FAILED, "NO_NODE") and "the first one in 20 s" in outcome.error
    for pinned in ("", here.placements._fleet.roster._closed[0]):
        with pytest.raises(Unavailable) as refused:
            here.executions.request(ORIGIN, two_that_fail, Call(node_uuid=pinned))
        assert 0 < refused.value.details["retry_after_s"] <= 20
    assert (here.counts(), idle(here)) == ({"failed": 1}, True)


def test_what_nobody_waits_for_may_still_have_luck(here, there, two_that_fail):
    ident, _ = here.ask(two_that_fail, Mode.ASYNC).get(timeout=5)
    until(lambda: here.recorded()["ExecutionSpilled"] == 2)
    new = here.join()
    assert here.executions.wait(ident, timeout_s=10).node_uuid == new


def test_as_many_go_at_once_as_the_nodes_have_slots_and_the_urgent_ones_first(here, there):
    best_first(here, 2, slots="1")
    there.gate.clear()
    task, urgent = here.task(), here.task(priority="urgent")
    callers = [here.ask(task) for _ in range(3)]
    until(lambda: len(there.ran) == 2 and here.forwards._admission.waiting == 1)
    callers.append(here.ask(urgent))
    until(lambda: here.forwards._admission.waiting == 2)
    there.gate.set()
    joined(callers, raise_error=True)
    tasks = [here.executions.get(ident).task_id for _, ident in there.ran]
    assert tasks[2] == urgent.task_id
    assert sorted(ran_on(there)[:2]) == sorted({uuid for uuid in ran_on(there)})


def test_more_than_the_queue_holds_is_refused(here, there):
    best_first(here, 1, slots="1")
    there.gate.clear()
    task = here.task()
    callers = [here.ask(task) for _ in range(9)]
    until(lambda: here.forwards._admission.waiting == 8)
    with pytest.raises(Overloaded):
        here.executions.request(ORIGIN, task, Call())
    there.gate.set()
    joined(callers, raise_error=True)
    assert here.counts() == {"completed": 9}
    assert idle(here)


@pytest.mark.parametrize("mode", Mode)
def test_terminate_reaches_the_node(here, there, mode):
    best, _ = best_first(here)
    there.gate.clear()
    here.ask(here.task(), mode)
    until(lambda: there.ran)
    row = here.executions.terminate(ORIGIN, there.ran[0][1], "enough")
    assert row.status == "cancelled"
    assert there.stopped == [best]
    until(lambda: idle(here))


def test_terminate_ends_what_waits_for_a_place_without_asking_anybody(here, there):
    best_first(here, 1, slots="1")
    there.gate.clear()
    first = here.ask(here.task())
    until(lambda: there.ran)
    waiting = here.ask(here.task(), Mode.ASYNC).get(timeout=10)[0]
    assert here.executions.terminate(ORIGIN, waiting, "enough").status == "cancelled"
    there.gate.set()
    first.get(timeout=10)
    assert len(there.ran) == 1


@pytest.mark.parametrize("mode", Mode)
def test_after_a_restart_what_runs_elsewhere_is_asked_for_and_runs_once(tmp_path, there, mode):
    with sms(tmp_path, there) as here:
        best_first(here)
        there.gate.clear()
        here.ask(here.task(), mode)
        until(lambda: there.ran)
    there.gate.set()
    with sms(tmp_path, there) as here:
        here.dispatcher.end_lost("not this one")
        here.forwarder.look()
        row = here.executions.wait(there.ran[0][1], timeout_s=10)
        assert (row.status, len(there.ran)) == ("completed", 1)
        assert here.executions.output(row) == b"there"


def test_after_a_restart_what_no_node_has_is_placed_if_nobody_waited_for_it(tmp_path, there):
    there.troubles = defaultdict(lambda: deque([LOST_REQUEST] * 10_000))
    with sms(tmp_path, there) as here:
        best_first(here)
        for mode in Mode:
            here.ask(here.task(), mode)
        until(lambda: here.recorded()["OutcomeReported"] == 2)
    there.troubles.clear()
    there.troubles.default_factory = deque
    with sms(tmp_path, there) as here:
        here.forwarder.look()
        until(lambda: not here.counts().keys() & {"pending", "running"})
        assert here.counts() == {"completed": 1, "failed": 1}
        assert len(there.ran) == 1


def test_after_a_restart_what_no_node_got_and_a_caller_waited_for_goes_nowhere(tmp_path, there):
    with sms(tmp_path, there) as here:
        best_first(here, 1, slots="1")
        there.gate.clear()
        here.ask(here.task())
        until(lambda: there.ran)
        here.ask(here.task())
        until(lambda: here.forwards._admission.waiting)
    there.gate.set()
    with sms(tmp_path, there) as here:
        here.forwarder.look()
        until(lambda: here.counts() == {"completed": 1, "failed": 1})
        ident = here.the_one("failed")
        assert here.names(ident) == ["ExecutionRequested", "ExecutionFailed"]
        assert here.executions.get(ident).reason == "lost"


def test_after_a_restart_terminate_reaches_the_node_at_once(tmp_path, there):
    with sms(tmp_path, there) as here:
        best, _ = best_first(here)
        there.gate.clear()
        here.ask(here.task(), Mode.ASYNC)
        until(lambda: there.ran)
    with sms(tmp_path, there) as here:
        row = here.executions.terminate(ORIGIN, there.ran[0][1], "enough")
        assert (row.status, there.stopped) == ("cancelled", [best])


def test_what_ran_on_a_node_that_forgot_it_is_lost_and_not_run_again(tmp_path, there):
    with sms(tmp_path, there) as here:
        best, _ = best_first(here)
        there.gate.clear()
        here.ask(here.task(), Mode.ASYNC)
        until(lambda: there.ran)
        ident = there.ran[0][1]
        assert here.executions.reported(ORIGIN, ident, node_uuid=best, instance_id=INSTANCE, start="warm")
        assert here.executions.get(ident).status == "running"
    there.ends.clear()
    there.gate.set()
    with sms(tmp_path, there) as here:
        here.forwarder.look()
        row = here.executions.wait(ident, timeout_s=10)
        assert (row.status, row.reason, len(there.ran)) == ("failed", "lost", 1)


def test_what_began_on_a_node_goes_nowhere_else_whatever_that_says_later(here, there):
    best, _ = best_first(here)
    there.gate.clear()
    there.troubles[best].extend([LOST_ANSWER, FULL])
    caller = here.ask(here.task())
    until(lambda: there.ran)
    ident = there.ran[0][1]
    assert here.executions.reported(ORIGIN, ident, node_uuid=best, instance_id=INSTANCE, start="warm")
    there.gate.set()
    caller.get(timeout=10)
    row = here.executions.get(ident)
    assert (row.status, row.reason, ran_on(there)) == ("failed", "lost", [best])


def test_the_same_id_asked_twice_runs_once(here, there):
    best_first(here)
    task, call = here.task(), Call(idempotency_key="k", input=b"x")
    first, outcome = here.executions.request(ORIGIN, task, call)
    assert here.executions.request(ORIGIN, task, call) == (first, None)
    assert (outcome.output, len(there.ran)) == (b"there", 1)


def test_a_node_with_room_runs_it_itself_and_one_without_sends_it_on(tmp_path, there):
    with node(tmp_path, own="", elsewhere=there, max_concurrent=1) as here:
        own, other = here.join(), here.join()
        here.runs.node.uuid = own
        caller, _, guest = here.begin(here.task())
        assert run(here).node_uuid == other
        guest.end()
        assert caller.get(timeout=10)[1].end is End.COMPLETED
        assert ran_on(there) == [other]
        here.dispatcher.end_lost()


def test_a_node_without_the_memory_that_a_task_needs_sends_it_on(tmp_path, there):
    with node(tmp_path, own="", elsewhere=there) as here:
        own = here.runs.node.uuid = here.join()
        other = here.join()
        numbers = {"total_memory_bytes": 2**30, "available_memory_bytes": 2**20}
        here.nodes.report_resources(ORIGIN, own, numbers=numbers, resource_metadata={})
        task = here.task(**{"resources.memory_mb": "2"})
        here.fleet.catch_up(here.clock.time_us)
        ident, _ = here.executions.request(ORIGIN, task, Call())
        assert (here.executions.get(ident).node_uuid, ran_on(there)) == (other, [other])


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("others", [1, 12])
def test_what_no_other_node_takes_comes_back_and_waits_for_a_place_here(tmp_path, there, others, mode):
    with node(tmp_path, own="", elsewhere=there, max_concurrent=1) as here:
        own = here.runs.node.uuid = here.join()
        for uuid in [here.join() for _ in range(others)]:
            there.troubles[uuid].extend([UNSENT] * 3)
        caller, first, guest = here.begin(here.task())
        second = here.ask(here.task(), mode)
        until(lambda: here.runs.waiting == 1)
        guest.end()
        assert caller.get(timeout=10)[1].end is End.COMPLETED
        until(lambda: set(here.guests.running) - {first})
        [ident] = set(here.guests.running) - {first}
        here.guests.running[ident].end()
        assert second.get(timeout=10)[0] == ident
        row = here.executions.wait(ident, timeout_s=10)
        assert (row.status, row.node_uuid, there.ran) == ("completed", own, [])
        assert here.names(ident).count("ExecutionSpilled") == min(others, 9)
        assert idle(here)


def test_what_was_terminated_on_its_way_back_does_not_run(tmp_path, there):
    with node(tmp_path, own="", elsewhere=there, max_concurrent=1) as here:
        here.runs.node.uuid = here.join()
        last = [here.join() for _ in range(9)][-1]
        asked = []

        def refuse(node, errand, *, timeout_s):
            asked.append(node.node_uuid)
            if len(asked) == 9:
                assert here.forwards.stop(errand.execution_id, "enough")
            return UNSENT

        there.invoke = refuse
        caller, _, guest = here.begin(here.task())
        ident, outcome = here.ask(here.task()).get(timeout=10)
        assert (outcome, here.executions.get(ident).status, last in asked) == (None, "cancelled", True)
        guest.end()
        assert caller.get(timeout=10)[1].end is End.COMPLETED
        assert idle(here)


def test_a_drained_node_sends_everything_on(tmp_path, there):
    with node(tmp_path, own="", elsewhere=there) as here:
        own, other = here.join(), here.join()
        here.runs.node.uuid = own
        here.nodes.drain(ORIGIN, own, "a new kernel")
        assert here.forwards.guide.slots  # the others are looked for now
        assert [run(here).node_uuid for _ in range(2)] == [other] * 2


@pytest.mark.parametrize("why", ["full", "drained"])
def test_a_node_that_takes_nothing_new_still_tells_of_what_it_has(tmp_path, why):
    with node(tmp_path, max_concurrent=1, queue_limit=0) as here:
        task, ident = here.task(), str(uuid4())
        here.runs.node.uuid = here.join()
        _, _, guest = here.begin(task, execution_id=ident)
        if why == "drained":
            here.nodes.drain(ORIGIN, here.runs.node.uuid, "a new kernel")
        assert here.executions.request(ORIGIN, task, Call(execution_id=ident)) == (ident, None)
        with pytest.raises((Overloaded, Unavailable)):
            here.executions.request(ORIGIN, task, Call(execution_id=str(uuid4())))
        guest.end()


def test_ids_of_the_nodes_own_runs_are_not_asked_for_elsewhere(tmp_path, there):
    with node(tmp_path, own="node-1", elsewhere=there) as here:
        best_first(here)
        _, ident, guest = here.begin(here.task(), node_uuid="node-1")
        here.forwarder.look()
        assert not here.forwards.has(ident)
        guest.end()
    assert there.ran == []
