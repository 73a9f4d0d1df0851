"""Executions from request to end: whatever fails on the way, each ends once and gives back what it took."""

import io
from uuid import UUID

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from spear.adapters.storage.blobs import MemoryBlobStore
from spear.domain.execution import idempotent_id
from spear.errors import InvalidConfiguration, Overloaded, Refused, Unavailable
from spear.ports import End, Outcome, RunSpec
from spear.services.calls import Call, Mode
from spear.services.content import INLINE_BYTES
from spear.services.objects import Objects
from tests.core._node import DONE, ORIGIN, joined, node, until

LARGE = b"x" * (INLINE_BYTES + 1)


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


@pytest.fixture
def narrow(tmp_path):
    with node(tmp_path, max_concurrent=1) as opened:
        yield opened


class FullBlobs(MemoryBlobStore):
    """A blob store whose disk is full while the test says so."""

    full = False

    def put(self, source, *, limit, hold=False):
        if self.full:
            raise Unavailable("the disk refused to store content")
        return super().put(source, limit=limit, hold=hold)


def restarted(folder):
    """What the next process finds and does first."""
    with node(folder) as here:
        here.dispatcher.end_lost("the process ended")
        return here.counts(), here.recorded()


def test_a_run_is_requested_started_and_ended_once(here):
    caller, ident, guest = here.begin(here.task())
    guest.end()
    caller.join(10)
    assert caller.value == (ident, DONE)
    assert here.names(ident) == ["ExecutionRequested", "ExecutionStarted", "ExecutionCompleted"]
    assert here.at_rest()


def test_what_follows_a_request_names_it_as_its_cause(here):
    caller, ident, guest = here.begin(here.task())
    guest.end()
    caller.join(10)
    requested, *later = here.since("ExecutionRequested")
    assert (requested.originator_id, requested.cause) == (ident, 0)
    names = ["InstanceStarted", "TaskActivated", "ExecutionStarted", "ExecutionCompleted", "ObjectPut"]
    assert [(fact.name, fact.cause) for fact in later] == [(name, requested.position) for name in names]


@pytest.mark.parametrize("waits_in", ["queue", "queue twice", "cold start", "run", "run twice"])
@pytest.mark.parametrize("mode", Mode)
def test_terminate_ends_an_execution_as_cancelled_wherever_it_waits(narrow, waits_in, mode):
    here, task = narrow, narrow.task()
    if waits_in.startswith("queue"):
        _, _, first = here.begin(task)
    elif waits_in == "cold start":
        here.guests.gate = Event()
    caller = here.ask(task, mode)
    status = "running" if waits_in.startswith("run") else "pending"
    until(lambda: here.counts().get("pending") if status == "pending" else here.guests.running)
    ident = [here.the_one(status)] * (2 if "twice" in waits_in else 1)
    stops = [here.spawn(here.executions.terminate, ORIGIN, each, "enough") for each in ident]
    gevent.sleep(0)
    here.guests.gate.set()
    joined([caller, *stops], raise_error=True)
    assert here.executions.wait(ident[0], timeout_s=10).status == "cancelled"
    assert here.recorded()["ExecutionCancelled"] == 1
    if waits_in == "cold start":
        assert here.guests.running == {}
    elif waits_in.startswith("queue"):
        first.end()
    until(here.at_rest)


def test_terminate_after_the_natural_end_is_refused_and_changes_nothing(here):
    caller, ident, guest = here.begin(here.task())
    guest.end()
    stopping = here.spawn(here.executions.terminate, ORIGIN, ident, "too late")
    joined([caller, stopping])
    assert isinstance(stopping.exception, Refused)
    assert here.names(ident)[2:] == ["ExecutionCompleted"]


def test_terminate_is_bounded_although_the_log_never_rests(here):
    task, here.guests.gate = here.task(), Event()
    here.ask(task, Mode.ASYNC)
    until(here.guests.preparing.is_set)
    ident = here.the_one("pending")

    def chatter():
        while True:
            here.task()

    here.spawn(chatter)
    with gevent.Timeout(5):
        assert here.executions.terminate(ORIGIN, ident, "enough").status == "pending"


def test_a_task_unregistered_while_its_execution_waits_or_runs_ends_it_all_the_same(narrow):
    task, other = narrow.task(), narrow.task()
    caller, _, guest = narrow.begin(task)
    waiting = narrow.ask(other)
    until(lambda: narrow.runs.waiting)
    for row in (task, other):
        narrow.tasks.unregister(ORIGIN, row.task_id, "gone")
    guest.end()
    joined([caller, waiting], raise_error=True)
    assert caller.value[1].end is End.COMPLETED
    assert (waiting.value[1].end, waiting.value[1].code) == (End.FAILED, "TASK_NOT_FOUND")
    assert narrow.at_rest()


FAULTS = ["none", "full log", "full log after the start", "stuck views", "prepare", "start", "bug", "blobs", "stop"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(FAULTS), st.sampled_from(Mode)), min_size=1, max_size=8), st.booleans())
def test_every_way_to_fail_gives_back_the_place_and_ends_what_was_recorded(tmp_path_factory, steps, warm):
    blobs = FullBlobs()
    with node(tmp_path_factory.mktemp("node"), blobs=blobs, max_concurrent=2) as here:
        task = here.task()
        if warm:
            here.instances.release(here.instances.acquire(ORIGIN, task))
        for fault, mode in steps:
            provoke(here, blobs, task, fault, mode)
            until(here.at_rest)
        for _ in range(2):
            here.task()
            here.runs.settle()
            here.dispatcher.dispatch()
            until(here.at_rest)
            here.dispatcher.end_lost()
        assert not {"pending", "running"} & here.counts().keys()
        ends = sum(count for status, count in here.counts().items())
        names = here.recorded()
        assert names["ExecutionRequested"] == ends
        assert sum(names[f"Execution{end}"] for end in ("Completed", "Failed", "Cancelled", "TimedOut")) == ends


def provoke(here, blobs, task, fault, mode):
    """One call that meets the fault; the fault is over afterwards."""
    guests = here.guests
    here.log.full, here.views.stuck, blobs.full = fault == "full log", fault == "stuck views", fault == "blobs"
    guests.cannot_prepare = InvalidConfiguration("bad") if fault == "prepare" else None
    guests.cannot_start = {"start": Unavailable("closed"), "bug": ZeroDivisionError()}.get(fault)
    guests.at_once = fault not in ("full log after the start", "stop")
    caller = here.ask(task, mode, input=LARGE)
    if not guests.at_once:
        until(lambda: any(not guest._outcome.ready() for guest in guests.running.values()))
        [guest] = [guest for guest in guests.running.values() if not guest._outcome.ready()]
        here.log.full = fault.startswith("full")
        guest.stop("stop") if fault == "stop" else guest.end(Outcome(End.COMPLETED, output=LARGE))
    caller.join(10)
    until(here.at_rest)
    here.log.full = here.views.stuck = blobs.full = False
    guests.cannot_prepare = guests.cannot_start = None
    guests.at_once = True


def test_an_end_that_cannot_be_recorded_is_settled_once_there_is_room(here):
    caller, ident, guest = here.begin(here.task())
    here.log.full = True
    guest.end()
    caller.join(10)
    assert isinstance(caller.exception, Unavailable)
    with pytest.raises(Unavailable):
        here.runs.settle()
    assert here.executions.get(ident).status == "running"
    here.log.full = False
    here.dispatcher.end_lost()
    gevent.joinall([here.spawn(here.runs.settle) for _ in range(3)], raise_error=True)
    assert here.names(ident)[2:] == ["ExecutionCompleted"]


def test_an_end_that_could_not_be_recorded_is_ended_once_by_the_next_process(tmp_path):
    with node(tmp_path) as here:
        caller, _, guest = here.begin(here.task())
        here.log.full = True
        guest.end()
        caller.join(10)
    counts, names = restarted(tmp_path)
    assert counts == {"failed": 1}
    assert restarted(tmp_path) == (counts, names)


def test_an_end_that_is_recorded_while_the_views_are_stuck_is_not_recorded_again(here):
    caller, ident, guest = here.begin(here.task())
    here.views.stuck = True
    guest.end()
    caller.join(10)
    here.views.stuck = False
    here.runs.settle()
    assert here.names(ident)[2:] == ["ExecutionCompleted"]


def test_terminating_what_ended_but_is_not_recorded_keeps_its_result(here):
    caller, ident, guest = here.begin(here.task())
    here.log.full = True
    guest.end()
    caller.join(10)
    here.log.full = False
    stopping = here.spawn(here.executions.terminate, ORIGIN, ident, "too late")
    here.spawn(here.runs.settle)
    stopping.join(10)
    assert here.executions.get(ident).status == "completed"


def test_a_result_is_kept_although_somebody_put_an_object_under_its_name(here):
    task = here.task()
    caller, ident, guest = here.begin(task)
    objects = Objects(here.unit, here.reader, here.contents, max_object_size=10)
    objects.put(ORIGIN, f"results/{task.task_id}/{ident}", io.BytesIO(b"mine"), content_type="text/plain")
    guest.end()
    caller.join(10)
    assert here.executions.output(here.executions.get(ident)) == b"done"


@pytest.mark.parametrize("outcome", [DONE, Outcome(End.FAILED, error="exit code 3", reason="exit_code", exit_code=3)])
def test_a_quick_warm_call_is_one_commit(here, outcome):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    here.guests.at_once, here.guests.outcome, before = True, outcome, here.log.commits
    ident, told = here.executions.request(ORIGIN, task, Call())
    assert (told, here.log.commits - before) == (outcome, 1)
    assert here.executions.get(ident).status == outcome.end
    assert here.at_rest()


def test_a_quick_warm_call_is_recorded_although_somebody_put_an_object_under_its_results_name(here):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    here.guests.at_once = True
    put = Objects(here.unit, here.reader, here.contents, max_object_size=10).put
    here.guests.on_start = lambda spec: put(
        ORIGIN, f"results/{task.task_id}/{spec.execution_id}", io.BytesIO(b"mine"), content_type="text/plain"
    )
    ident, _ = here.executions.request(ORIGIN, task, Call())
    assert here.executions.output(here.executions.get(ident)) == b"done"
    assert here.recorded()["ObjectPut"] == 2


def test_a_warm_call_that_is_not_quick_is_in_the_log_while_it_runs(here):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    caller, _, guest = here.begin(task)
    until(lambda: here.counts() == {"running": 1})
    guest.end()
    assert caller.get(timeout=10)[1] == DONE


def asks_for_something(here, seen):
    """What happens for a guest that asks as soon as it starts: `seen` gets the events that its execution has by then."""

    def ask(spec):
        here.runs.await_request(spec.execution_id)
        seen.append(here.names(spec.execution_id))

    here.guests.on_start = lambda spec: seen.append(gevent.spawn(ask, spec))


@pytest.mark.parametrize("warm", [True, False])
def test_what_a_guest_asks_for_waits_until_its_execution_is_a_fact(here, warm):
    task, seen = here.task(), []
    if warm:
        here.instances.release(here.instances.acquire(ORIGIN, task))
    asks_for_something(here, seen)
    caller, ident, guest = here.begin(task)
    until(lambda: len(seen) == 2)
    assert seen[1] == ["ExecutionRequested", "ExecutionStarted"]
    guest.end()
    caller.join(10)
    here.runs.await_request(ident)  # one that is over keeps nobody


def test_nothing_is_done_for_a_guest_whose_request_cannot_be_recorded(here):
    task, seen = here.task(), []
    here.instances.release(here.instances.acquire(ORIGIN, task))
    asks_for_something(here, seen)
    here.log.full = True
    with pytest.raises(Unavailable, match="the disk is full"):
        here.executions.request(ORIGIN, task, Call())
    [asking] = seen
    assert not asking.ready()  # and it is killed with its guest
    asking.kill(timeout=10)


def test_a_guest_that_ran_ahead_of_a_request_that_cannot_be_recorded_is_stopped_and_leaves_nothing(here):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    here.log.full = True
    with pytest.raises(Unavailable, match="the disk is full"):
        here.executions.request(ORIGIN, task, Call())
    [guest] = here.guests.running.values()
    assert guest.stops == ["it was not recorded"]
    assert here.at_rest()
    here.log.full = False
    assert not here.recorded()["ExecutionRequested"]
    here.guests.at_once = True
    assert here.executions.request(ORIGIN, task, Call())[1] == DONE


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("once", [{"idempotency_key": "k"}, {"execution_id": str(UUID(int=7, version=4))}])
def test_ten_callers_with_one_key_share_one_run(here, mode, warm, once):
    task = here.task()
    if warm:
        here.instances.release(here.instances.acquire(ORIGIN, task))
    here.guests.at_once = True
    callers = [here.ask(task, mode, **once) for _ in range(10)]
    joined(callers, raise_error=True)
    assert len({caller.value[0] for caller in callers}) == 1
    until(lambda: here.recorded()["ExecutionCompleted"] == 1)
    until(here.at_rest)
    here.executions.request(ORIGIN, task, Call(mode=mode, **once))
    assert here.recorded()["ExecutionRequested"] == here.recorded()["ExecutionStarted"] == here.guests.started == 1
    until(here.at_rest)


def test_of_callers_with_one_key_and_different_requests_one_wins_and_the_others_are_refused(here):
    here.guests.at_once = True
    task = here.task()
    callers = [here.ask(task, mode, idempotency_key="k", input=data) for mode in Mode for data in (b"a", b"b")]
    joined(callers)
    assert sum(caller.successful() for caller in callers) == 1
    assert {type(caller.exception) for caller in callers} - {type(None)} == {Refused}
    until(here.at_rest)


def test_when_the_first_of_two_with_one_key_fails_the_second_is_still_in_hand(here):
    task = here.task()
    spec = RunSpec(str(idempotent_id(task.task_id, "k")))
    first = here.runs.enter(task, spec, origin=ORIGIN, waits=True)
    _, ident, guest = here.begin(task, idempotency_key="k")
    here.runs.abandon(first)
    assert ident == spec.execution_id
    assert here.runs.stop(ident, "enough")
    assert guest.stops == ["enough"]
    until(here.at_rest)


def test_a_full_queue_refuses_and_records_nothing(tmp_path):
    with node(tmp_path, max_concurrent=1, queue_limit=1) as here:
        task = here.task()
        here.begin(task)
        here.ask(task)
        until(lambda: here.recorded()["ExecutionRequested"] == 2)
        with pytest.raises(Overloaded):
            here.executions.request(ORIGIN, task, Call())
        assert here.recorded()["ExecutionRequested"] == 2


def test_closing_lets_runs_end_then_waiting_callers_go_on_and_leaves_async_work_for_the_next_process(tmp_path):
    with node(tmp_path, max_concurrent=1) as here:
        task = here.task()
        running, _, guest = here.begin(task)
        waiting = here.ask(task)
        until(lambda: here.runs.waiting == 1)
        _, (left, _) = here.ask(task, Mode.ASYNC), here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC))
        until(lambda: here.runs.waiting == 3)
        here.guests.at_once = True
        closing = here.spawn(here.runs.close, "the server is stopping", grace_s=10)
        until(lambda: here.runs.waiting == 1)
        with pytest.raises(Unavailable):
            here.executions.request(ORIGIN, task, Call())
        guest.end()
        joined([running, waiting, closing], raise_error=True)
        assert here.counts() == {"completed": 2, "pending": 2}
        assert here.at_rest()
    with node(tmp_path) as here:
        here.guests.at_once = True
        here.dispatcher.end_lost("the process ended")
        here.dispatcher.dispatch()
        assert here.executions.wait(left, timeout_s=10).status == "completed"
        until(lambda: here.counts() == {"completed": 4})


def test_closing_stops_what_outlives_its_grace_running_or_waiting(tmp_path):
    with node(tmp_path, max_concurrent=1) as here:
        task = here.task()
        callers = [here.begin(task)[0], here.ask(task)]
        until(lambda: here.runs.waiting)
        for _ in range(2):
            here.runs.close("the server is stopping", grace_s=0.01)
        joined(callers, raise_error=True)
        assert here.counts() == {"cancelled": 2}
        assert here.at_rest()


def test_closing_does_not_hang_on_a_log_that_takes_nothing(tmp_path):
    with node(tmp_path, max_concurrent=1) as here:
        task = here.task()
        callers = [here.begin(task)[0], here.ask(task), here.ask(task, Mode.ASYNC)]
        until(lambda: here.runs.waiting == 2)
        here.log.full = True
        with gevent.Timeout(5):
            here.runs.close("the server is stopping", grace_s=0.01)
        joined(callers)
    assert restarted(tmp_path)[0] == {"failed": 2, "pending": 1}
