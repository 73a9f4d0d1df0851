"""What the spear command does without a server: words in, words out."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from spear.cli.remote import completion
from spear.cli.remote.commands import COMMANDS, make_parser
from spear.cli.remote.endings import Ended, Exit, exit_for, exit_of_run
from spear.cli.remote.following import Message, messages
from spear.cli.remote.output import Output, cell, moment, timed
from spear.cli.remote.server import Server, address, path_of, refusal

HERE = address("localhost:8080")
HEAVY = {"gevent", "flask", "apsw", "eventsourcing", "wasmtime", "zmq", "grpc"}
RUBBISH = [
    "",
    "ftp://host",
    "http://",
    "http://host:port",
    "http://host:99999",
    "http://host?x=1",
    "http://a b",
    "x\ny",
]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("https://spear.example/base/", "https://spear.example:443/base"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_is_understood_as_people_write_it(text, meant):
    assert str(address(text)) == meant


@pytest.mark.parametrize("text", RUBBISH)
def test_what_is_no_address_is_wrong_usage(text):
    with pytest.raises(Ended) as caught:
        address(text)
    assert caught.value.exit is Exit.USAGE
    assert "http://localhost:8080" in caught.value.message


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(Ended) as caught:
        address("http://me:secret@host")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "grüße"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(token):
    with pytest.raises(Ended) as caught:
        Server(HERE, token=token)
    assert token not in caught.value.message


def test_a_part_of_a_path_cannot_leave_its_place():
    assert path_of("tasks", "../nodes?x#y") == "/api/v1/tasks/..%2Fnodes%3Fx%23y"


@pytest.mark.parametrize(
    ("status", "exit"),
    [(400, 5), (401, 8), (403, 8), (404, 3), (409, 5), (412, 5), (422, 5), (429, 7), (500, 1), (502, 1), (503, 7), (504, 6)],
)  # fmt: skip
def test_each_http_status_has_its_exit_status(status, exit):
    assert exit_for(status) == exit


def test_a_refusal_is_told_in_the_servers_words():
    body = b'{"error": "TASK_NOT_FOUND", "message": "task x not found", "details": {"a": 1}}'
    error = refusal(404, body, where=HERE)
    assert (error.message, error.code, error.exit, error.details) == ("task x not found", "TASK_NOT_FOUND", 3, {"a": 1})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b"\xff"])
def test_an_answer_that_is_not_spears_fails_with_its_status_and_is_never_mistaken_for_not_found(body):
    error = refusal(404, body, where=HERE)
    assert error.exit is Exit.FAILED
    assert "404" in error.message


def test_an_unknown_route_is_a_failure_and_not_a_missing_thing():
    body = b'{"error": "ROUTE_NOT_FOUND", "message": "no route GET /x", "details": {}}'
    assert refusal(404, body, where=HERE).exit is Exit.FAILED


@pytest.mark.parametrize(("code", "status"), [(0, 0), (3, 3), (255, 255), (256, 255), (-9, 255)])
def test_an_exit_code_that_does_not_fit_never_becomes_a_success(code, status):
    assert exit_of_run(code) == status


def test_times_are_rfc_3339_in_json_and_null_when_they_never_were():
    document = {"registered_at": 1, "rows": [{"ts_ms": 1500, "completed_at_ms": 0}], "duration_ms": 7, "seq": 3}
    assert timed(document) == {
        "registered_at": "1970-01-01T00:00:01.000Z",
        "rows": [{"ts": "1970-01-01T00:00:01.500Z", "completed_at": None}],
        "duration_ms": 7,
        "seq": 3,
    }


def test_a_users_own_words_are_never_taken_for_times():
    document = {"metadata": {"registered_at": "monday", "created_at_ms": ""}}
    assert timed(document)["metadata"]["registered_at"] == "monday"


def test_times_in_tables_are_local():
    script = "from spear.cli.remote.output import cell; print(cell('registered_at', 0), cell('registered_at', 3600))"
    done = subprocess.run([sys.executable, "-c", script], env={"TZ": "UTC-3"}, capture_output=True, text=True)
    assert done.stdout == "- 1970-01-01 04:00:00\n"
    assert moment("registered_at", 3600) == datetime(1970, 1, 1, 1, tzinfo=UTC)


def test_nothing_that_a_server_says_can_steer_the_terminal(capsys):
    Output().rows({"tasks": [{"name": "\x1b[31mred\n"}]}, "tasks", ["name"])
    Output().record({"name": "\x9b2J"})
    Output().one({"id": "\x1b]0;x\x07"}, "id")
    assert not {"\x1b", "\x9b", "\x07"} & set(capsys.readouterr().out)


def test_a_list_that_goes_on_says_how_on_standard_error(capsys):
    page = {"tasks": [{"name": "a"}], "next_after": 7}
    Output().rows(page, "tasks", ["name"])
    told = capsys.readouterr()
    assert (told.out, told.err) == ("NAME\na\n", "more: --after 7, or --all\n")
    Output("json").rows(page, "tasks", ["name"])
    told = capsys.readouterr()
    assert (json.loads(told.out), told.err) == (page, "")


def test_long_values_are_cut_in_lists_and_whole_in_records():
    assert cell("name", "x" * 100, width=60) == "x" * 59 + "…"
    assert cell("name", "x" * 100) == "x" * 100


STREAM = b'retry: 1000\n\n: alive\n\nid: 7\nevent: NodeLost\ndata: {"a": "\xc3\xa4"}\n\nid: 8\r\ndata: 1\r\n\r\n'


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_is_the_same_however_it_is_cut(size):
    pieces = (STREAM[at : at + size] for at in range(0, len(STREAM), size))
    found = [message for message in messages(pieces) if message]
    assert found == [Message("7", "NodeLost", {"a": "ä"}), Message("8", "", 1)]


def test_a_message_that_was_cut_off_is_not_told():
    assert [m for m in messages(iter([b'id: 7\ndata: {"a": 1}\n'])) if m] == []


def test_a_stream_without_line_ends_is_given_up():
    with pytest.raises(Ended):
        list(messages(iter([b"x" * 1024 * 1024] * 20)))


def test_every_command_says_what_it_does():
    assert [command.words for command in COMMANDS if not (command.does.__doc__ or "").endswith(".")] == []


def completed(*words: str) -> list[str]:
    """What bash offers after these words, the last one unfinished."""
    lines = [completion.script("bash", make_parser()), 'COMP_WORDS=("$@")', "COMP_CWORD=$(($# - 1))", "_spear"]
    script = "\n".join([*lines, 'printf "%s\\n" "${COMPREPLY[@]}"'])
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["spear", "ta"], {"task"}),
        (["spear", "--server", "task", "exec", "l"], {"list", "logs"}),
        (["spear", "task", "submit", "--priority", "h"], {"high"}),
        (["spear", "-o", ""], {"table", "json"}),
        (["spear", "completion", ""], {"bash", "zsh", "fish"}),
        (["spear", "object", "put", "--if"], {"--if-absent", "--if-version"}),
        (["spear", "file", "get", "xyz", ""], set()),
    ],
)
def test_bash_completes_commands_options_and_their_words(words, offered):
    assert set(completed(*words)) == offered


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_knows_every_command(shell, command):
    group, _, verb = command.words.rpartition(" ")
    assert f"{group}:{verb}" in completion.script(shell, make_parser())


def test_the_command_starts_without_the_platform():
    script = "import sys, spear.cli.remote.main; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())
