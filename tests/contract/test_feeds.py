"""What every feed promises, whatever its filter and wherever its cursor comes from: each event once, in order, or a clear word."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from uuid import UUID

import apsw
import pytest

from spear.domain.base import OBSERVED
from spear.domain.node import Heartbeat, Node
from spear.errors import CursorGap, CursorReset, Invalid
from spear.events import observed
from spear.events.feed import NOW, Page, cursor_at, feed, start
from spear.events.filters import filter_of, streams_of
from spear.events.log import EventLog
from spear.events.record import UNNUMBERED, Pending
from spear.events.recorder import ApswRecorder, checksummed_vfs
from spear.protocols.cursor import EVERYTHING, Cursor, Filter
from tests.crash._history import World
from tests.crash._support import LOG, ORIGIN, make_log, store

STEPS = 60


def grow(log: EventLog, *, seed: int = 1, steps: int = STEPS) -> None:
    for events in World(seed).steps(steps):
        log.commit(events, ORIGIN)


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with store(folder(tmp_path, "a")) as (opened, _):
        grow(opened)
        yield opened


def a_stream(log: EventLog) -> str:
    facts = log.since(0)
    return max({fact.originator_id for fact in facts}, key=lambda one: sum(f.originator_id == one for f in facts))


FILTERS = {
    "everything": lambda log: EVERYTHING,
    "a noun": lambda log: filter_of("", "execution", ""),
    "types": lambda log: filter_of("ExecutionStarted,task.TaskCreated", "", ""),
    "a stream": lambda log: filter_of("", "", a_stream(log)),
    "a type of a stream": lambda log: filter_of(log.stream(a_stream(log))[0].topic, "", a_stream(log)),
    "nothing": lambda log: filter_of("", "", "nobody"),
}


@pytest.fixture(params=FILTERS)
def chosen(request: pytest.FixtureRequest, log: EventLog) -> Filter:
    return FILTERS[request.param](log)


def wanted(log: EventLog, chosen: Filter) -> list[int]:
    """The positions that a filter chooses, by looking at every event."""
    streams = streams_of(chosen)
    return [
        fact.position
        for fact in log.since(0)
        if (not chosen.topics or fact.topic in chosen.topics)
        and (not chosen.noun or fact.noun == chosen.noun)
        and (not streams or fact.originator_id in streams)
    ]


def pages(log: EventLog, cursor: Cursor, *, limit: int) -> Iterator[Page]:
    """Each from the cursor of the one before, as text, until the end."""
    while True:
        page = next(feed(log, cursor, limit=limit))
        yield page
        cursor = Cursor.parse(str(page.cursor))
        if cursor.position >= log.head:
            return


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_from_cursor_to_cursor_carry_everything_once_in_order(log, chosen, limit):
    found = [fact.position for page in pages(log, cursor_at(log, 0, chosen), limit=limit) for fact in page.facts]
    assert found == wanted(log, chosen)


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_every_event_names_the_one_before_it_in_its_filter(log, chosen, limit):
    linked = [link for page in pages(log, cursor_at(log, 0, chosen), limit=limit) for link in page.linked()]
    assert [previous for previous, _ in linked] == [0, *wanted(log, chosen)][:-1]


def test_the_pages_of_one_follower_are_linked_too(log, chosen):
    expected = wanted(log, chosen)
    follower = feed(log, cursor_at(log, 0, chosen), limit=3)
    linked = [link for page in islice(follower, -(-len(expected) // 3)) for link in page.linked()]
    assert [(previous, fact.position) for previous, fact in linked] == list(pairwise([0, *expected]))


def test_who_begins_in_the_middle_learns_what_was_before(log, chosen):
    expected = wanted(log, chosen)
    for after in Random(1).sample(range(log.head + 1), 20):
        page = next(feed(log, cursor_at(log, after, chosen), limit=1000))
        assert page.previous == (after if chosen == EVERYTHING else max((p for p in expected if p <= after), default=0))
        assert [fact.position for fact in page.facts] == [p for p in expected if p > after]


def test_an_empty_page_moves_the_cursor_past_what_it_looked_at(log):
    nobody = filter_of("", "", "nobody")
    page = next(feed(log, cursor_at(log, 0, nobody)))
    assert (page.facts, page.cursor) == ([], cursor_at(log, log.head, nobody))


def test_a_page_cut_short_continues_where_it_was_cut(log, chosen):
    page = next(feed(log, cursor_at(log, 0, chosen), limit=1000))
    short = page.first(2)
    found = [*short.facts, *next(feed(log, short.cursor, limit=1000)).facts]
    assert [fact.position for fact in found] == wanted(log, chosen)


def test_followers_hear_what_is_written_meanwhile_once_and_in_order(log, chosen):
    def listen(count: int) -> list[int]:
        heard: list[int] = []
        for page in feed(log, cursor_at(log, 0, chosen), idle_s=0.2, limit=7):
            heard += [fact.position for fact in page.facts]
            if page.cursor.position >= count:
                return heard
        raise AssertionError

    with ThreadPoolExecutor(4) as pool:
        listeners = [pool.submit(listen, log.head) for _ in range(3)]
        pool.submit(grow, log, seed=2).result()
        assert all(one.result() == wanted(log, chosen)[: len(one.result())] for one in listeners)
    assert [f.position for f in next(feed(log, cursor_at(log, 0, chosen), limit=1000)).facts] == wanted(log, chosen)


def test_a_reader_begins_at_a_position_now_or_at_its_cursor(log):
    assert start(log, cursor="", after=3, chosen=EVERYTHING) == cursor_at(log, 3)
    assert start(log, cursor="", after=NOW, chosen=EVERYTHING) == cursor_at(log, log.head)
    mine = cursor_at(log, 5, filter_of("", "node", ""))
    for beside in (EVERYTHING, mine.filter):
        assert start(log, cursor=str(mine), after=0, chosen=beside) == mine
    with pytest.raises(Invalid, match="after: got"):
        start(log, cursor="", after=log.head + 1, chosen=EVERYTHING)
    with pytest.raises(Invalid, match="of the same filter, or no filter beside it"):
        start(log, cursor=str(mine), after=0, chosen=filter_of("", "task", ""))


def test_a_filter_of_a_newer_version_is_refused_by_name(log):
    for chosen in (Filter(topics=("node.NodeSang",)), Filter(noun="song")):
        with pytest.raises(Invalid, match="over events that this version knows"):
            next(feed(log, cursor_at(log, 0, chosen)))


def reset_of(log: EventLog, cursor: Cursor) -> CursorReset:
    with pytest.raises(CursorReset) as refused:
        next(feed(log, cursor))
    return refused.value


def test_a_cursor_of_another_log_is_reset(log, chosen, tmp_path):
    with store(folder(tmp_path, "b")) as (other, _):
        grow(other)
        assert other.id != log.id
        assert reset_of(other, cursor_at(log, 3, chosen)).details["reason"] == "other_log"


def test_a_copy_of_the_log_takes_the_cursors_of_the_original(tmp_path):
    with store(folder(tmp_path, "a")) as (log, _):
        grow(log)
        cursor = cursor_at(log, 9)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with make_log(tmp_path / "b") as copy:
        assert next(feed(copy, cursor)).facts[0].position == 10


@pytest.mark.parametrize(("later", "reason"), [(0, "beyond_head"), (STEPS, "other_history")])
def test_a_cursor_from_before_a_restore_is_reset(tmp_path, later, reason):
    with store(folder(tmp_path, "a")) as (log, _):
        grow(log, steps=5)
        kept = cursor_at(log, log.head)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with store(tmp_path / "a") as (log, _):
        grow(log, seed=2, steps=5)
        lost = cursor_at(log, log.head)
    with store(tmp_path / "b") as (restored, _):
        grow(restored, seed=3, steps=later)
        told = reset_of(restored, lost)
        assert told.details | {"cursor": ""} == {
            "reason": reason, "position": lost.position, "head": restored.head, "cursor": "",
        }  # fmt: skip
        anew = Cursor.parse(str(told.details["cursor"]))
        assert [f.position for f in next(feed(restored, anew, limit=1000)).facts] == list(range(1, restored.head + 1))
        next(feed(restored, kept))  # what both pasts have in common goes on


def without_first(data: Path, until: int) -> None:
    """The log as it is when its first events are kept elsewhere."""
    with closing(apsw.Connection(str(data / LOG), vfs=checksummed_vfs())) as db:
        for statement in ("DROP TRIGGER events_keep_delete", f"DELETE FROM events WHERE position <= {until}"):
            db.execute(statement)


def test_a_cursor_below_the_floor_is_told_what_is_missing_and_goes_on_behind_it(tmp_path):
    with store(folder(tmp_path, "a")) as (log, _):
        grow(log)
        old = [cursor_at(log, 4, chosen) for chosen in (EVERYTHING, filter_of("", "node", ""))]
        at_floor, above = cursor_at(log, 10), cursor_at(log, 11)
    without_first(tmp_path / "a", 10)
    with make_log(tmp_path / "a") as log:
        assert log.floor == 11
        for cursor in old:
            with pytest.raises(CursorGap, match="no longer holds positions 5 to 10; they lie in ") as told:
                next(feed(log, cursor))
            details = told.value.details
            assert (details["missing_from"], details["missing_to"]) == (5, 10) and details["where"]
            beyond = Cursor.parse(str(details["cursor"]))
            assert (beyond.position, beyond.filter) == (10, cursor.filter)
            assert [f.position for f in next(feed(log, beyond, limit=1000)).facts] == wanted(log, cursor.filter)
        assert next(feed(log, at_floor)).facts[0].position == 11
        assert next(feed(log, above)).facts[0].position == 12


def test_a_log_that_loses_its_beginning_while_it_is_followed_says_so(log):
    follower = feed(log, cursor_at(log, 0), limit=3)
    assert [fact.position for page in islice(follower, 2) for fact in page.facts] == [1, 2, 3, 4, 5, 6]
    log.floor = 20
    with pytest.raises(CursorGap, match="positions 7 to 19"):
        next(follower)


def steps_to_read(folder: Path, length: int, *, from_end: int) -> int:
    """What SQLite does for one page of a stream whose events are every second one, that far from its end."""
    folder.mkdir()
    with closing(ApswRecorder(folder / LOG)) as recorder:
        for _ in range(length // 100):
            beats = [Pending(stream, UNNUMBERED, "node.Heartbeat", b"{}") for stream in ("mine", "other") * 100]
            recorder.append([(beats, ORIGIN)], time_us=1)
    done: list[int] = []
    with make_log(folder) as log:
        with log.recorder.reader() as db:
            db.set_progress_handler(lambda: bool(done.append(1)), 1)
        facts = log.since(2 * (length - from_end), limit=10, streams=["mine", "nobody"])
        previous = log.last(2 * (length - from_end), streams=["mine", "nobody"])
    assert [f.position for f in facts] == [2 * (length - from_end) + 1 + 2 * number for number in range(10)]
    assert previous == 2 * (length - from_end) - 1
    return len(done)


@pytest.mark.parametrize("from_end", [10, 150, 190])
def test_a_page_of_a_long_stream_costs_what_one_of_a_short_stream_costs(tmp_path, from_end):
    short, long = (steps_to_read(tmp_path / str(length), length, from_end=from_end) for length in (200, 6400))
    assert long < 2 * short


def test_a_stream_is_read_from_any_position_whether_its_events_are_indexed_yet_or_not(log):
    of = Node(id=UUID(int=1, version=4), ip_address="127.0.0.1", port=1, http_port=1, metadata={})
    for _ in range(observed.AT_ONCE + 2):
        log.commit([of.observe(Heartbeat, health_info={})], ORIGIN)
    rows, indexed = log.since(0), log.recorder.value(observed.UNTIL)
    assert 0 < indexed < max(fact.position for fact in rows if fact.topic in OBSERVED)
    for stream in {fact.originator_id for fact in rows}:
        mine = [fact for fact in rows if fact.originator_id == stream]
        assert log.stream(stream) == mine
        assert log.stream(stream, after_version=1, limit=2) == mine[1:3]
        for position in range(log.head + 1):
            assert log.since(position, streams=[stream]) == [fact for fact in mine if fact.position > position]
            before = [fact.position for fact in mine if fact.position <= position]
            assert log.last(position, streams=[stream]) == max(before, default=0)


def test_an_empty_log_has_an_identity_and_a_feed(tmp_path):
    with store(tmp_path) as (log, _):
        assert len(log.id) == 16 and any(log.id)
        page = next(feed(log, cursor_at(log, 0)))
        assert (page.facts, page.previous, page.cursor.position) == ([], 0, 0)
    with store(tmp_path) as (again, _):
        assert again.id == log.id
