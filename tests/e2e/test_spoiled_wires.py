"""The wires to an SMS are cut, stalled and torn: what a node reports and what a standby copies arrives, each once."""

from collections.abc import Iterator

import pytest

from tests.chaos._wires import Wire
from tests.e2e.test_node_link import spearlet
from tests.e2e.test_reports import ended, executions, facts, lines, told
from tests.e2e.test_standby import level, log_of, ready, standby_of
from tests.server import Server, eventually

CALLS = 8


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("spoiled") / "sms", role="sms") as found:
        yield found


@pytest.fixture(scope="module")
def link(sms: Server) -> Iterator[Wire]:
    with Wire(sms.grpc_port) as wire:
        yield wire


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, sms: Server, link: Wire) -> Iterator[Server]:
    """A SPEARlet whose calls to the SMS go over the wire, and its files beside it."""
    folder = tmp_path_factory.mktemp("node")
    found = spearlet(folder, sms, "--auto-register", "--sms-addr", f"127.0.0.1:{link.port}")
    config = folder / "spearlet.toml"
    config.write_text(config.read_text() + f'sms_http_addr = "127.0.0.1:{sms.port}"\n')
    with found:
        yield found


@pytest.fixture(scope="module")
def bus(sms: Server) -> Iterator[Wire]:
    with Wire(sms.bus_port) as wire:
        yield wire


@pytest.fixture(scope="module")
def standby(tmp_path_factory: pytest.TempPathFactory, sms: Server, bus: Wire) -> Iterator[Server]:
    with standby_of(tmp_path_factory.mktemp("follower"), bus.port) as found:
        yield found


@pytest.mark.parametrize(("deed", "left"), [("cut", 0), ("stall", 0), ("tear", 30), ("tear", 300)])
def test_a_node_goes_on_while_its_link_is_spoiled_and_the_sms_hears_of_each_run_once_and_in_order(
    sms: Server, node: Server, link: Wire, deed: str, left: int
) -> None:
    task = sms.register("log")
    node.run(task)
    ended(sms, 1, task)
    said = len(node.output())
    link.become(deed, left=left)
    assert [node.run(task).json()["status"] for _ in range(CALLS)] == ["completed"] * CALLS
    if deed == "tear":
        eventually(lambda: link.well)
    else:
        eventually(lambda: "Execution" in node.output()[said:], within_s=20)  # a report that got no answer
        assert len(executions(sms, task)) == 1
        link.become("")
    shown, ran = ended(sms, 1 + CALLS, task), executions(node, task)
    assert told(shown) == told(ran) and len(ran) == 1 + CALLS
    for name in ("ExecutionStartReported", "ExecutionEndReported"):
        assert facts(sms, name, ran) == [one["execution_id"] for one in ran]
    for one in ran:
        assert lines(sms, one["execution_id"]) == lines(node, one["execution_id"])


def write(sms: Server, count: int) -> None:
    """Events of some size, so that what is to be copied is longer than where it tears."""
    for number in range(count):
        node = {"ip_address": "127.0.0.1", "port": 1 + number, "metadata": {"name": "n" * 500}}
        assert sms.post("/api/v1/nodes", json=node).ok


@pytest.mark.parametrize(("deed", "left"), [("cut", 0), ("stall", 0), *(("tear", n) for n in (1, 64, 4000))])
def test_a_standby_whose_wire_is_spoiled_ends_with_exactly_the_log_of_the_sms(
    sms: Server, standby: Server, bus: Wire, deed: str, left: int
) -> None:
    write(sms, 2)
    before = level(sms, standby)
    bus.become("stall" if deed == "stall" else "cut")
    write(sms, 20)
    assert ready(standby)["head"] == before < ready(sms)["head"]
    bus.become(deed if deed == "tear" else "", left=left)
    write(sms, 5)
    head = level(sms, standby)
    assert bus.well
    assert log_of(standby, until=head) == log_of(sms, until=head)  # nodes beat meanwhile
    assert [fact.position for fact in log_of(standby, until=head)[1]] == list(range(1, head + 1))
