"""Every log line is one line with its correlation id, whichever greenlet or native thread wrote it."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spear.errors import StartupError
from spear.logs import TRACE, Format, bound, configure
from spear.ports import Level

LOGGER = logging.getLogger("spear.test")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log file whose directory is not there yet."""
    return tmp_path / "logs" / "spear.log"


def only_line(file: Path) -> dict[str, object]:
    """The one line of the file, which must be a JSON object."""
    (line,) = file.read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_a_json_line_has_time_level_logger_message_and_extra_fields(file: Path) -> None:
    configure(Level.INFO, Format.JSON, file=file)
    LOGGER.warning("node %s is late", "n1", extra={"node": "n1", "late_ms": 12})
    line = only_line(file)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("ts")))
    assert line == {
        "level": "warn",
        "logger": "spear.test",
        "message": "node n1 is late",
        "node": "n1",
        "late_ms": 12,
    }


def test_a_line_goes_to_stderr_and_to_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Level.INFO, Format.JSON, file=file)
    LOGGER.info("hello")
    assert file.read_text(encoding="utf-8") == capsys.readouterr().err != ""


def test_configuring_again_replaces_what_was_configured(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Level.INFO, Format.JSON, file=tmp_path / "first.log")
    configure(Level.INFO, Format.JSON, file=file)
    LOGGER.info("hello")
    assert only_line(file)["message"] == "hello"
    assert capsys.readouterr().err == file.read_text(encoding="utf-8")
    assert (tmp_path / "first.log").read_text(encoding="utf-8") == ""


def test_bound_lines_carry_the_correlation_id_and_others_none(file: Path) -> None:
    configure(Level.INFO, Format.JSON, file=file)
    with bound("outer"):
        with bound("inner"):
            LOGGER.info("a")
        LOGGER.info("b")
    LOGGER.info("c")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line.get("correlation_id") for line in lines] == ["inner", "outer", None]


def test_levels_below_the_configured_one_are_dropped(file: Path) -> None:
    for level in Level:
        configure(level, Format.JSON, file=file)
        for number in (TRACE, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            LOGGER.log(number, "at %s", level)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    words = list(Level)
    for level in Level:
        assert [line["level"] for line in lines if line["message"] == f"at {level}"] == words[words.index(level) :]


def test_an_exception_stays_within_its_json_line(file: Path) -> None:
    configure(Level.INFO, Format.JSON, file=file)
    try:
        raise ValueError("broken")
    except ValueError:
        LOGGER.exception("failed")
    assert str(only_line(file)["exception"]).endswith("ValueError: broken")


def test_extra_fields_cannot_forge_the_standard_ones(file: Path) -> None:
    configure(Level.INFO, Format.JSON, file=file)
    LOGGER.info("true", extra={"level": "error", "logger": "x", "path": Path("/p"), "bad": "\udc80"})
    line = only_line(file)
    assert (line["level"], line["logger"], line["path"], line["bad"]) == ("info", "spear.test", "/p", "\udc80")


@pytest.mark.parametrize("format", [Format.PRETTY, Format.COMPACT])
def test_text_is_one_plain_line_even_if_the_message_is_not(file: Path, format: Format) -> None:
    configure(Level.INFO, format, file=file)
    with bound("c1"):
        LOGGER.info("one\ntwo\x1b[31m", extra={"node": "n\n1"})
    text = file.read_text(encoding="utf-8")
    assert text.endswith(" spear.test: one\\ntwo\\x1b[31m correlation_id=c1 node=n\\n1\n")
    assert text.count("\n") == 1


def test_pretty_shows_a_traceback_as_lines_and_compact_as_one(file: Path) -> None:
    lines = {}
    for format in (Format.PRETTY, Format.COMPACT):
        configure(Level.INFO, format, file=file.with_suffix(f".{format}"))
        try:
            raise ValueError("broken")
        except ValueError:
            LOGGER.exception("failed")
        lines[format] = len(file.with_suffix(f".{format}").read_text(encoding="utf-8").splitlines())
    assert lines[Format.PRETTY] > 3 and lines[Format.COMPACT] == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_pretty_is_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    configure(Level.INFO, Format.PRETTY)
    LOGGER.error("hello")
    assert ("\x1b[31mERROR\x1b[0m" in stream.getvalue()) is terminal


def test_a_file_that_cannot_be_opened_stops_the_start_and_changes_nothing(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(StartupError, match=r"^log\.file: got '.*', expected a file to append to: Is a directory$"):
        configure(Level.INFO, Format.JSON, file=tmp_path)
    assert logging.getLogger().handlers == before


PATCHED = """
from gevent import monkey; monkey.patch_all()
import logging, sys
from pathlib import Path
import gevent
from gevent.monkey import get_original
from spear.logs import Format, bound, configure
from spear.ports import Level

configure(Level.INFO, Format.JSON, file=Path(sys.argv[1]))

finished = []

def write(name):
    for number in range(2000):
        logging.getLogger(f"spear.{name}").info(name)
        if number % 50 == 0 and name.startswith("green"):
            gevent.sleep(0)
    finished.append(name)

def request(name):
    with bound(name):
        write(name)
        gevent.spawn(write, f"{name}'s child").join()

start_native = get_original("_thread", "start_new_thread")
for number in range(4):
    start_native(write, (f"native{number}",))
gevent.joinall([gevent.spawn(request, f"green{number}") for number in range(4)])
while len(finished) < 12:
    gevent.sleep(0.01)
"""


def test_a_greenlet_keeps_its_correlation_id_to_itself_while_native_threads_log_too(file: Path) -> None:
    command = [sys.executable, "-c", PATCHED, str(file)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 12 * 2000
    assert {(line["message"], line.get("correlation_id")) for line in lines} == {
        *((f"green{number}", f"green{number}") for number in range(4)),
        *((f"green{number}'s child", None) for number in range(4)),
        *((f"native{number}", None) for number in range(4)),
    }
