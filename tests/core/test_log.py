import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

import apsw
import pytest

from spear.domain.base import NEXT, UNSTAMPED
from spear.domain.file import File
from spear.domain.node import Heartbeat, observations
from spear.errors import Conflict, StartupError, Unavailable
from spear.events._bell import ThreadBell
from spear.events.lock import DirectoryLock
from spear.events.log import SLICE
from spear.events.record import Committed, Pending
from spear.events.recorder import ApswRecorder
from spear.events.verify import verify
from tests.crash._support import LOG, ORIGIN, SteadyClock, Store, make_log, store
from tests.server import eventually

NODE = UUID(int=7)


@pytest.fixture
def opened(tmp_path) -> Iterator[Store]:
    with store(tmp_path) as found:
        yield found


@pytest.fixture
def log(opened):
    return opened.log


class Gate:
    """A folder of events that waits until it is opened, so that commits wait behind one another."""

    behind = 0

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()
        self.batches = []

    def fold(self, facts):
        self.entered.set()
        assert self.open.wait(10)
        self.batches.append(len(facts))

    def write(self):
        pass


class Indifferent:
    """A folder that keeps nothing."""

    behind = 0

    def fold(self, facts):
        pass

    def write(self):
        pass


class Broken(Indifferent):
    """A folder with a bug."""

    def fold(self, facts):
        raise ZeroDivisionError


def upload(number: int) -> list:
    return File(id=UUID(int=number, version=4), name="f", content_type="", size=0, sha256="").collect_events()


def beat() -> list:
    return [
        Heartbeat(
            originator_id=observations(NODE),
            originator_version=NEXT,
            timestamp=UNSTAMPED,
            node_uuid=str(NODE),
            health_info={},
        )
    ]


def waiting_commits(log, count: int, pool: ThreadPoolExecutor, events=upload) -> list:
    """Commits that the writer has not looked at yet."""
    futures = [pool.submit(log.commit, events(number), ORIGIN) for number in range(2, count + 2)]
    bounded_wait(lambda: log._writer._queue.qsize() == count)
    return futures


def bounded_wait(condition) -> None:
    done = threading.Event()
    for _ in range(5000):
        if condition():
            return
        done.wait(0.002)
    raise AssertionError("it did not happen within 10 s")


def test_a_commit_returns_where_and_when_it_was_recorded(tmp_path):
    clock = SteadyClock(5000)
    with store(tmp_path, clock=clock) as (log, _):
        assert log.commit([*upload(1), *upload(2)], ORIGIN) == Committed(1, 2, 6000)
        assert log.commit(upload(3), ORIGIN) == Committed(3, 3, 7000)
        assert log.head == 3


def test_a_recorded_fact_carries_who_and_why(log):
    log.commit(upload(1), ORIGIN)
    [fact] = log.since(0)
    assert (fact.actor, fact.cause, fact.correlation, fact.topic) == ("test", 0, "", "file.FileUploaded")
    assert (fact.noun, fact.name, fact.version) == ("file", "FileUploaded", 1)


def test_nothing_is_recorded_for_no_events(log):
    assert log.commit([], ORIGIN).last == 0
    assert log.head == 0


def test_the_same_version_twice_is_a_conflict_and_records_nothing(log):
    log.commit(upload(1), ORIGIN)
    with pytest.raises(Conflict, match="file .* was changed by somebody else first"):
        log.commit([*upload(2), *upload(1)], ORIGIN)
    assert log.head == 1
    assert log.commit(upload(2), ORIGIN).first == 2


def test_in_a_group_commit_one_conflict_fails_alone(tmp_path):
    gate = Gate()
    with ThreadPoolExecutor(9) as pool, make_log(tmp_path) as log:
        log.start(gate)
        first = pool.submit(log.commit, upload(1), ORIGIN)
        assert gate.entered.wait(10)
        futures = waiting_commits(log, 8, pool, lambda number: upload(1 if number == 5 else number))
        gate.open.set()
        outcomes = [future.exception() or future.result().first for future in [first, *futures]]
        assert gate.batches == [1, 7]
        assert [type(outcome) for outcome in outcomes].count(Conflict) == 1
        assert sorted(o for o in outcomes if isinstance(o, int)) == list(range(1, 9))
        assert len(log.since(0)) == 8


def test_streams_without_rules_get_their_next_version(log):
    for _ in range(3):
        log.commit([*beat(), *beat()], ORIGIN)
    assert [fact.version for fact in log.stream(str(observations(NODE)))] == [1, 2, 3, 4, 5, 6]


def test_streams_without_rules_go_on_after_a_conflict_and_a_restart(tmp_path):
    with store(tmp_path) as (log, _):
        log.commit([*upload(1), *beat()], ORIGIN)
        with pytest.raises(Conflict):
            log.commit([*beat(), *upload(1)], ORIGIN)
        log.commit(beat(), ORIGIN)
    with store(tmp_path) as (log, _):
        log.commit(beat(), ORIGIN)
        assert [fact.version for fact in log.stream(str(observations(NODE)))] == [1, 2, 3]


def test_a_log_from_before_observations_were_indexed_late_goes_on(tmp_path):
    stream = str(observations(NODE))
    with closing(ApswRecorder(tmp_path / LOG)) as recorder:
        old = [Pending(stream, version, "node.Heartbeat", b'{"node_uuid":"n","health_info":{}}') for version in (1, 2)]
        recorder.append([(old, ORIGIN)], time_us=1)
        for table in ("observed", "observed_until"):
            recorder._db.execute(f"DROP TABLE {table}")
    with store(tmp_path) as (log, _):
        for _ in range(12):
            log.commit(beat(), ORIGIN)
        assert [fact.version for fact in log.stream(stream)] == list(range(1, 15))
        assert [fact.position for fact in log.since(1, streams=[stream], limit=3)] == [2, 3, 4]
        assert log.last(2, streams=[stream]) == 2
    assert verify(tmp_path / LOG) == []


def test_since_reads_a_page_of_some_topics_or_streams(log):
    for number in range(1, 6):
        log.commit([*upload(number), *beat()], ORIGIN)
    assert [fact.position for fact in log.since(3, limit=4)] == [4, 5, 6, 7]
    assert [fact.position for fact in log.since(2, topics=["node.Heartbeat"], limit=2)] == [4, 6]
    assert [fact.position for fact in log.since(8, topics=["node.Heartbeat", "file.FileUploaded"])] == [9, 10]
    stream = str(UUID(int=2, version=4))
    assert [fact.position for fact in log.since(0, streams=[stream])] == [3]
    assert log.since(0, streams=[stream], topics=["node.Heartbeat"]) == []


@pytest.mark.parametrize("topics", [(), ("file.FileUploaded",)])
def test_a_follower_sees_every_position_once_and_in_order_while_others_write(log, topics):
    writers, each = 6, 40

    def write(writer: int) -> None:
        for number in range(each):
            log.commit(upload(writer * each + number), ORIGIN)

    with ThreadPoolExecutor(writers) as pool:
        futures = [pool.submit(write, writer) for writer in range(writers)]
        seen: list[int] = []
        for facts in log.follow(0, idle_s=10, topics=topics):
            assert facts, "nothing came for 10 s"
            seen += [fact.position for fact in facts]
            if len(seen) >= writers * each:
                break
        for future in futures:
            future.result()
    assert seen == list(range(1, writers * each + 1))


class Turns(ThreadBell):
    """A bell that counts who takes turns with others."""

    taken = 0

    def turn(self):
        self.taken += 1


@pytest.mark.parametrize("topics", [(), ("node.Heartbeat",)], ids=["everything", "a topic"])
def test_who_has_a_past_to_read_takes_a_turn_for_each_slice_and_who_hears_what_happens_now_takes_none(tmp_path, topics):
    bell = Turns()
    with store(tmp_path, bell=bell) as opened:
        opened.log.commit([event for _ in range(SLICE * 2 + 1) for event in beat()], ORIGIN)
        follower = opened.log.follow(0, idle_s=10, topics=topics)
        assert [(len(next(follower)), bell.taken) for _ in range(3)] == [(SLICE, 0), (SLICE, 1), (1, 2)]
        for _ in range(3):
            opened.log.commit(beat(), ORIGIN)
            assert len(next(follower)) == 1
        assert bell.taken == 2


def test_a_follower_of_other_topics_moves_on_and_reports_idleness(log):
    log.commit(upload(1), ORIGIN)
    follower = log.follow(0, idle_s=0.01, topics=["node.Heartbeat"])
    assert next(follower) == []
    log.commit(beat(), ORIGIN)
    assert [fact.position for fact in next(follower)] == [2]


def test_who_waits_for_one_topic_is_not_woken_by_others(log):
    def waiting() -> threading.Thread:
        thread = threading.Thread(
            target=log.wait, args=(log.head,), kwargs={"timeout_s": 60, "topics": [File.FileUploaded.TOPIC]}
        )
        thread.start()
        eventually(lambda: log._followers.get(File.FileUploaded.TOPIC))
        return thread

    thread = waiting()
    (ticket,) = log._followers[File.FileUploaded.TOPIC]
    log.commit(beat(), ORIGIN)
    assert not ticket._rung
    log.commit(upload(1), ORIGIN)
    thread.join(30)
    assert ticket._rung and not thread.is_alive()


def test_wait_returns_at_once_when_the_log_is_longer_already(log):
    log.commit(upload(1), ORIGIN)
    assert log.wait(0, timeout_s=0) is True


def test_wait_gives_up_after_its_timeout_and_leaves_nothing_behind(log):
    assert log.wait(0, timeout_s=0.01) is False
    assert not any(log._followers.values())


def test_position_at_is_the_last_one_recorded_by_then(tmp_path):
    clock = SteadyClock(0)
    with store(tmp_path, clock=clock) as (log, _):
        times = [log.commit(upload(number), ORIGIN).time_us for number in range(1, 8)]
        assert [log.position_at(time) for time in times] == [1, 2, 3, 4, 5, 6, 7]
        assert [log.position_at(time - 1) for time in times] == [0, 1, 2, 3, 4, 5, 6]
        assert log.position_at(2**60) == 7


def test_times_never_go_back_when_the_clock_does(tmp_path):
    clock = SteadyClock(9_000_000)
    with store(tmp_path, clock=clock) as (log, _):
        first = log.commit(upload(1), ORIGIN).time_us
        clock.time_us = 1_000
        assert log.commit(upload(2), ORIGIN).time_us == first
    with store(tmp_path, clock=SteadyClock(0)) as (log, _):
        assert log.commit(upload(3), ORIGIN).time_us == first


@pytest.mark.parametrize(
    "sql", ["UPDATE events SET actor = 'me'", "DELETE FROM events", "DELETE FROM events WHERE position = 1"]
)
def test_events_are_never_changed_or_removed(opened, sql):
    opened.log.commit(upload(1), ORIGIN)
    with pytest.raises(apsw.ConstraintError, match="events are never (changed|removed)"):
        opened.log.recorder._db.execute(sql)
    assert len(opened.log.since(0)) == 1


def hold(folder: Path, pipe) -> None:
    """Hold the directory in a process of its own until the other end of the pipe is closed."""
    with DirectoryLock(folder / "lock", holder="the first server"):
        pipe.send("held")
        pipe.poll(30)


def test_a_second_process_is_refused_by_the_name_of_the_first(tmp_path):
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    first = context.Process(target=hold, args=(tmp_path, theirs))
    first.start()
    assert ours.recv() == "held"
    with pytest.raises(StartupError, match=rf"in use by the first server \(pid {first.pid}\)"):
        DirectoryLock(tmp_path / "lock", holder="the second").__enter__()
    first.kill()
    first.join(10)
    with DirectoryLock(tmp_path / "lock", holder="the second"):
        assert (tmp_path / "lock").read_text().startswith("the second")


def test_commits_that_wait_when_the_log_closes_are_recorded_first(tmp_path):
    gate = Gate()
    with ThreadPoolExecutor(7) as pool:
        log = make_log(tmp_path)
        log.start(gate)
        first = pool.submit(log.commit, upload(1), ORIGIN)
        assert gate.entered.wait(10)
        futures = waiting_commits(log, 5, pool)
        closing = pool.submit(log.close)
        bounded_wait(lambda: log._writer._queue.qsize() == 6)
        gate.open.set()
        closing.result(10)
        assert sorted(future.result(10).first for future in [first, *futures]) == [1, 2, 3, 4, 5, 6]
    with make_log(tmp_path) as log:
        assert log.head == 6


def test_a_closed_log_takes_no_commits(opened):
    opened.log.close()
    with pytest.raises(Unavailable, match="the log is closed"):
        opened.log.commit(upload(1), ORIGIN)
    opened.log.close()


def test_commits_that_race_with_closing_are_answered_every_time(tmp_path):
    for attempt in range(20):
        with ThreadPoolExecutor(4) as pool, make_log(tmp_path) as log:
            log.start(Indifferent())
            futures = [pool.submit(log.commit, upload(attempt * 100 + n), ORIGIN) for n in range(20)]
            log.close()
            for future in futures:
                assert isinstance(future.exception(10), Unavailable | None)


def test_a_folder_that_breaks_ends_the_writer_loudly(tmp_path, monkeypatch):
    reasons: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: None)
    with make_log(tmp_path, died=reasons.append) as log:
        log.start(Broken())
        with pytest.raises(Unavailable):
            log.commit(upload(1), ORIGIN)
        with pytest.raises(Unavailable, match="ended unexpectedly"):
            log.commit(upload(2), ORIGIN)
    assert reasons == ["the log's writer ended unexpectedly; restart the server"]


def test_a_log_that_lost_its_end_is_refused(tmp_path):
    with store(tmp_path) as (log, _):
        log.commit(upload(1), ORIGIN)
    earlier = (tmp_path / LOG).read_bytes()
    with store(tmp_path) as (log, _):
        log.commit(upload(2), ORIGIN)
    (tmp_path / LOG).write_bytes(earlier)
    with pytest.raises(StartupError, match="ends at position 1, but position 2 was acknowledged"):
        make_log(tmp_path)


def test_a_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / LOG).write_text("not a log" * 1000)
    with pytest.raises(StartupError, match="cannot be opened"):
        make_log(tmp_path)
    assert (tmp_path / LOG).read_text() == "not a log" * 1000
