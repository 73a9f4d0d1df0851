from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spear.adapters.threads import InlineThreads
from spear.domain.base import TOPICS
from spear.errors import Invalid
from spear.projections.snapshots import KEPT, Snapshots
from spear.projections.timeline import KEPT as KEPT_READERS
from spear.projections.timeline import Timeline
from spear.projections.views import Views, compare, open_views, reader_of, rebuild
from tests.crash._history import World
from tests.crash._support import ORIGIN, VIEWS, Store, differences_from_rebuilt, make_log, store


@pytest.fixture
def opened(tmp_path) -> Iterator[Store]:
    with store(tmp_path) as found:
        yield found


@pytest.fixture
def timeline(opened, tmp_path) -> Iterator[Timeline]:
    snapshots = Snapshots(tmp_path / "snapshots")
    past = Timeline(opened.log, snapshots=snapshots, folder=tmp_path / "past", threads=InlineThreads())
    with closing(past):
        yield past


def live_a_while(log, *, seed: int = 1, steps: int = 100) -> None:
    for events in World(seed).steps(steps):
        log.commit(events, ORIGIN)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_live_views_equal_rebuilt_views_for_every_type_of_event(opened, tmp_path, seed):
    live_a_while(opened.log, seed=seed, steps=600)
    assert {fact.topic for fact in opened.log.recorder.query("")} == set(TOPICS)
    opened.log.show()
    assert differences_from_rebuilt(tmp_path, opened.log) == {}


def test_a_difference_between_views_is_named_by_table_and_key(opened, tmp_path):
    live_a_while(opened.log)
    opened.log.show()
    rebuild(tmp_path / "other.db", opened.log.recorder, until=opened.log.head)
    with closing(apsw.Connection(str(tmp_path / "other.db"), vfs="unix")) as db:
        key = db.execute("SELECT uuid FROM nodes LIMIT 1").get
        db.execute("UPDATE nodes SET port = port + 1 WHERE uuid = ?", (key,))
    assert compare(tmp_path / VIEWS, tmp_path / "other.db") == {"nodes": [key]}


def test_a_reader_sees_rows_and_checkpoint_as_soon_as_a_commit_returns(opened):
    with closing(reader_of(opened.views, opened.log)) as reader:
        for events in World(4).steps(30):
            last = opened.log.commit(events, ORIGIN).last
            assert reader.position == last == opened.log.head


def delete(path):
    path.unlink()


def overwrite(path):
    path.write_bytes(b"these are no views" * 1000)


def empty(path):
    path.write_bytes(b"")


def truncate(path):
    path.write_bytes(path.read_bytes()[: 4096 * 3])


def scramble(path):
    """Damage the pages of one table."""
    with closing(apsw.Connection(str(path), vfs="unix")) as db:
        page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'nodes'").get
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(range(64)))


def make_stale(path):
    change(path, "UPDATE checkpoint SET fingerprint = 'older code'")


def make_foreign(path):
    change(path, "UPDATE checkpoint SET hash = zeroblob(32)")


def run_ahead(path):
    change(path, "UPDATE checkpoint SET position = position + 1")


def forget_checkpoint(path):
    change(path, "DELETE FROM checkpoint")


def change(path, sql):
    with closing(apsw.Connection(str(path), vfs="unix")) as db:
        db.execute("UPDATE nodes SET port = -1")
        db.execute(sql)


@pytest.mark.parametrize(
    "harm", [delete, overwrite, empty, truncate, scramble, make_stale, make_foreign, run_ahead, forget_checkpoint]
)
def test_views_that_are_not_the_logs_own_are_made_again(tmp_path, harm):
    with store(tmp_path) as (log, _):
        live_a_while(log)
    harm(tmp_path / VIEWS)
    with store(tmp_path) as (log, _):
        assert differences_from_rebuilt(tmp_path, log) == {}


def test_good_views_are_kept_and_only_caught_up(tmp_path):
    with store(tmp_path) as (log, views):
        live_a_while(log)
        inode = views.path.stat().st_ino
    with make_log(tmp_path) as log:
        folded = []
        open_views(tmp_path / VIEWS, log, progress=lambda done, total: folded.append(total)).close()
    assert folded == []
    assert (tmp_path / VIEWS).stat().st_ino == inode


def test_views_left_behind_by_a_crash_catch_up(tmp_path):
    with store(tmp_path) as (log, _):
        live_a_while(log, seed=1)
    earlier = (tmp_path / VIEWS).read_bytes()
    with store(tmp_path) as (log, _):
        live_a_while(log, seed=2)
        head = log.head
    (tmp_path / VIEWS).write_bytes(earlier)
    with make_log(tmp_path) as log, closing(open_views(tmp_path / VIEWS, log)) as views:
        assert views.checkpoint[0] == head
        assert differences_from_rebuilt(tmp_path, log) == {}


def test_as_of_every_position_equals_views_rebuilt_until_there(opened, timeline, tmp_path):
    live_a_while(opened.log, steps=60)
    for position in range(opened.log.head + 1):
        rebuild(tmp_path / "then.db", opened.log.recorder, until=position)
        reader = timeline.at(position)
        assert reader.position == position
        assert compare(reader._path, tmp_path / "then.db") == {}


def test_the_live_views_do_not_move_when_the_past_is_asked_for(opened, timeline, tmp_path):
    live_a_while(opened.log)
    before = (tmp_path / VIEWS).read_bytes()
    timeline.at(5)
    assert (tmp_path / VIEWS).read_bytes() == before


@pytest.mark.parametrize("position", [-1, 10**9])
def test_there_is_no_view_beyond_the_log(timeline, position):
    with pytest.raises(Invalid, match="as_of: got .*, expected a position from 0 to 0"):
        timeline.at(position)


def test_only_the_last_few_pasts_are_kept(opened, timeline, tmp_path):
    live_a_while(opened.log)
    for position in range(20):
        timeline.at(position)
    assert len(list((tmp_path / "past").glob("*.db"))) == KEPT_READERS
    timeline.close()
    assert list((tmp_path / "past").iterdir()) == []


def test_looking_back_starts_from_the_nearest_snapshot(opened, timeline, tmp_path):
    snapshots = Snapshots(tmp_path / "snapshots")
    live_a_while(opened.log, seed=1, steps=20)
    opened.log.show()
    taken = snapshots.take(tmp_path / VIEWS)
    live_a_while(opened.log, seed=2, steps=20)
    change(tmp_path / "snapshots" / f"views-{taken}.db", "SELECT 1")
    ports = {seen: timeline.at(seen).values("SELECT DISTINCT port = -1 FROM nodes") for seen in (taken - 1, taken)}
    assert ports == {taken - 1: [(0,)], taken: [(1,)]}


def test_snapshots_of_other_code_or_damaged_ones_are_not_used(opened, tmp_path):
    snapshots = Snapshots(tmp_path / "snapshots")
    live_a_while(opened.log, seed=1, steps=20)
    opened.log.show()
    good = snapshots.take(tmp_path / VIEWS)
    for seed, harm in ((2, make_stale), (3, overwrite)):
        live_a_while(opened.log, seed=seed, steps=20)
        opened.log.show()
        harm(tmp_path / "snapshots" / f"views-{snapshots.take(tmp_path / VIEWS)}.db")
    assert snapshots.nearest(opened.log.head).name == f"views-{good}.db"
    assert snapshots.nearest(good - 1) is None


def test_snapshots_are_thinned_to_a_bounded_number_that_is_dense_near_the_present(opened, tmp_path):
    snapshots = Snapshots(tmp_path / "snapshots")
    for events in World(1).steps(80):
        opened.log.commit(events, ORIGIN)
        opened.log.show()
        snapshots.take(tmp_path / VIEWS)
        assert len(snapshots.positions()) <= KEPT
    kept = snapshots.positions()
    assert kept[0] < 10 and kept[-1] == opened.log.head
    oldest, newest = kept[KEPT // 2] - kept[0], kept[-1] - kept[KEPT // 2]
    assert newest < oldest


def test_looking_back_starts_from_a_moment_that_was_looked_at_before(opened, timeline, monkeypatch):
    live_a_while(opened.log)
    middle = opened.log.head // 2
    timeline.at(middle)
    folded = []
    apply = Views._apply
    monkeypatch.setattr(
        Views, "_apply", lambda views, facts: (folded.extend(f.position for f in facts), apply(views, facts))
    )
    assert timeline.at(middle + 3).position == middle + 3
    assert folded == [middle + 1, middle + 2, middle + 3]
