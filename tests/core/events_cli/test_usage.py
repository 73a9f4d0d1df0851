import subprocess
import sys

import pytest

from spear.events.record import Origin
from tests.core.events_cli._support import ROOT, failed, log_in, ok, recorded, register, run, started

READ_ONLY = ["tail", "stats", "verify", "replay", "export", "show 2", "as-of 2 nodes", "diff 1 2"]


def test_reading_works_beside_a_process_that_holds_the_log_and_writes(server, tmp_path):
    for number, command in enumerate(READ_ONLY, 4):
        assert ok(tmp_path, command)
        assert recorded(server) == number


def test_the_end_of_a_pipe_ends_a_command_quietly(history):
    argv = (sys.executable, "-m", "spear.events", "export", "--data-dir", str(history))
    with started(*argv, pipesize=4096) as export:
        assert export.stdout.readline().startswith("{")
        export.stdout.close()
        assert (export.wait(timeout=30), export.stderr.read()) == (0, "")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("show 99999", "POSITION: got 99999, expected a position from 1 to"),
        ("show x", "got 'x', expected a whole number"),
        ("tail --type NoSuch", "--type: got 'NoSuch', expected an event type"),
        ("tail --after yesterday", "--after: got 'yesterday', expected a position from 0 to"),
        ("tail --after 2026-01-31T12:00:00", "an RFC 3339 time"),
        ("tail --limit 0", "expected at least 1"),
        ("as-of 99999 nodes", "POSITION: got '99999'"),
        ("as-of " + "9" * 5000 + " nodes", "POSITION: got '999"),
        ("as-of 1 rockets", "invalid choice: 'rockets'"),
        ("as-of 1 nodes --after x", "--after: got 'x', expected a number"),
        ("diff 2 1", "B: got '1', expected a position or time not before A"),
        ("import /no/such/file", "error: /no/such/file: No such file or directory"),
        ("fly", "invalid choice: 'fly'"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line_that_names_it(history, command, said):
    assert said in failed(run(history, command), 2)


def test_a_directory_without_a_log_is_named_with_what_was_looked_for(tmp_path):
    told = failed(run(tmp_path, "tail"), 2)
    assert str(tmp_path) in told and "sms.db and spearlet.db" in told
    (tmp_path / "sms.db").write_text("no log at all, but longer than a header" * 100)
    assert "sms.db" in failed(run(tmp_path, "tail"), 1)


@pytest.mark.parametrize("command", ["tail", "as-of 1 nodes"])
def test_a_file_without_events_in_it_is_an_error_of_one_line(tmp_path, command):
    (tmp_path / "sms.db").touch()
    told = failed(run(tmp_path, command), 1)
    assert "sms.db cannot be read: no such table: events" in told


@pytest.mark.parametrize(
    ("where", "said"), [("/dev/full", "No space left on device"), ("&-", "standard output is closed")]
)
def test_output_that_goes_nowhere_is_an_error_of_one_line(history, where, said):
    argv = [sys.executable, "-m", "spear.events", "stats", "--data-dir", str(history)]
    done = subprocess.run(
        ["sh", "-c", f'"$@" >{where}', "sh", *argv], cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


def test_a_spearlets_log_is_found(tmp_path):
    with log_in(tmp_path, "spearlet.db") as log:
        register(log, 1)
    assert len(ok(tmp_path, "tail").splitlines()) == 1


def test_nothing_in_a_log_can_steer_the_terminal(tmp_path):
    with log_in(tmp_path) as log:
        register(log, 1, Origin("\x1b[31mred", "\x9b2J"))
    for command in ("tail", "show 1"):
        assert not {"\x1b", "\x9b"} & set(ok(tmp_path, command))
