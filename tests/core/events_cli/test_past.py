from contextlib import closing
from pathlib import Path
from uuid import UUID

import apsw
import pytest

from spear.events.record import Origin
from spear.projections.registry import TABLES
from spear.projections.snapshots import Snapshots
from tests.core.events_cli._support import STEPS, TEST, change, lines_of, log_in, new_node, ok, register
from tests.crash._history import World


@pytest.mark.parametrize(
    "table", ["nodes", "resources", "tasks", "instances", "executions", "objects", "files", "endpoints"]
)
def test_as_of_shows_what_the_live_views_showed_then(history, tmp_path, table):
    with log_in(tmp_path) as log:
        for number, events in enumerate(World(1).steps(STEPS // 2)):
            log.commit(events, Origin("tester", f"request-{number}"))
        head = log.head
    [found] = lines_of(history, f"as-of {head} {table} --limit 1000")
    [described] = [t for t in TABLES if t.name == table]
    with closing(apsw.Connection(str(tmp_path / "views.db"), vfs="unix")) as db:
        live = [described.load(values) for values in db.execute(f"SELECT * FROM {table}")]
    wanted = {getattr(row, described.key): {c: getattr(row, c) for c in described.columns} for row in live}
    assert {row[described.key]: row for row in found["rows"]} == wanted != {}
    assert len(ok(history, f"as-of {head} {table}").splitlines()) == len(wanted) + 1


@pytest.mark.parametrize("table", ["tasks", "endpoints"])
def test_as_of_pages_through_every_row_once(history, facts, table):
    command = f"as-of {len(facts)} {table}"
    [whole] = lines_of(history, f"{command} --limit 1000")
    rows, cursor = [], ""
    while cursor is not None:
        [page] = lines_of(history, f"{command} --limit 7", f"--after={cursor}")
        rows, cursor = rows + page["rows"], page["next_after"]
    assert rows == whole["rows"] and len(rows) > 7
    assert "more: --after" in ok(history, f"{command} --limit 7").splitlines()[-1]


def test_as_of_takes_a_time_and_before_all_time_there_was_nothing(history, facts):
    when = lines_of(history, "show 40")[0]["time"]
    position = max(fact["position"] for fact in facts if fact["time_us"] == facts[39]["time_us"])
    assert lines_of(history, f"as-of {when} tasks") == lines_of(history, f"as-of {position} tasks")
    assert lines_of(history, "as-of 1999-01-01T00:00:00+01:00 tasks")[0]["position"] == 0


def test_as_of_begins_at_the_nearest_snapshot(own, facts):
    position = Snapshots(own / "snapshots").take(own / "views.db")
    change(own / "snapshots" / f"views-{position}.db", "UPDATE nodes SET port = 4242")
    assert {row["port"] for row in lines_of(own, f"as-of {position} nodes")[0]["rows"]} == {4242}
    assert 4242 not in {row["port"] for row in lines_of(own, f"as-of {position - 1} nodes")[0]["rows"]}


@pytest.fixture(scope="module")
def lost_and_gone(tmp_path_factory) -> Path:
    """A node is registered, is lost, another one comes, the first one is deleted."""
    folder = tmp_path_factory.mktemp("lost")
    with log_in(folder) as log:
        node = new_node(1)
        log.commit(node.collect_events(), TEST)
        node.lose("silent")
        log.commit(node.collect_events(), TEST)
        register(log, 2)
        node.delete("gone")
        log.commit(node.collect_events(), TEST)
    return folder


def nodes_changed(folder: Path, command: str) -> list[tuple]:
    [found] = lines_of(folder, command)
    return [
        (c["change"], c["key"], c["before"], c["after"])
        for t in found["tables"]
        if t["table"] == "nodes"
        for c in t["changes"]
    ]


def test_diff_names_added_removed_and_changed_rows_with_their_columns(lost_and_gone):
    first, second = (str(UUID(int=number, version=4)) for number in (1, 2))
    assert nodes_changed(lost_and_gone, "diff 1 2") == [("changed", first, {"status": "online"}, {"status": "offline"})]
    added, removed = nodes_changed(lost_and_gone, "diff 2 4")
    assert (added[:3], added[3]["port"]) == (("added", second, {}), 2)
    assert (removed[:2], removed[3], removed[2]["status"]) == (("removed", first), {}, "offline")
    assert "status: online -> offline" in ok(lost_and_gone, "diff 1 2")
    assert "nothing changed" in ok(lost_and_gone, "diff 2 2")


def test_diff_says_when_it_is_cut(history, facts):
    [found] = lines_of(history, f"diff 0 {len(facts)} --limit 2")
    tasks = next(table for table in found["tables"] if table["table"] == "tasks")
    assert (len(tasks["changes"]), tasks["cut"]) == (2, True)
    assert "cut after 2 changes" in ok(history, f"diff 0 {len(facts)} --limit 2")
