import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue

import pytest

from spear.adapters.storage.logs import FileLogStore
from spear.errors import AlreadyExists, Invalid, Unavailable
from spear.events._bell import ThreadBell, ThreadTicket
from spear.ports import Bell, Level, LogPage, LogSink, LogStore, Stream, Ticket
from tests.contract._disk import files_no_larger_than

ROOT = Path(__file__).resolve().parents[2]


class SteadyClock:
    """A clock that stands at one millisecond past the epoch's first second."""

    def now_us(self) -> int:
        return 1_001_000


class WatchedBell(ThreadBell):
    """The bell of native threads; it also tells when somebody is about to wait."""

    def __init__(self) -> None:
        self.taken: SimpleQueue[Ticket] = SimpleQueue()

    def ticket(self) -> ThreadTicket:
        self.taken.put(ticket := super().ticket())
        return ticket


LOG_STORES: dict[str, Callable[[Path, Bell], LogStore]] = {
    "file": lambda root, bell: FileLogStore(root, clock=SteadyClock(), bell=bell),
}


@pytest.fixture
def bell():
    return WatchedBell()


@pytest.fixture(params=LOG_STORES)
def store(request, tmp_path, bell):
    return LOG_STORES[request.param](tmp_path, bell)


@pytest.fixture
def often_switching():
    """Let native threads interrupt each other nearly everywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def sink(store: LogStore, execution_id: str = "exec", *, limit_bytes: int = 100_000) -> AbstractContextManager[LogSink]:
    return store.sink(execution_id, node_uuid="node", task_id="task", limit_bytes=limit_bytes)


def read(store: LogStore, execution_id: str = "exec", *, after: int = 0, limit: int = 100, **wanted) -> LogPage:
    return store.read(execution_id, node_uuid="node", task_id="task", after=after, limit=limit, **wanted)


def messages(page: LogPage) -> list[str]:
    return [line.message for line in page.lines]


def say(log: LogSink, *said: str) -> None:
    for message in said:
        log.write(Stream.STDOUT, Level.INFO, message)


def file_of(root: Path, execution_id: str = "exec") -> Path:
    return root / "node" / "task" / f"{execution_id}.log"


def test_lines_read_back_as_written_and_numbered_from_one(store, no_leaked_files):
    with sink(store) as log:
        log.write(Stream.STDOUT, Level.INFO, "hello")
        log.write(Stream.STDERR, Level.ERROR, "two\nlines and \N{SNOWMAN}")
    page = read(store)
    assert [(line.seq, line.ts_ms, line.stream, line.level, line.message) for line in page.lines] == [
        (1, 1001, Stream.STDOUT, Level.INFO, "hello"),
        (2, 1001, Stream.STDERR, Level.ERROR, "two\nlines and \N{SNOWMAN}"),
    ]
    assert (page.next_after, page.truncated, page.completed) == (2, False, True)


def test_an_execution_that_logged_nothing_has_no_file_and_an_empty_completed_page(store, tmp_path):
    with sink(store):
        pass
    assert list(tmp_path.iterdir()) == []
    assert read(store) == read(store, "never-ran") == LogPage([], 0, truncated=False, completed=True)


def test_a_running_log_is_read_while_it_grows_and_is_not_completed(store):
    with sink(store) as log:
        assert read(store) == LogPage([], 0, truncated=False, completed=False)
        say(log, "one")
        page = read(store)
        assert (messages(page), page.completed) == (["one"], False)
        say(log, "two")
        assert messages(read(store, after=page.next_after)) == ["two"]


def test_a_log_is_completed_when_its_run_raises(store):
    with pytest.raises(RuntimeError), sink(store) as log:
        say(log, "last words")
        raise RuntimeError
    assert read(store).completed


def test_pages_meet_without_gap_or_overlap_and_only_the_last_is_completed(store):
    with sink(store) as log:
        say(log, *"0123456789ab")
    pages = [read(store, limit=4), read(store, after=4, limit=4), read(store, after=8, limit=4)]
    assert [messages(page) for page in pages] == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9", "a", "b"]]
    assert [(page.next_after, page.completed) for page in pages] == [(4, False), (8, False), (12, True)]


def test_a_cursor_past_the_end_finds_an_empty_page_and_stays(store):
    with sink(store) as log:
        say(log, "one")
    assert read(store, after=1) == LogPage([], 1, truncated=False, completed=True)
    assert read(store, after=9) == LogPage([], 9, truncated=False, completed=True)


def test_lines_are_filtered_by_stream_and_by_the_lowest_level(store):
    with sink(store) as log:
        log.write(Stream.LOG, Level.DEBUG, "debug")
        log.write(Stream.STDERR, Level.WARN, "warn")
        log.write(Stream.LOG, Level.ERROR, "error")
    assert messages(read(store, stream=Stream.LOG)) == ["debug", "error"]
    assert messages(read(store, level=Level.WARN)) == ["warn", "error"]
    assert messages(read(store, stream=Stream.LOG, level=Level.INFO)) == ["error"]


def test_paging_under_a_filter_moves_past_lines_that_are_not_wanted(store):
    with sink(store) as log:
        for number in range(6):
            log.write(Stream.LOG if number % 2 else Stream.STDOUT, Level.INFO, str(number))
    first = read(store, stream=Stream.LOG, limit=2)
    assert (messages(first), first.next_after, first.completed) == (["1", "3"], 5, False)
    last = read(store, stream=Stream.LOG, after=first.next_after, limit=2)
    assert (messages(last), last.next_after, last.completed) == (["5"], 6, True)


def test_over_the_limit_the_log_ends_there_and_says_truncated(store):
    with sink(store, limit_bytes=300) as log:
        say(log, "one")
        assert 0 < log.written_bytes < 300
        say(log, "x" * 300, "small again")
        assert log.written_bytes == 300
        assert read(store).truncated
    page = read(store)
    assert (messages(page), page.truncated, page.completed) == (["one"], True, True)


def test_a_log_whose_first_line_is_over_the_limit_says_truncated(store):
    with sink(store, limit_bytes=10) as log:
        say(log, "one")
    assert read(store) == LogPage([], 0, truncated=True, completed=True)


def test_text_that_no_encoding_has_is_written_with_replacements(store):
    with sink(store) as log:
        say(log, "half a pair: \ud83d")
    assert messages(read(store)) == ["half a pair: ?"]


def test_lines_after_the_end_are_dropped(store, no_leaked_files):
    with sink(store) as log:
        say(log, "in time")
    say(log, "too late")
    assert messages(read(store)) == ["in time"]


def test_threads_that_write_together_lose_nothing(store, often_switching):
    with sink(store, limit_bytes=10_000_000) as log, ThreadPoolExecutor(4) as threads:
        for number in range(4):
            threads.submit(say, log, *(f"{number}:{count}" for count in range(500)))
    page = read(store, limit=10_000)
    assert [line.seq for line in page.lines] == list(range(1, 2001))
    assert set(messages(page)) == {f"{number}:{count}" for number in range(4) for count in range(500)}


def test_executions_do_not_see_each_other(store):
    with sink(store, "a") as a, sink(store, "b") as b:
        say(a, "from a")
        say(b, "from b")
        assert messages(read(store, "a")) == ["from a"]
    assert messages(read(store, "b")) == ["from b"]


def test_an_open_log_cannot_be_opened_again(store):
    with sink(store) as log:
        say(log, "mine")
        with pytest.raises(AlreadyExists, match="exec"), sink(store):
            pass
        assert messages(read(store)) == ["mine"]


def test_a_new_run_of_an_execution_starts_its_log_anew(store):
    with sink(store) as log:
        say(log, "first run")
    with sink(store) as log:
        assert messages(read(store)) == []
        say(log, "second run")
    assert messages(read(store)) == ["second run"]


def test_a_log_starts_anew_however_many_runs_logged_nothing_before(store):
    for said in ([], [], ["one"], [], ["two"]):
        with sink(store) as log:
            assert messages(read(store)) == []
            say(log, *said)
        assert messages(read(store)) == said


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "../x", "a b", "a\n", "a\0", "x" * 129])
def test_names_that_could_leave_the_directory_are_refused(store, name):
    with pytest.raises(Invalid, match="execution_id"), sink(store, name):
        pass
    with pytest.raises(Invalid, match="execution_id"):
        read(store, name)


@pytest.mark.parametrize("part", ["node_uuid", "task_id"])
def test_a_bad_name_is_told_by_its_field(store, part):
    names = {"node_uuid": "node", "task_id": "task", part: ".."}
    with pytest.raises(Invalid, match=part), store.sink("exec", **names, limit_bytes=1):
        pass


def test_a_follower_gets_every_line_and_the_end(store):
    def follow() -> list[str]:
        found, done = [], False
        while not done:
            page = read(store, after=len(found))
            found += messages(page)
            done = page.completed or not store.wait("exec", after=page.next_after, timeout_s=30)
        return found

    with ThreadPoolExecutor(2) as threads:
        with sink(store, limit_bytes=1_000_000) as log:
            followers = [threads.submit(follow) for _ in range(2)]
            say(log, *map(str, range(1000)))
        assert [follower.result(30) for follower in followers] == [[*map(str, range(1000))]] * 2


def test_a_waiter_is_woken_by_a_line_and_by_the_end(store, bell):
    with ThreadPoolExecutor(1) as threads:
        with sink(store) as log:
            waiter = threads.submit(store.wait, "exec", after=0, timeout_s=20)
            bell.taken.get(timeout=20)
            say(log, "one")
            assert waiter.result(30)
            waiter = threads.submit(store.wait, "exec", after=1, timeout_s=20)
            bell.taken.get(timeout=20)
        assert waiter.result(30)


def test_who_is_woken_by_the_end_finds_the_log_completed(store, bell, monkeypatch):
    seen = []

    def look_and_ring(tickets: Sequence[Ticket]) -> None:
        seen.append(read(store).completed)
        ThreadBell.ring(bell, tickets)

    monkeypatch.setattr(bell, "ring", look_and_ring)
    with ThreadPoolExecutor(1) as threads, sink(store):
        threads.submit(store.wait, "exec", after=0, timeout_s=20)
        bell.taken.get(timeout=20)
    assert seen == [True]


def test_waiting_ends_at_once_when_there_is_something_to_read(store):
    with sink(store) as log:
        say(log, "one")
        assert store.wait("exec", after=0, timeout_s=30)
        assert not store.wait("exec", after=1, timeout_s=0.001)
    assert store.wait("exec", after=1, timeout_s=30)


def test_the_file_comes_with_the_first_line_and_is_json_with_a_last_line_that_completes_it(store, tmp_path):
    with sink(store) as log:
        assert list(tmp_path.iterdir()) == []
        log.write(Stream.SYSTEM, Level.INFO, "started")
    assert [json.loads(line) for line in file_of(tmp_path).read_text().splitlines()] == [
        {"seq": 1, "ts_ms": 1001, "stream": "system", "level": "info", "message": "started"},
        {"completed": True},
    ]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_last_line_torn_by_a_crash_is_skipped_and_the_log_says_truncated(store, tmp_path, bell, cut):
    with sink(store) as log:
        say(log, "whole", "to be torn: \N{SNOWMAN}")
    file = file_of(tmp_path)
    file.write_bytes(file.read_bytes().removesuffix(b'{"completed":true}\n')[: -1 - cut])
    page = read(LOG_STORES["file"](tmp_path, bell))
    assert (messages(page), page.truncated, page.completed) == (["whole"], True, True)


def test_a_line_that_is_still_being_written_is_left_for_the_next_page(store, tmp_path):
    with sink(store) as log:
        say(log, "whole")
        with file_of(tmp_path).open("ab") as file:
            file.write(b'{"seq":2,"ts')
        assert read(store) == LogPage(read(store).lines, 1, truncated=False, completed=False)


@pytest.mark.parametrize("damage", [b"\xff\xfe\n", b"[]\n", b"\n", b'{"seq":"two"}\n'])
def test_a_line_that_cannot_be_read_counts_as_missing(store, tmp_path, damage):
    with sink(store) as log:
        say(log, "whole")
    with file_of(tmp_path).open("ab") as file:
        file.write(damage)
    page = read(store)
    assert (messages(page), page.truncated) == (["whole"], True)


def test_a_log_that_the_disk_does_not_give_back_is_unavailable(store, tmp_path):
    file_of(tmp_path).mkdir(parents=True)
    with pytest.raises(Unavailable, match="exec"):
        read(store)


def test_writing_never_raises_where_no_file_can_be(store, tmp_path):
    with sink(store, limit_bytes=500) as log:
        (tmp_path / "node").touch()
        say(log, "lost", "lost too")
        assert log.written_bytes == 500


def test_a_log_that_cannot_start_anew_is_unavailable(store, tmp_path):
    file_of(tmp_path).mkdir(parents=True)
    with pytest.raises(Unavailable, match="exec"), sink(store):
        pass


def test_a_disk_that_refuses_ends_the_log_as_truncated(store):
    with files_no_larger_than(500), sink(store, limit_bytes=10_000) as log:
        say(log, *"01234567")
        assert log.written_bytes == 10_000
    page = read(store)
    assert (messages(page), page.truncated, page.completed) == (list("0123456"), True, True)


ON_A_HUB = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from pathlib import Path
from gevent.threadpool import ThreadPool
from spear.adapters.hub import HubBell
from spear.adapters.storage.logs import FileLogStore
from spear.adapters.system import SystemClock
from spear.ports import Level, Stream
names = {"node_uuid": "node", "task_id": "task"}
def guest(log):
    for number in range(2000):
        log.write(Stream.STDOUT, Level.INFO, str(number))
def follow(store):
    found, done = [], False
    while not done:
        page = store.read("exec", **names, after=len(found), limit=100)
        found += [line.message for line in page.lines]
        done = page.completed or not store.wait("exec", after=page.next_after, timeout_s=30)
    return found
with HubBell() as bell:
    store = FileLogStore(Path(sys.argv[1]), clock=SystemClock(), bell=bell)
    pool = ThreadPool(1)
    with store.sink("exec", **names, limit_bytes=1_000_000) as log:
        followers = [gevent.spawn(follow, store) for _ in range(3)]
        gevent.sleep(0)
        pool.apply(guest, (log,))
    gevent.joinall(followers, timeout=30, raise_error=True)
    print([follower.value == [*map(str, range(2000))] for follower in followers])
    pool.kill()
"""


def test_greenlets_follow_what_a_native_thread_writes(tmp_path):
    command = [sys.executable, "-c", ON_A_HUB, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "[True, True, True]\n"
