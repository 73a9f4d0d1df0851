import json
from contextlib import closing

import apsw
import pytest

from spear.events.recorder import checksummed_vfs
from tests.core.events_cli._support import (
    change,
    failed,
    flip_a_byte,
    lines_of,
    ok,
    run,
)


def test_verify_says_how_much_is_whole(history, facts):
    assert ok(history, "verify") == f"ok: {len(facts)} events, chain whole, views match\n"
    assert lines_of(history, "verify")[0] == {"ok": True, "events": len(facts), "views": "views match", "findings": []}


def test_verify_names_the_positions_that_a_flipped_byte_made_unreadable(own, facts):
    flip_a_byte(own / "sms.db", facts[30])
    done = run(own, "verify")
    assert done.returncode == 1 and "position " in done.stdout and "ok:" not in done.stdout
    report = json.loads(run(own, "verify --json").stdout)
    named = [finding["position"] for finding in report["findings"] if finding["position"]]
    assert not report["ok"] and 0 < named[0] <= 31


def test_events_are_shown_up_to_the_damage_and_its_place_is_named(own, facts):
    flip_a_byte(own / "sms.db", facts[30])
    for command in ("export", "tail --after 0 --json"):
        done = run(own, command)
        shown = [json.loads(line)["position"] for line in done.stdout.splitlines()]
        assert shown == list(range(1, len(shown) + 1)) != []
        assert f"after position {len(shown)} cannot be read" in failed(done, 1)
    assert "cannot be read" in failed(run(own, "replay"), 1)


def test_an_event_that_was_rewritten_with_care_breaks_the_chain(own):
    with closing(apsw.Connection(str(own / "sms.db"), vfs=checksummed_vfs())) as db:
        db.execute("DROP TRIGGER events_keep_update")
        db.execute("UPDATE events SET actor = 'nobody' WHERE position = 7")
    assert "position 7: the content does not match its hash" in run(own, "verify").stdout
    assert "event 7: the content does not match its hash" in failed(run(own, "export"), 1)


def test_verify_and_replay_name_a_row_that_the_live_views_have_wrong(own):
    change(own / "views.db", "UPDATE nodes SET port = port + 1 WHERE seq = 1")
    with closing(apsw.Connection(str(own / "views.db"), vfs="unix")) as db:
        key = db.execute("SELECT uuid FROM nodes WHERE seq = 1").get
    for command in ("verify", "replay"):
        done = run(own, command)
        assert done.returncode == 1 and "table nodes" in done.stdout and key in done.stdout


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE checkpoint SET hash = zeroblob(32)", "another log"),
        ("UPDATE checkpoint SET position = 99999", "the log ends at"),
        ("DROP TABLE checkpoint", "delete it"),
    ],
)
def test_verify_refuses_views_that_cannot_belong_to_the_log(own, sql, said):
    change(own / "views.db", sql)
    done = run(own, "verify")
    assert done.returncode == 1 and said in done.stdout


def test_verify_leaves_views_alone_that_other_code_folded(own):
    change(own / "views.db", "UPDATE checkpoint SET fingerprint = 'older'")
    assert "another version of the code: not compared" in ok(own, "verify")
    (own / "views.db").unlink()
    assert "no views to compare" in ok(own, "verify")


def test_replay_rebuilds_until_a_position_and_keeps_the_views_when_asked(own, tmp_path):
    [found] = lines_of(own, "replay", "--until", "20", "--keep", str(tmp_path / "kept.db"))
    assert (found["position"], found["views"]) == (20, "not compared") and found["events_per_second"] > 0
    with closing(apsw.Connection(str(tmp_path / "kept.db"), vfs="unix")) as db:
        assert db.execute("SELECT position FROM checkpoint").get == 20
    assert lines_of(own, "replay")[0]["views"] == "match"
    assert "expected a new file" in failed(run(own, "replay", "--keep", str(tmp_path / "kept.db")), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kept.db"]
