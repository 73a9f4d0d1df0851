"""Instances: one cold start for many callers, and no sandbox that nobody closes."""

import pytest
from gevent.event import Event

from spear.errors import InvalidConfiguration, NotFound, Unavailable
from spear.projections.instances import live_instances
from spear.reactors import janitor
from spear.reactors.watchdog import stop_what_died
from tests.core._node import ORIGIN, joined, node, until


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


def acquire(here, task, count=1):
    return [here.spawn(here.instances.acquire, ORIGIN, task) for _ in range(count)]


def test_ten_callers_of_a_cold_task_share_one_start(here):
    task, here.guests.gate = here.task(), Event()
    callers = acquire(here, task, 10)
    until(here.guests.preparing.is_set)
    here.guests.gate.set()
    joined(callers, raise_error=True)
    leases = [caller.value for caller in callers]
    assert here.guests.prepared == 1
    assert here.recorded()["InstanceStarted"] == 1
    assert sorted(lease.start for lease in leases) == ["cold"] + ["warm"] * 9
    assert leases[0].live.users == 10


def test_a_start_that_fails_wakes_everybody_with_a_failure_of_their_own(here):
    task, here.guests.gate = here.task(), Event()
    here.guests.cannot_prepare = InvalidConfiguration("not a module")
    callers = acquire(here, task, 10)
    until(here.guests.preparing.is_set)
    here.guests.gate.set()
    joined(callers)
    assert [type(caller.exception) for caller in callers] == [InvalidConfiguration] * 10
    assert here.recorded()["InstanceStarted"] == 0


def test_a_task_unregistered_during_its_cold_start_leaves_no_sandbox(here):
    task, here.guests.gate = here.task(), Event()
    [caller] = acquire(here, task)
    until(here.guests.preparing.is_set)
    here.tasks.unregister(ORIGIN, task.task_id, "gone")
    here.guests.gate.set()
    caller.join(10)
    assert isinstance(caller.exception, NotFound)
    assert (here.guests.open, here.recorded()["InstanceStarted"]) == (0, 0)


def test_a_start_that_cannot_be_recorded_leaves_no_sandbox(here):
    task, here.log.full = here.task(), True
    with pytest.raises(Unavailable):
        here.instances.acquire(ORIGIN, task)
    assert here.guests.open == 0
    here.log.full = False
    assert here.instances.acquire(ORIGIN, task).start == "cold"


def test_a_stop_that_cannot_be_recorded_leaves_the_instance_in_use(here):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    here.log.full = True
    with pytest.raises(Unavailable):
        here.instances.stop(ORIGIN, task.task_id, "enough")
    here.log.full = False
    assert here.instances.acquire(ORIGIN, task).start == "warm"
    assert here.recorded()["InstanceStarted"] == 1


def test_an_instance_made_while_the_last_one_is_stopped_keeps_its_task_active(here):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    for _ in range(10):
        stopping = here.spawn(here.instances.stop, ORIGIN, task.task_id, "enough")
        [caller] = acquire(here, task)
        joined([stopping, caller], raise_error=True)
        here.instances.release(caller.value)
    assert here.tasks.get(task.task_id).status == "active"
    assert len(live_instances(here.reader, node_uuid=here.runs.node.uuid).rows) == here.guests.open == 1


def test_a_stop_during_a_cold_start_stops_what_was_started(here):
    task, here.guests.gate = here.task(), Event()
    [caller] = acquire(here, task)
    until(here.guests.preparing.is_set)
    stopping = here.spawn(here.instances.stop, ORIGIN, task.task_id, "enough")
    here.guests.gate.set()
    joined([caller, stopping], raise_error=True)
    assert stopping.value is True
    assert here.guests.open == 1
    here.instances.release(caller.value)
    assert here.guests.open == 0


def test_only_instances_without_runs_are_idle(here):
    busy, idle = here.task(), here.task()
    here.instances.acquire(ORIGIN, busy)
    here.instances.release(here.instances.acquire(ORIGIN, idle))
    here.clock.time_us += 61_000_000
    janitor.stop_idle(here.instances, clock=here.clock, idle_s=60)
    assert [row.task_id for row in live_instances(here.reader, node_uuid=here.runs.node.uuid).rows] == [busy.task_id]


def test_at_a_stop_what_cannot_be_recorded_is_told_and_the_next_process_records_it_once(tmp_path):
    with node(tmp_path) as here:
        tasks = [here.task() for _ in range(3)]
        for task in tasks:
            here.instances.release(here.instances.acquire(ORIGIN, task))
        here.log.full = True
        assert len(here.instances.stop_all(ORIGIN, "the server is stopping")) == 3
    with node(tmp_path) as here:
        for _ in range(2):
            stop_what_died(here.reader, here.instances, here.runs.node)
        assert here.recorded()["InstanceStopped"] == here.recorded()["TaskDeactivated"] == 3
