"""What a node tells an SMS that is away, refuses, forgets and comes back."""

import json
from contextlib import contextmanager
from uuid import uuid4

import gevent
import pytest

from spear.adapters.storage.logs import FileLogStore
from spear.adapters.threads import InlineThreads
from spear.domain.execution import Execution, ExecutionReport, ExecutionStatus
from spear.domain.object import Object
from spear.errors import Forbidden, Overloaded, Refused, TooLarge, Unavailable
from spear.events._bell import ThreadBell
from spear.ports import Level, LogLine, Stream
from spear.projections.executions import get_execution
from spear.reactors.lines import MOST_LIVE, LineSender
from spear.reactors.reports import Bookmark, ReportSender
from spear.reports import NOT_ITS_OWN, LogMark
from spear.services.calls import Call
from tests.core._node import ORIGIN, joined, node, until
from tests.core.test_forwards import FULL, Elsewhere
from tests.crash._support import SteadyClock


class Sms:
    """An SMS that does what the test says, and remembers what it was told."""

    def __init__(self):
        self.told, self.lines, self.finished, self.error, self.refused = [], {}, [], None, set()
        self.refusal = Refused("never")
        self.most, self.turned_away, self.knows_results = 10**6, 0, False

    def _take(self, *said):
        def answer():
            if self.error:
                raise self.error
            if said[1] in self.refused:
                raise self.refusal
            self.told.append(said)
            return said[0] == "execution" and self.knows_results

        return answer

    def report_instance(self, instance_id, task_id, seen, *, runtime, sha256):
        return self._take("instance", instance_id, seen.status.value)

    def report_execution(self, execution_id, task_id, seen, *, mode):
        return self._take("execution", execution_id, seen.status.value)

    def report_object(self, object_id, seen, *, node_uuid, updated_at_us):
        return self._take("object", object_id, seen and (seen.bucket, seen.key, seen.version, seen.size))

    def report_status(self, task_id, status, *, node_uuid, updated_at_us, reason):
        return self._take("task", task_id, status.value)

    def report_result(self, task_id, uri, *, status, completed_at_us, metadata):
        return self._take("result", metadata["execution_id"], status)

    def append_lines(self, execution_id, lines):
        if self.error:
            self.turned_away += 1
            raise self.error
        known = self.lines.setdefault(execution_id, [])
        if len(known) + len(lines) > self.most:
            raise TooLarge("logs truncated")
        if lines[0].seq > len(known) + 1:
            raise Refused(f"out_of_order: expected_seq={len(known) + 1} got_seq={lines[0].seq}")
        known += lines[len(known) + 1 - lines[0].seq :]
        return LogMark(len(known) + 1, len(lines), False, False)

    def finish_lines(self, execution_id):
        self.finished.append(execution_id)

    def of(self, kind):
        """What was told of one kind."""
        return [said[1:] for said in self.told if said[0] == kind]


@pytest.fixture
def sms():
    return Sms()


@contextmanager
def telling(here, sms, folder, *, address="sms:1"):
    """A node that reports, and the file of its bookmark."""
    path = folder / "cursor.json"
    store = FileLogStore(folder / "logs", clock=here.clock, bell=here.runs._bell)
    sender = ReportSender(
        here.log, here.reader, sms, node=here.runs.node, bookmark=Bookmark(path, sms=address, threads=InlineThreads()),
        lines=LineSender(store, sms, bell=here.runs._bell, spawn=here.spawn), bell=here.runs._bell,
    )  # fmt: skip
    following = gevent.spawn(sender.follow)
    try:
        yield following, path
    finally:
        following.kill()


def ran(here, task, count):
    """Executions that ended, by id."""
    here.guests.at_once = True
    return [here.executions.request(ORIGIN, task, Call())[0] for _ in range(count)]


def test_everything_is_told_in_the_order_of_the_log(tmp_path, sms):
    with node(tmp_path) as here, telling(here, sms, tmp_path):
        task = here.task()
        idents = ran(here, task, 5)
        until(lambda: len(sms.of("result")) == 5)
        assert list(dict.fromkeys(ident for ident, _ in sms.of("execution"))) == idents
        assert [ident for ident, status in sms.of("execution") if status == "completed"] == idents
        assert sms.of("task") == [(task.task_id, "active")]
        here.instances.stop(ORIGIN, task.task_id, "idle")
        until(lambda: len(sms.of("task")) == 2)
        assert [status for _, status in sms.of("instance")] == ["idle", "terminated"]


def test_of_an_object_the_last_of_a_page_is_told_and_of_a_result_nothing(tmp_path, sms):
    with node(tmp_path) as here:
        kept, gone = (Object.ident("b", key) for key in ("kept", "gone"))
        for key, sizes in (("kept", (1, 2)), ("gone", (3,))):
            item = Object.blank(Object.ident("b", key))
            for size in sizes:
                item.put("b", key, sha256="0" * 64, size=size)
            if key == "gone":
                item.delete("old")
            here.log.commit(item.collect_events(), ORIGIN)
        with telling(here, sms, tmp_path):
            ran(here, here.task(), 1)
            until(lambda: sms.of("result"))
            assert sms.of("object") == [(str(kept), ("b", "kept", 2, 2)), (str(gone), None)]


def test_that_a_result_is_gone_is_told_when_the_sms_knows_the_end_of_its_execution(tmp_path, sms):
    begun = []

    def report_object(object_id, seen, **_):
        begun.append((object_id, seen, sms.of("execution")))
        return lambda: True

    sms.report_object = report_object
    with node(tmp_path) as here:
        task = here.task()
        (ident,) = ran(here, task, 1)
        result = here.unit.blank_or_loaded(Object, Object.ident("results", f"{task.task_id}/{ident}"))
        result.delete("enough")
        here.unit.save(ORIGIN, result)
        with telling(here, sms, tmp_path):
            until(lambda: begun)
        assert begun == [(str(result.id), None, [(ident, "completed")])]


def test_a_result_that_the_sms_knows_by_the_end_is_not_told_as_well(tmp_path, sms):
    sms.knows_results = True
    with node(tmp_path) as here, telling(here, sms, tmp_path) as (_, path):
        (ident,) = ran(here, here.task(), 1)
        (end,) = here.log.since(0, topics=[Execution.ExecutionCompleted.TOPIC])
        until(lambda: path.exists() and json.loads(path.read_text())["position"] >= end.position)
        assert (ident, "completed") in sms.of("execution")
        assert sms.of("result") == []


def test_an_instance_is_told_before_what_runs_on_it(tmp_path, sms):
    with node(tmp_path) as here, telling(here, sms, tmp_path):
        caller, ident, guest = here.begin(here.task())
        until(lambda: (ident, "running") in sms.of("execution"))
        assert [said[0] for said in sms.told if said[0] != "task"] == ["instance", "execution"]
        guest.end()
        joined([caller])


def test_an_execution_that_ends_at_once_is_told_once(tmp_path, sms):
    with node(tmp_path) as here, telling(here, sms, tmp_path):
        caller, ident, guest = here.begin(here.task())
        guest.end()
        joined([caller])
        until(lambda: sms.of("result"))
        assert sms.of("execution") == [(ident, "completed")]


@pytest.mark.parametrize("error", [Unavailable("away"), Overloaded("busy"), Forbidden("the wrong role")])
def test_what_could_not_be_told_is_told_from_the_bookmark_on(tmp_path, sms, error):
    with node(tmp_path) as here:
        task = here.task()
        with telling(here, sms, tmp_path) as (following, path):
            before = ran(here, task, 2)
            until(lambda: path.exists() and len(sms.of("result")) == 2)
            sms.error = error
            after = ran(here, task, 3)
            with pytest.raises(type(error)):
                following.get(timeout=5)
        sms.error = None
        sms.told.clear()
        with telling(here, sms, tmp_path):
            until(lambda: len(sms.of("result")) == 3)
        assert [ident for ident, _ in sms.of("result")] == after
        assert not set(before) & {said[1] for said in sms.told}


@pytest.mark.parametrize("refusal", [Refused("never"), Forbidden("of another node", code=NOT_ITS_OWN)])
def test_what_the_sms_will_never_take_holds_up_nothing(tmp_path, sms, caplog, refusal):
    sms.refusal = refusal
    with node(tmp_path) as here:
        task = here.task()
        idents = ran(here, task, 3)
        sms.refused = {idents[1]}
        with telling(here, sms, tmp_path) as (_, path):
            until(path.exists)
        assert [ident for ident, _ in sms.of("execution")] == [idents[0], idents[2]]
        assert "the SMS refuses the report of event" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"sms": "sms:2", "position": 3}', '{"sms": "sms:1", "position": 99999}',
                '{"sms": "sms:1", "position": -4}', '{"sms": "sms:1", "position": null}'],
)  # fmt: skip
def test_a_bookmark_that_is_none_or_another_sms_means_from_the_beginning(tmp_path, sms, content):
    with node(tmp_path) as here:
        (ident,) = ran(here, here.task(), 1)
        (tmp_path / "cursor.json").write_text(content)
        with telling(here, sms, tmp_path):
            until(lambda: sms.of("result"))
        assert sms.of("execution") == [(ident, "completed")]


def test_of_what_a_page_tells_more_than_once_only_the_last_is_told(tmp_path, sms):
    with node(tmp_path) as here:
        caller, ident, guest = here.begin(here.task())
        guest.end()
        joined([caller])
        with telling(here, sms, tmp_path):
            until(lambda: sms.of("result"))
        assert sms.of("execution") == [(ident, "completed")]


def test_an_execution_of_another_node_is_not_told(tmp_path, sms):
    with node(tmp_path) as here:
        ran(here, here.task(), 1)
        here.runs.node.uuid = "node-2"
        with telling(here, sms, tmp_path) as (_, path):
            until(path.exists)
        assert sms.of("execution") == sms.of("result") == sms.of("instance") == []


def test_what_is_sent_on_is_told_where_it_begins_and_what_begins_nowhere_by_its_end(tmp_path, sms):
    there = Elsewhere()
    with node(tmp_path, own="", elsewhere=there, max_concurrent=1) as here:
        here.runs.node.uuid, other = here.join(), here.join()
        _, own, guest = here.begin(here.task())
        here.executions.request(ORIGIN, here.task(), Call())
        assert [uuid for uuid, _ in there.ran] == [other]
        there.troubles[other].append(FULL)
        here.nodes.drain(ORIGIN, here.runs.node.uuid, "it would come back here")
        nowhere = here.ask(here.task())
        until(lambda: here.recorded()["ExecutionSpilled"])
        with telling(here, sms, tmp_path):
            nowhere.get(timeout=5)
            until(lambda: sms.of("result"))
            assert sms.of("execution") == [(own, "running"), (here.the_one("failed"), "failed")]
            guest.end()


@pytest.fixture
def running(tmp_path):
    """A store with the open log of an execution, and the row of that."""
    with node(tmp_path) as here:
        _, ident, guest = here.begin(here.task())
        yield here, get_execution(here.reader, ident)
        guest.end()


def written(here, row, *messages):
    """What the guest says."""
    sink = here.runs._logs._live[row.execution_id]
    for message in messages:
        sink.write(Stream.STDERR, Level.INFO, message)


def messages(sms, row):
    return [line.message for line in sms.lines.get(row.execution_id, [])]


def test_lines_are_handed_on_while_it_runs_and_after_the_sms_was_away(running, sms):
    here, row = running
    sender = LineSender(here.runs._logs, sms, bell=here.runs._bell, spawn=here.spawn)
    sender.begin(row)
    written(here, row, "one", "two")
    until(lambda: messages(sms, row) == ["one", "two"])
    sms.error = Unavailable("away")
    written(here, row, "three")
    until(lambda: sms.turned_away)
    sms.error = None
    until(lambda: messages(sms, row) == ["one", "two", "three"])
    written(here, row, "four")
    sender.finish(row)
    assert (messages(sms, row), sms.finished) == (["one", "two", "three", "four"], [row.execution_id])


def test_an_sms_that_lost_lines_gets_them_again(running, sms):
    here, row = running
    sender = LineSender(here.runs._logs, sms, bell=here.runs._bell, spawn=here.spawn)
    sender.begin(row)
    written(here, row, "one", "two")
    until(lambda: messages(sms, row) == ["one", "two"])
    del sms.lines[row.execution_id]
    written(here, row, "three")
    sender.finish(row)
    assert messages(sms, row) == ["one", "two", "three"]


def test_a_log_that_the_sms_has_no_room_for_is_finished_all_the_same(running, sms):
    here, row = running
    sms.most = 1
    sender = LineSender(here.runs._logs, sms, bell=here.runs._bell, spawn=here.spawn)
    written(here, row, "one", "two")
    sender.finish(row)
    assert sms.finished == [row.execution_id]


def test_only_so_many_are_followed_at_once(running, sms):
    here, row = running
    spawned = []
    sender = LineSender(here.runs._logs, sms, bell=here.runs._bell, spawn=spawned.append)
    for number in range(MOST_LIVE + 3):
        row.execution_id = f"e{number}"
        sender.begin(row)
    assert len(spawned) == MOST_LIVE


def store(folder):
    return FileLogStore(folder, clock=SteadyClock(), bell=ThreadBell())


def some(first, last):
    return [LogLine(seq, 1, Stream.STDOUT, Level.INFO, f"line {seq}") for seq in range(first, last + 1)]


def test_a_reported_log_goes_on_after_a_crash_that_tore_its_last_line(tmp_path):
    named = {"node_uuid": "n", "task_id": "t"}
    store(tmp_path).append("e", lines=some(1, 3), **named)
    path = tmp_path / "n" / "t" / "e.log"
    path.write_bytes(path.read_bytes()[:-5])
    after = store(tmp_path)
    assert after.append("e", lines=some(3, 4), **named).accepted == 2
    assert after.read("e", after=0, limit=10, **named).lines == some(1, 4)
    assert after.finish("e", **named).next_seq == 5
    assert store(tmp_path).finish("e", **named).completed
    with pytest.raises(Refused, match="finalized"):
        store(tmp_path).append("e", lines=some(5, 5), **named)
    assert path.read_bytes().count(b"completed") == 1


def test_many_reported_logs_hold_no_files_open(tmp_path, no_leaked_files):
    many = store(tmp_path)
    for number in range(1100):
        many.append(f"e{number}", node_uuid="n", task_id="t", lines=some(1, 1))
    assert len(many._reported) == 1024
    assert many.append("e0", node_uuid="n", task_id="t", lines=some(1, 2)).accepted == 1


def test_the_end_of_what_was_requested_here_is_left_to_whoever_asked_for_it():
    execution = Execution(
        id=uuid4(), task_id="t", node_uuid="", mode="sync", args=[], environment={},
        timeout_ms=0, input_sha256="abc", input_size=0, input_inline="", input_content_type="", fingerprint="",
    )  # fmt: skip
    seen = ExecutionReport(
        node_uuid="n", status=ExecutionStatus.COMPLETED, updated_at_us=2, instance_id="i", started_at_us=1
    )
    assert execution.report(seen)
    assert execution.status is ExecutionStatus.RUNNING
