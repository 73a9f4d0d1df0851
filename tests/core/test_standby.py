"""A log that copies another one takes what continues it, and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from spear.errors import Corrupt, Forbidden, SpearError, StartupError, Unauthenticated, Unavailable
from spear.events import chain
from spear.events.feed import feed, start
from spear.events.log import EventLog
from spear.events.record import Origin, Pending, Recorded
from spear.projections.views import compare, open_views, quiet
from spear.protocols import bus
from spear.protocols.cursor import EVERYTHING
from spear.reactors.standby import Standby, log_id
from spear.services.following import Following
from tests.crash._history import World
from tests.crash._support import ORIGIN, VIEWS, make_log, store

STEPS = 40
Lie = Callable[[Recorded], Recorded]


class FromLog:
    """A leader's bus without a bus; `lie` changes what it says of the event at position 5."""

    def __init__(self, log: EventLog, lie: Lie = lambda fact: fact) -> None:
        self._log, self._lie = log, lie
        self.refuses: SpearError | None = None

    def read(self, *, cursor: str = "", after: int = 0, limit: int = 7) -> bus.Page[Recorded]:
        if self.refuses is not None:
            raise self.refuses
        page = next(feed(self._log, start(self._log, cursor=cursor, after=after, chosen=EVERYTHING), limit=limit))
        facts = [self._lie(fact) if fact.position == 5 else fact for fact in page.facts]
        return bus.Page(1, facts, page.previous, str(page.cursor), self._log.head, 0)

    def wait(self, position: int) -> None:
        pass


@pytest.fixture
def source(tmp_path: Path) -> Iterator[EventLog]:
    (tmp_path / "a").mkdir()
    with store(tmp_path / "a") as (log, _):
        for events in World(1).steps(STEPS):
            log.commit(events, ORIGIN)
        yield log


@contextmanager
def copying(folder: Path, leader: FromLog) -> Iterator[tuple[EventLog, Standby]]:
    """A log that copies what the leader has."""
    folder.mkdir(exist_ok=True)
    following = Following("tcp://leader:1")
    with make_log(folder, identity=log_id(leader)) as log, closing(open_views(folder / VIEWS, log)) as views:
        log.start_copying(views, refusal=following.refusal)
        yield log, Standby(log, leader, following)
        log.close()


def rows(log: EventLog) -> list[Recorded]:
    return log.recorder.query("ORDER BY position")


def test_a_copy_has_the_same_id_events_hashes_and_views_and_grows_with_its_source(tmp_path, source):
    with copying(tmp_path / "b", FromLog(source)) as (log, standby):
        standby.catch_up(quiet)
        assert (log.id, log.head, rows(log)) == (source.id, source.head, rows(source))
        for events in World(2).steps(3):
            source.commit(events, ORIGIN)
        while log.head < source.head:
            standby.follow()
        assert rows(log) == rows(source)
        log.show()
        source.show()
        assert compare(tmp_path / "a" / VIEWS, tmp_path / "b" / VIEWS) == {}


@pytest.mark.parametrize("kind", [Unavailable, Unauthenticated, Forbidden])
def test_a_copy_goes_on_where_it_was_stopped_and_waits_for_a_leader_that_does_not_answer_it(tmp_path, source, kind):
    leader = FromLog(source)
    with copying(tmp_path / "b", leader) as (log, standby):
        standby.follow()
        assert log.head == 7
    with copying(tmp_path / "b", leader) as (log, standby):
        leader.refuses = kind("not now")
        standby.catch_up(quiet)
        assert not standby.follow()
        assert log.head == 7
        leader.refuses = None
        standby.catch_up(quiet)
        assert rows(log) == rows(source)


def test_whoever_writes_to_a_copy_hears_who_leads_it(tmp_path, source):
    with copying(tmp_path / "b", FromLog(source)) as (log, _), pytest.raises(Unavailable) as told:
        log.commit(next(World(3).steps(1)), ORIGIN)
    assert (told.value.code, told.value.details) == ("READ_ONLY_STANDBY", {"leader": "tcp://leader:1"})


LIES: dict[str, Lie] = {
    "another state": lambda fact: replace(fact, state=fact.state + b" "),
    "another time": lambda fact: replace(fact, time_us=fact.time_us + 1),
    "another actor": lambda fact: replace(fact, actor="somebody"),
    "another version": lambda fact: replace(fact, version=fact.version + 1),
    "another hash": lambda fact: replace(fact, hash=bytes(32)),
    "another position": lambda fact: replace(fact, position=6),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_does_not_fit_is_refused_by_its_position_and_its_page_is_not_stored(tmp_path, source, lie):
    with copying(tmp_path / "b", FromLog(source, LIES[lie])) as (log, standby):
        with pytest.raises(StartupError, match=r"does not continue this log: event 5: .*; nothing was changed here"):
            standby.catch_up(quiet)
        assert rows(log) == []


def linked(after: list[Recorded], event: Pending) -> Recorded:
    """A fact that continues the chain, whatever it says."""
    last, origin = after[-1], Origin("liar")
    digest = chain.link(last.hash, last.position + 1, event, time_us=last.time_us, origin=origin)
    return Recorded(
        last.position + 1, event.originator_id, event.version, event.topic, last.time_us,
        origin.actor, origin.cause, origin.correlation, event.state, digest,
    )  # fmt: skip


def test_an_event_in_the_place_of_another_is_refused_and_what_is_right_is_taken_after_it(tmp_path, source):
    facts = rows(source)
    with copying(tmp_path / "b", FromLog(source)) as (log, _):
        log.copy(facts[:5])
        twice = Pending(facts[0].originator_id, facts[0].version, facts[0].topic, facts[0].state)
        with pytest.raises(Corrupt, match="events 6 to 6: two events have the same place in a stream"):
            log.copy([linked(facts[:5], twice)])
        log.copy(facts[5:])
        assert rows(log) == facts
