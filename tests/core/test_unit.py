"""Load, tell, save: what is remembered is what the log says."""

from uuid import uuid4

import gevent
import pytest

from spear.domain.node import Heartbeat
from spear.domain.node import Node as NodeAggregate
from spear.errors import Conflict, NotFound, Unavailable
from spear.services.nodes import Nodes
from spear.services.unit import Unit, retrying
from tests.core._node import ORIGIN, node


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


def registered(unit):
    made = NodeAggregate(id=uuid4(), ip_address="10.0.0.1", port=1, http_port=2, metadata={})
    unit.save(ORIGIN, made)
    return str(made.id)


@pytest.mark.parametrize("remembered", [True, False])
def test_the_id_of_something_else_names_nothing_and_leaves_it_alone(here, remembered):
    task_id = here.task().task_id
    nodes = here.nodes if remembered else Nodes(Unit(here.log), here.reader, ids=None)
    for ask in (
        lambda: nodes.heartbeat(ORIGIN, task_id, {}),
        lambda: nodes.drain(ORIGIN, task_id, "why"),
        lambda: nodes.delete(ORIGIN, task_id, "why"),
    ):
        with pytest.raises(NotFound):
            ask()
    here.tasks.unregister(ORIGIN, task_id, "over")
    assert here.names(task_id) == ["TaskCreated", "TaskUnregistered"]


def test_of_two_who_changed_the_same_thing_one_loses_and_records_nothing(here):
    ident = registered(here.unit)
    first, second = here.unit.get(NodeAggregate, ident), here.unit.get(NodeAggregate, ident)
    first.lose("first")
    second.update(port=9)
    here.unit.save(ORIGIN, first)
    with pytest.raises(Conflict):
        here.unit.save(ORIGIN, second)
    assert here.names(ident) == ["NodeRegistered", "NodeLost"]
    assert here.unit.get(NodeAggregate, ident).port == 1


def test_a_lost_race_is_run_again_and_records_once(here):
    ident = registered(here.unit)

    def lose():
        found = here.unit.get(NodeAggregate, ident)
        found.lose("silent")
        return here.unit.save(ORIGIN, found)

    gevent.joinall([gevent.spawn(retrying, lose) for _ in range(10)], raise_error=True)
    assert here.names(ident) == ["NodeRegistered", "NodeLost"]


def test_a_change_that_could_not_be_saved_is_never_served(here):
    ident = registered(here.unit)
    changed = here.unit.get(NodeAggregate, ident)
    changed.lose("silent")
    here.log.full = True
    with pytest.raises(Unavailable):
        here.unit.save(ORIGIN, changed)
    assert here.unit.get(NodeAggregate, ident).status == "online"


def test_what_could_not_be_saved_can_be_saved_again_without_a_gap(here):
    ident = registered(here.unit)
    changed = here.unit.get(NodeAggregate, ident)
    changed.lose("silent")
    here.log.full = True
    with pytest.raises(Unavailable):
        here.unit.save(ORIGIN, changed)
    here.log.full = False
    changed.update(port=9)
    here.unit.save(ORIGIN, changed)
    assert [fact.version for fact in here.log.stream(ident)] == [1, 2, 3]
    assert Unit(here.log).get(NodeAggregate, ident).port == 9


def test_a_node_deleted_while_it_beats_does_not_come_back_to_life(here):
    nodes = Nodes(here.unit, here.reader, ids=None)
    ident = registered(here.unit)
    deleting = here.spawn(nodes.delete, ORIGIN, ident, "gone")
    beating = here.spawn(nodes.heartbeat, ORIGIN, ident, {})
    gevent.joinall([deleting, beating])
    with pytest.raises(NotFound):
        nodes.heartbeat(ORIGIN, ident, {})


def test_a_thing_that_only_observes_is_remembered_for_others_while_its_commit_waits(here):
    nodes = Nodes(here.unit, here.reader, ids=None)
    ident = registered(here.unit)
    beats = [here.spawn(nodes.heartbeat, ORIGIN, ident, {}) for _ in range(20)]
    gevent.joinall(beats, raise_error=True)
    assert here.recorded()["Heartbeat"] == 20
    assert len(here.unit._cache) == 1


def test_an_older_state_that_only_observed_does_not_replace_a_newer_one(here):
    ident = registered(here.unit)
    older, newer = here.unit.get(NodeAggregate, ident), here.unit.get(NodeAggregate, ident)
    newer.lose("silent")
    here.unit.save(ORIGIN, newer)
    here.unit.save(ORIGIN, older, more=[older.observe(Heartbeat, health_info={})])
    assert here.unit.get(NodeAggregate, ident).status == "offline"
