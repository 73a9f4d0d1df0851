import json

import pytest

from spear.events.lock import DirectoryLock
from tests.core.events_cli._support import failed, lines_of, log_in, ok, register, run


@pytest.fixture(scope="module")
def exported(history) -> str:
    return ok(history, "export")


def test_an_imported_log_is_the_exported_one_to_the_last_byte(exported, tmp_path):
    (tmp_path / "log.jsonl").write_text(exported)
    told = ok(tmp_path / "new", "import", str(tmp_path / "log.jsonl"))
    assert told == f"imported {len(exported.splitlines())} events into {tmp_path / 'new' / 'sms.db'}\n"
    assert ok(tmp_path / "new", "export") == exported
    assert "chain whole" in ok(tmp_path / "new", "verify")
    with log_in(tmp_path / "new") as log:
        assert register(log, 1) == len(exported.splitlines()) + 1


def test_import_reads_standard_input_and_can_make_a_spearlets_log(exported, tmp_path):
    ok(tmp_path / "new", "import - --role spearlet", input=exported)
    assert (tmp_path / "new" / "spearlet.db").is_file()
    assert ok(tmp_path / "new", "export") == exported


def test_import_says_as_json_what_it_made(exported, tmp_path):
    (tmp_path / "log.jsonl").write_text(exported)
    [told] = lines_of(tmp_path / "new", "import", str(tmp_path / "log.jsonl"))
    head = json.loads(exported.splitlines()[-1])
    assert (told["events"], told["file"]) == (head["position"], str(tmp_path / "new" / "sms.db")), told


def test_export_stops_where_it_is_told(history, facts):
    assert [line["position"] for line in lines_of(history, "export --after 10 --until 14")] == [11, 12, 13, 14]
    when = lines_of(history, "show 40")[0]["time"]
    assert lines_of(history, f"export --until {when}")[-1]["time_us"] == facts[39]["time_us"]


def other_actor(lines: list[str]) -> None:
    lines[6] = lines[6].replace('"actor":"tester"', '"actor":"nobody"')


def other_state(lines: list[str]) -> None:
    fact = json.loads(lines[6])
    fact["state"]["more"] = 1
    lines[6] = json.dumps(fact)


def other_hash(lines: list[str]) -> None:
    fact = json.loads(lines[6])
    lines[6] = json.dumps({**fact, "hash": "0" * 64})


def one_missing(lines: list[str]) -> None:
    del lines[6]


def one_twice(lines: list[str]) -> None:
    lines.insert(6, lines[5])


def not_json(lines: list[str]) -> None:
    lines[6] = "{"


def unknown_field(lines: list[str]) -> None:
    lines[6] = lines[6].replace("{", '{"colour":"red",', 1)


def cut_short(lines: list[str]) -> None:
    del lines[7:]
    lines[6] = lines[6][:-5]


@pytest.mark.parametrize(
    "tamper",
    [
        other_actor,
        other_state,
        other_hash,
        one_missing,
        one_twice,
        not_json,
        unknown_field,
        cut_short,
    ],
)
def test_import_refuses_a_tampered_export_at_its_first_bad_line_and_leaves_nothing(exported, tmp_path, tamper):
    lines = exported.splitlines()
    tamper(lines)
    assert "line 7: " in failed(run(tmp_path / "new", "import -", input="\n".join(lines)), 1)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["lock"]


def test_import_refuses_an_export_without_its_beginning_or_without_anything(history, tmp_path):
    later = ok(history, "export --after 5")
    assert "line 1: position: got 6, expected 1" in failed(run(tmp_path, "import -", input=later), 1)
    assert "line 1: " in failed(run(tmp_path, "import -", input=""), 1)


def test_import_touches_no_directory_that_has_something_in_it(own, exported, tmp_path):
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    assert "sms.db" in failed(run(own, "import -", input=exported), 2)
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    assert "note.txt" in failed(run(tmp_path / "other", "import -", input="{}"), 2)


def test_import_waits_for_nobody_who_holds_the_directory(tmp_path):
    (tmp_path / "new").mkdir()
    with DirectoryLock(tmp_path / "new" / "lock", holder="a server"):
        assert "in use by a server" in failed(run(tmp_path / "new", "import -", input="{}"), 2)
