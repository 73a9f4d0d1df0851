"""Tasks: an endpoint has one owner, whoever asks at the same time."""

from uuid import uuid4

import pytest

from spear.adapters.system import SystemIds
from spear.errors import AlreadyExists, NotFound
from spear.services.tasks import Tasks
from tests.core._node import ORIGIN, WASM, joined, node


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


def register(here, endpoint):
    return here.spawn(
        here.tasks.register, ORIGIN, name="t", endpoint=endpoint, version="1", description="", priority="normal",
        node_uuid="", capabilities=[], metadata={}, config={}, executable=dict(WASM),
    )  # fmt: skip


def test_of_ten_who_claim_one_endpoint_one_gets_it_and_the_others_leave_no_task(here):
    callers = [register(here, "same") for _ in range(10)]
    joined(callers)
    refusals = [caller.exception for caller in callers if not caller.successful()]
    assert [type(refusal) for refusal in refusals] == [AlreadyExists] * 9, refusals
    [owner] = [caller.value[0] for caller in callers if caller.successful()]
    assert here.tasks.at_endpoint("same").task_id == owner
    assert here.recorded() == {"TaskCreated": 1, "EndpointClaimed": 1}


def test_an_endpoint_is_free_as_soon_as_its_task_is_unregistered(here):
    first = register(here, "name").get()[0]
    here.tasks.unregister(ORIGIN, first, "gone")
    second = register(here, "NAME").get()[0]
    assert here.tasks.at_endpoint("name").task_id == second


def test_of_many_who_unregister_a_task_one_does_it(here):
    task_id = register(here, "name").get()[0]
    callers = [here.spawn(here.tasks.unregister, ORIGIN, task_id, "gone") for _ in range(5)]
    joined(callers)
    assert sorted(type(caller.exception).__name__ for caller in callers) == ["NoneType"] + ["NotFound"] * 4
    assert here.recorded()["TaskUnregistered"] == here.recorded()["EndpointReleased"] == 1


def test_an_update_that_races_with_an_unregistration_is_either_before_it_or_refused(here):
    task_id = register(here, "name").get()[0]
    removing = here.spawn(here.tasks.unregister, ORIGIN, task_id, "gone")
    changing = here.spawn(here.tasks.update, ORIGIN, task_id, description="new")
    joined([removing, changing])
    assert here.names(task_id)[-1] == "TaskUnregistered"
    assert changing.successful() or isinstance(changing.exception, NotFound)


def test_what_is_behind_an_endpoint_is_what_was_recorded_last(here):
    task_id = register(here, "name").get()[0]
    assert here.tasks.at_endpoint("name").description == ""
    here.spawn(here.tasks.update, ORIGIN, task_id, description="new").get()
    assert here.tasks.at_endpoint("name").description == "new"
    here.spawn(here.tasks.unregister, ORIGIN, task_id, "gone").get()
    with pytest.raises(NotFound):
        here.tasks.at_endpoint("name")


class Sms:
    """Where tasks are described, by their ids."""

    def __init__(self, **fields):
        self.described = {
            "name": "t", "endpoint": "name", "version": "1", "description": "", "priority": "normal", "node_uuid": "",
            "capabilities": [], "metadata": {}, "config": {}, "executable": dict(WASM),
        } | fields  # fmt: skip

    def task(self, task_id):
        return dict(self.described)


def linked(here, **fields):
    """The tasks of a node whose SMS describes every task so."""
    return Tasks(here.unit, here.reader, ids=SystemIds(), source=Sms(**fields))


def test_a_task_that_was_dropped_here_is_taken_over_again_as_it_is_now(here):
    task_id = str(uuid4())
    linked(here).obtain(ORIGIN, task_id)
    here.tasks.unregister(ORIGIN, task_id, "gone")
    found = linked(here, description="new").obtain(ORIGIN, task_id)
    assert (found.task_id, found.description, found.status) == (task_id, "new", "registered")
    assert here.tasks.at_endpoint("name") == found
    assert here.names(task_id) == ["TaskCreated", "TaskUnregistered", "TaskRegisteredAgain"]


def test_whoever_asks_at_the_same_moment_takes_it_over_once(here):
    task_id, tasks = str(uuid4()), linked(here)
    for _ in range(2):
        callers = [here.spawn(tasks.obtain, ORIGIN, task_id) for _ in range(5)]
        joined(callers)
        assert {caller.value.task_id for caller in callers} == {task_id}
        here.tasks.unregister(ORIGIN, task_id, "gone")
    assert here.names(task_id) == ["TaskCreated", "TaskUnregistered", "TaskRegisteredAgain", "TaskUnregistered"]


def test_a_task_that_is_taken_over_leaves_a_name_to_who_has_it_here(here):
    own = register(here, "name").get()[0]
    task_id = str(uuid4())
    assert linked(here).obtain(ORIGIN, task_id).task_id == task_id
    assert here.tasks.at_endpoint("name").task_id == own
    here.tasks.unregister(ORIGIN, task_id, "gone")
    assert here.tasks.at_endpoint("name").task_id == own
