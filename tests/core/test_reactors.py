"""Reactors: what follows from what happened, exactly once, and whatever is damaged or gone meanwhile."""

import io
from pathlib import Path

import gevent
import pytest

from spear.adapters.storage.blobs import FileBlobStore, MemoryBlobStore
from spear.adapters.system import SystemIds
from spear.adapters.threads import InlineThreads
from spear.domain.instance import Instance
from spear.domain.object import Object
from spear.errors import Refused, Unavailable
from spear.projections import nodes as node_views
from spear.projections.objects import unused_blobs
from spear.reactors.janitor import Collector
from spear.reactors.reporter import Description, OwnLog, Reporter
from spear.reactors.watchdog import Watchdog, stop_what_died
from spear.roles.loops import loops
from spear.services.calls import Call, Mode
from spear.services.content import INLINE_BYTES, Contents
from spear.services.nodes import Nodes, OwnNode
from spear.services.objects import Objects
from tests.core._node import DONE, ORIGIN, node, until

LARGE = b"x" * (INLINE_BYTES + 1)
S = 1_000_000
OFFERS = {"runtimes": "wasm", "slots": "4"}


@pytest.fixture
def here(tmp_path):
    with node(tmp_path) as opened:
        yield opened


@pytest.fixture
def nodes(here):
    return Nodes(here.unit, here.reader, ids=SystemIds())


def leave_pending(folder, count, **call):
    """What a process leaves that was stopped before it could begin; its blobs and the ids, oldest first."""
    blobs = MemoryBlobStore()
    with node(folder, blobs=blobs, max_concurrent=1, queue_limit=count) as here:
        task = here.task()
        here.begin(task)
        left = [here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC, **call))[0] for _ in range(count)]
    return blobs, task, left


def test_what_was_left_pending_is_begun_once_each_in_order_as_there_is_room_and_with_new_work_between(tmp_path):
    _, task, left = leave_pending(tmp_path, 20)
    with node(tmp_path, max_concurrent=2, queue_limit=3) as here:
        here.dispatcher.end_lost("the process ended")
        begun = []
        new = here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC))[0]
        while len(begun) < 21:
            gevent.joinall([here.spawn(here.dispatcher.dispatch) for _ in range(3)], raise_error=True)
            until(lambda: here.guests.running)
            for ident in list(here.guests.running):
                begun.append(ident)
                here.guests.running.pop(ident).end()
            until(lambda: len(begun) == here.recorded()["ExecutionCompleted"])
        assert [ident for ident in begun if ident != new] == left
        assert here.recorded()["ExecutionStarted"] == 22
        for ident in left:
            requested, *later = here.log.stream(ident)
            assert [fact.cause for fact in later] == [requested.position] * 2


def damage(place):
    place.write_bytes(b"other")


def remove(place):
    place.unlink()


@pytest.mark.parametrize("harm", [remove, damage])
def test_a_pending_execution_whose_input_is_gone_or_damaged_ends_and_the_others_go_on(tmp_path, harm):
    blobs, task, [bad] = leave_pending(tmp_path, 1, input=LARGE)
    files = FileBlobStore(tmp_path / "files", InlineThreads())
    for sha256 in list(blobs.list()):
        files.put(io.BytesIO(LARGE), limit=len(LARGE))
        harm(tmp_path / "files" / sha256[:2] / sha256)
    with node(tmp_path, blobs=files) as here:
        here.guests.at_once = True
        good = here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC))[0]
        here.dispatcher.dispatch()
        row = here.executions.get(bad)
        assert (row.status, row.reason) == ("failed", "lost")
        assert here.executions.wait(good, timeout_s=10).status == "completed"


def test_a_pending_execution_whose_task_was_unregistered_ends_as_failed(tmp_path):
    _, task, [left] = leave_pending(tmp_path, 1)
    with node(tmp_path) as here:
        here.tasks.unregister(ORIGIN, task.task_id, "gone")
        for _ in range(2):
            here.dispatcher.dispatch()
        assert here.executions.get(left).status == "failed"
        assert here.recorded()["ExecutionFailed"] == 1


def test_a_row_that_went_on_since_it_was_read_is_not_begun_again(here):
    _, ident, guest = here.begin(here.task(), Mode.ASYNC)
    row = here.executions.get(ident)
    row.status = "pending"
    guest.end()
    until(here.at_rest)
    assert here.executions.resume(row, ORIGIN) is True
    assert here.runs.running == 0


def test_accepted_work_whose_start_cannot_be_recorded_is_begun_when_there_is_room(here):
    task = here.task()
    here.instances.release(here.instances.acquire(ORIGIN, task))
    ident, _ = here.executions.request(ORIGIN, task, Call(mode=Mode.ASYNC))
    here.log.full = True
    until(here.at_rest)
    here.log.full, here.guests.at_once = False, True
    here.dispatcher.end_lost()
    here.dispatcher.dispatch()
    assert here.executions.wait(ident, timeout_s=10).status == "completed"


def test_what_runs_or_waits_here_is_never_ended_as_lost(here):
    caller, ident, guest = here.begin(here.task())
    for _ in range(3):
        here.dispatcher.end_lost()
    guest.end()
    caller.join(10)
    assert caller.value == (ident, DONE)


def test_thousands_of_leftovers_are_ended_once_each(tmp_path):
    with node(tmp_path, max_concurrent=3000, max_concurrent_per_task=3000, queue_limit=0) as here:
        task = here.task()
        asked = [here.ask(task) for _ in range(1200)]
        until(lambda: len(here.guests.running) == len(asked), within_s=30)
        here.log.full = True
    with node(tmp_path) as here:
        here.dispatcher.end_lost("the process ended")
        here.dispatcher.end_lost("the process ended")
        stop_what_died(here.reader, here.instances, here.runs.node)
        assert here.counts() == {"failed": 1200}
        assert here.recorded()["ExecutionFailed"] == 1200
        requested = {f.originator_id: f.position for f in here.since("ExecutionRequested") if not f.cause}
        failed, instance = (here.since(name) for name in ("ExecutionFailed", "InstanceStarted"))
        assert all(f.cause == requested[f.originator_id] for f in failed if f.name == "ExecutionFailed")
        assert next(f.cause for f in failed if f.name == "InstanceStopped") == instance[0].position


def test_an_instance_that_cannot_be_stopped_does_not_hold_up_a_start_for_ever(here):
    here.unit.save(ORIGIN, *[
        Instance(id=SystemIds().new(), task_id="0" * 32, node_uuid=here.runs.node.uuid, runtime="wasm", sha256="")
        for _ in range(3)
    ])  # fmt: skip
    here.instances.record_stop = lambda *_: None
    with gevent.Timeout(5):
        stop_what_died(here.reader, here.instances, here.runs.node)


def register(nodes, count=1):
    return [nodes.register(ORIGIN, ip_address="10.0.0.1", port=n, http_port=0, metadata={})[0] for n in range(count)]


def watch(here, nodes):
    return Watchdog(here.reader, nodes, clock=here.clock, heartbeat_timeout_s=90, node_removal_after_s=300)


def test_silent_nodes_go_offline_a_bounded_number_in_one_beat(here, nodes):
    register(nodes, 250)
    watchdog = watch(here, nodes)
    here.clock.time_us += 1000 * S
    lost = []
    for _ in range(4):
        watchdog.watch()
        lost.append(here.recorded()["NodeLost"])
    assert lost == [100, 200, 250, 250]


class Meddling(Nodes):
    """A fleet where somebody else is quicker than the watchdog."""

    meddle = staticmethod(lambda uuid: None)

    def lose(self, origin, uuid, reason):
        self.meddle(uuid)
        super().lose(origin, uuid, reason)

    def remove_lost(self, origin, uuid, reason):
        self.meddle(uuid)
        super().remove_lost(origin, uuid, reason)


@pytest.fixture
def meddling(here):
    return Meddling(here.unit, here.reader, ids=SystemIds())


def test_a_node_deleted_before_it_can_be_marked_does_not_stop_the_watch(here, meddling):
    register(meddling, 3)
    watchdog = watch(here, meddling)
    here.clock.time_us += 1000 * S
    meddling.meddle = lambda uuid: Nodes.delete(meddling, ORIGIN, uuid, "gone")
    watchdog.watch()
    assert here.recorded()["NodeDeleted"] == 3


def test_a_node_that_beats_while_others_are_marked_is_not_lost(here, meddling):
    register(meddling, 3)
    watchdog = watch(here, meddling)
    here.clock.time_us += 1000 * S
    uuids = [row.uuid for row in node_views.list_nodes(here.reader).rows]
    meddling.meddle = lambda uuid: [meddling.heartbeat(ORIGIN, other, {}) for other in uuids if other != uuid]
    watchdog.watch()
    assert here.recorded()["NodeLost"] == 1


def test_a_node_that_comes_back_while_it_is_cleaned_up_stays(here, meddling):
    register(meddling)
    watchdog = watch(here, meddling)
    here.clock.time_us += 1000 * S
    watchdog.watch()
    meddling.meddle = lambda uuid: meddling.heartbeat(ORIGIN, uuid, {})
    watchdog.clean_up()
    assert here.recorded()["NodeDeleted"] == 0
    assert node_views.list_nodes(here.reader).rows[0].status == "online"


def test_nodes_have_the_whole_timeout_to_beat_after_an_outage_of_the_server(here, nodes):
    register(nodes, 2)
    here.clock.time_us += 1000 * S
    watchdog = watch(here, nodes)
    watchdog.watch()
    here.clock.time_us += 89 * S
    watchdog.watch()
    assert here.recorded()["NodeLost"] == 0
    here.clock.time_us += 1 * S
    watchdog.watch()
    assert here.recorded()["NodeLost"] == 2


def reporter(nodes, identity, own, **more):
    described = Description("127.0.0.1", port=1, http_port=2, name="n", offers=OFFERS)
    own_log = OwnLog(nodes, own, identity=identity, offers=OFFERS)
    return Reporter(own_log, node=own, described=described, measure=dict, **more)


def test_a_node_deleted_by_an_operator_registers_again_and_everybody_here_uses_its_new_name(here, nodes, tmp_path):
    own = here.runs.node
    reporting = reporter(nodes, tmp_path / "uuid", own)
    reporting.report()
    first = own.uuid
    nodes.delete(ORIGIN, first, "by an operator")
    reporting.report()
    assert own.uuid != first
    assert (tmp_path / "uuid").read_text() == own.uuid
    here.guests.at_once = True
    ident, _ = here.executions.request(ORIGIN, here.task(), Call())
    assert here.executions.get(ident).node_uuid == own.uuid
    assert [row.uuid for row in node_views.list_nodes(here.reader).rows] == [own.uuid]


def test_a_node_says_what_it_offers_and_keeps_what_an_operator_said_of_it(here, nodes, tmp_path):
    own = OwnNode("")
    reporter(nodes, tmp_path / "uuid", own).report()
    assert nodes.get(own.uuid).metadata == {"name": "n", **OFFERS}
    nodes.update(ORIGIN, own.uuid, metadata={"zone": "a", "slots": "1"})
    reporting = reporter(nodes, tmp_path / "uuid", OwnNode(""))
    for _ in range(2):
        reporting.report()
    assert nodes.get(own.uuid).metadata == {"zone": "a", **OFFERS}
    assert here.recorded()["NodeUpdated"] == 2


def test_a_node_is_introduced_once_for_each_registration_and_again_when_that_failed(nodes, tmp_path):
    own, heard, failures = OwnNode(""), [], [Unavailable("not now")]

    def introduce(uuid):
        heard.append(uuid)
        if failures:
            raise failures.pop()

    reporting = reporter(nodes, tmp_path / "uuid", own, introduce=introduce)
    for _ in range(3):
        reporting.report()
    assert heard == [own.uuid] * 2
    nodes.delete(ORIGIN, own.uuid, "by an operator")
    reporting.report()
    assert heard[2:] == [own.uuid]


@pytest.mark.parametrize("content", [b"", b"no uuid", b"\xff\xfe"])
def test_an_identity_that_cannot_be_read_is_replaced(nodes, tmp_path, content):
    (tmp_path / "uuid").write_bytes(content)
    own = OwnNode("")
    reporter(nodes, tmp_path / "uuid", own).report()
    assert nodes.get(own.uuid).status == "online"


def test_an_identity_that_cannot_be_written_is_unavailable_and_beats_go_on(nodes, tmp_path):
    own = OwnNode("")
    reporting = reporter(nodes, tmp_path / "missing" / "uuid", own)
    with pytest.raises(Unavailable, match="cannot write the node's uuid"):
        reporting.report()
    reporting.report()
    assert nodes.get(own.uuid).status == "online"


@pytest.fixture(params=["file", "memory"])
def blobs(request, tmp_path):
    return FileBlobStore(tmp_path / "files", InlineThreads()) if request.param == "file" else MemoryBlobStore()


def test_held_content_cannot_be_deleted_until_everybody_released_it(blobs):
    [sha256] = {blobs.put(io.BytesIO(LARGE), limit=9999, hold=True).sha256 for _ in range(2)}
    for _ in range(2):
        with pytest.raises(Refused):
            blobs.delete(sha256)
        blobs.release(sha256)
    assert blobs.delete(sha256) is True
    assert blobs.delete(sha256) is False


def collector(here, blobs, folder):
    return Collector(here.reader, blobs, clock=here.clock, bookmark=folder / "collected", retention_s=0)


@pytest.fixture
def objects(here, blobs):
    return Objects(here.unit, here.reader, Contents(blobs), max_object_size=9999)


def test_content_that_is_put_again_while_it_is_collected_stays(here, objects, blobs, tmp_path):
    put = {"content_type": "text/plain"}
    objects.put(ORIGIN, "a", io.BytesIO(LARGE), **put)
    objects.delete(ORIGIN, "a")
    here.clock.time_us += S
    collecting = collector(here, blobs, tmp_path)

    class Late(type(here.unit)):
        def save(self, origin, *aggregates, **more):
            collecting.collect()
            return super().save(origin, *aggregates, **more)

    late = Objects(Late(here.log), here.reader, Contents(blobs), max_object_size=9999)
    late.put(ORIGIN, "b", io.BytesIO(LARGE), **put)
    collecting.collect()
    assert len(list(blobs.list())) == 1
    late.delete(ORIGIN, "b")
    here.clock.time_us += S
    collecting.collect()
    assert list(blobs.list()) == []


def test_content_whose_naming_failed_while_it_was_due_is_collected_the_next_time(here, objects, blobs, tmp_path):
    objects.put(ORIGIN, "a", io.BytesIO(LARGE), content_type="")
    objects.delete(ORIGIN, "a")
    here.clock.time_us += S
    collecting = collector(here, blobs, tmp_path)
    with Contents(blobs).keep_bytes(LARGE):
        collecting.collect()
        assert len(list(blobs.list())) == 1
    collecting.collect()
    assert list(blobs.list()) == []


def test_content_that_became_unused_at_the_same_time_is_not_skipped_at_the_end_of_a_page(
    here, objects, blobs, tmp_path
):
    names = [f"n/{number}" for number in range(150)]
    for number, name in enumerate(names):
        objects.put(ORIGIN, name, io.BytesIO(LARGE + str(number).encode()), content_type="")
    loaded = [here.unit.blank_or_loaded(Object, Object.ident("n", name[2:])) for name in names]
    for each in loaded:
        each.delete("together")
    here.unit.save(ORIGIN, *loaded)
    rows = unused_blobs(here.reader, after=(0, ""), until_us=2**62, limit=1000)
    assert len({row.unused_since_us for row in rows}) == 1
    here.clock.time_us += S
    collector(here, blobs, tmp_path).collect()
    assert list(blobs.list()) == []


def test_a_bookmark_of_an_earlier_version_or_a_damaged_one_is_understood(here, objects, blobs, tmp_path):
    objects.put(ORIGIN, "a", io.BytesIO(LARGE), content_type="")
    objects.delete(ORIGIN, "a")
    here.clock.time_us += S
    for text in ("12", "not a bookmark"):
        (tmp_path / "collected").write_text(text)
        collector(here, blobs, tmp_path).collect()
    assert list(blobs.list()) == []


def test_a_bookmark_that_cannot_be_written_is_unavailable(here, objects, blobs, tmp_path):
    objects.put(ORIGIN, "a", io.BytesIO(LARGE), content_type="")
    objects.delete(ORIGIN, "a")
    here.clock.time_us += S
    with pytest.raises(Unavailable, match="cannot write the bookmark"):
        collector(here, blobs, Path(tmp_path / "missing")).collect()


def test_a_loop_goes_on_after_a_log_that_takes_nothing():
    beats = []

    def step():
        beats.append(1)
        raise Unavailable("the disk is full")

    died = []
    with loops(died.append) as running:
        running.every(0, step, at_once=True)
        until(lambda: len(beats) > 3)
    assert died == []


def test_a_loop_with_a_bug_is_told_once_with_its_error(capfd):
    died = []
    with loops(died.append) as running:
        running.every(0, lambda: 1 // 0, at_once=True)
        until(lambda: died)
    assert len(died) == 1
    assert "ZeroDivisionError" in died[0]


def test_closing_loops_does_not_wait_for_ever_for_one_that_does_not_end(monkeypatch):
    def stubborn():
        try:
            gevent.sleep(60)
        except gevent.GreenletExit:
            gevent.sleep(60)

    monkeypatch.setattr("spear.roles.loops.LAST_STEPS_S", 0.01)
    with gevent.Timeout(5), loops(lambda reason: None) as running:
        running.spawn(stubborn)
        gevent.sleep(0)
