"""Nodes: what several say of one node at the same time adds up."""

import gevent
import pytest

from spear.adapters.system import SystemIds
from spear.errors import NotFound
from spear.services.nodes import Nodes
from tests.core._node import ORIGIN, node


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


@pytest.fixture
def nodes(here):
    return Nodes(here.unit, here.reader, ids=SystemIds())


@pytest.fixture
def uuid(nodes):
    return nodes.register(ORIGIN, ip_address="10.0.0.1", port=1, http_port=2, metadata={})[0]


def test_beats_at_the_same_time_are_all_recorded_and_bring_a_lost_node_back_once(here, nodes, uuid):
    nodes.lose(ORIGIN, uuid, "silent")
    gevent.joinall([here.spawn(nodes.heartbeat, ORIGIN, uuid, {}) for _ in range(10)], raise_error=True)
    assert (here.recorded()["Heartbeat"], here.recorded()["NodeRecovered"]) == (10, 1)
    assert nodes.get(uuid).status == "online"


def test_of_ten_who_register_one_uuid_at_the_same_time_one_is_the_first(here, nodes):
    mine = str(SystemIds().new())
    node = {"uuid": mine, "ip_address": "10.0.0.1", "port": 1, "http_port": 2, "metadata": {}}
    gevent.joinall([here.spawn(nodes.register, ORIGIN, **node) for _ in range(10)], raise_error=True)
    assert here.recorded() == {"NodeRegistered": 1, "Heartbeat": 9}


def test_a_node_that_was_deleted_may_register_again(here, nodes, uuid):
    nodes.delete(ORIGIN, uuid, "over")
    assert nodes.register(ORIGIN, uuid=uuid, ip_address="10.0.0.2", port=1, http_port=2, metadata={})[0] == uuid
    assert here.names(uuid) == ["NodeRegistered", "NodeDeleted", "NodeRegisteredAgain"]
    assert (nodes.get(uuid).status, nodes.get(uuid).ip_address) == ("online", "10.0.0.2")


def test_a_lost_node_that_came_back_is_not_removed(here, nodes, uuid):
    nodes.lose(ORIGIN, uuid, "silent")
    nodes.heartbeat(ORIGIN, uuid, {})
    nodes.remove_lost(ORIGIN, uuid, "cleanup")
    assert here.names(uuid) == ["NodeRegistered", "NodeLost", "NodeRecovered"]


def test_a_beat_and_a_removal_at_the_same_time_agree_on_who_was_first(here, nodes, uuid):
    nodes.lose(ORIGIN, uuid, "silent")
    removing = here.spawn(nodes.remove_lost, ORIGIN, uuid, "cleanup")
    beating = here.spawn(nodes.heartbeat, ORIGIN, uuid, {})
    gevent.joinall([removing, beating], timeout=10)
    assert removing.successful()
    assert isinstance(beating.exception, NotFound)
    assert here.names(uuid) == ["NodeRegistered", "NodeLost", "NodeDeleted"]
    _, lost, deleted = here.log.stream(uuid)
    assert deleted.cause == lost.position
    assert here.recorded()["Heartbeat"] == 0


def test_a_deleted_node_takes_nothing_more(nodes, uuid):
    nodes.delete(ORIGIN, uuid, "gone")
    nodes.remove_lost(ORIGIN, uuid, "cleanup")
    for ask in (nodes.lose, nodes.delete, nodes.heartbeat):
        with pytest.raises(NotFound):
            ask(ORIGIN, uuid, {})
