"""Who waits at a terminal sees a bar: time is the tests' own, the terminal is a real one."""

import io
import os
import select
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from spear.cli import _place, _progress, _reading
from spear.cli._progress import Progress
from spear.cli.events import COMMANDS, main
from spear.events import recorder
from tests.core.events_cli._support import ok

ERASE = "\r\x1b[K"
WORDS = {
    "tail": "tail --after 0",
    "show": "show 2",
    "stats": "stats",
    "verify": "verify",
    "replay": "replay",
    "as-of": "as-of 40 tasks",
    "diff": "diff 10 40",
    "export": "export",
    "import": "import {file}",
}
NAMES = [command.name for command in COMMANDS]


class Quick(threading.Event):
    """A pause that the work's end always cuts short."""

    asked: list[float]

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0)
        return super().wait()


class Slow(Quick):
    """A pause that is over at once, however long it should be."""

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0)
        return threading.Event.wait(self, 0.001)


class Terminal:
    """A real terminal: `screen` is what a process writes to, `text` what came out so far."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self.screen = os.fdopen(slave, "w", encoding="utf-8")
        self._came = b""

    @property
    def text(self) -> str:
        while select.select([self._master], [], [], 0)[0]:
            self._came += os.read(self._master, 65536)
        return self._came.decode()

    def shows(self, word: str) -> None:
        """Return when `word` was shown."""
        deadline = time.monotonic() + 30
        while word not in self.text:
            assert time.monotonic() < deadline, f"{word!r} was never shown, but {self.text!r}"
            select.select([self._master], [], [], 0.1)

    def close(self) -> None:
        self.screen.close()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Quick]], list[float]]:
    """Decides how a bar's pauses go; gives how long each of them should have been."""

    def of(kind: type[Quick]) -> list[float]:
        kind.asked = []
        monkeypatch.setattr(_progress, "Event", kind)
        return kind.asked

    return of


def held(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, until: Callable[[], object], *, at: int = 1
) -> None:
    """From its `at`-th call on, what `where` calls `name` begins only after `until`."""
    real, calls = getattr(where, name), iter(range(1, 1_000_000))

    def slow(*words: object, **options: object) -> object:
        if next(calls) >= at:
            until()
        return real(*words, **options)

    monkeypatch.setattr(where, name, slow)


@pytest.fixture
def words(history: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """A command's words, on the shared history."""
    file, new = tmp_path / "log.jsonl", tmp_path / "new"

    def of(name: str) -> list[str]:
        if name == "import":
            file.write_text(ok(history, "export"))
        data = new if name == "import" else history
        return [*shlex.split(WORDS[name].format(file=file)), "--data-dir", str(data)]

    return of


def test_every_command_is_tried_here():
    assert list(WORDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_takes_longer_than_a_second_shows_a_bar_on_a_terminal(
    name, words, terminal, pause, monkeypatch, capsys
):
    asked, argv = pause(Slow), words(name)
    monkeypatch.setattr(sys, "stderr", terminal.screen)
    held(monkeypatch, recorder, "_connect", lambda: terminal.shows(f"\r{name} ["))
    assert main(argv) == 0
    assert asked[:2] == [1.0, 0.1]
    assert terminal.text.endswith(ERASE)
    assert "\n" not in terminal.text and "\r" not in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_ends_within_a_second_shows_none(name, words, terminal, pause, monkeypatch, capsys):
    asked, argv = pause(Quick), words(name)
    monkeypatch.setattr(sys, "stderr", terminal.screen)
    assert main(argv) == 0
    assert (asked, terminal.text) == ([1.0], "")
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_nothing_on_what_is_no_terminal(name, words, pause, monkeypatch, capfd):
    asked, argv = pause(Slow), words(name)
    held(monkeypatch, recorder, "_connect", lambda: time.sleep(0.01))
    assert main(argv) == 0
    assert (asked, capfd.readouterr().err) == ([], "")


@pytest.mark.parametrize(
    ("command", "next_step", "share"),
    [
        ("tail", (recorder.ApswRecorder, "query"), "10 of {all}"),
        ("tail --type ObjectPut", (recorder.ApswRecorder, "query"), " of {all}"),
        ("export", (recorder.ApswRecorder, "query"), "10 of {all}"),
        ("show", (_reading, "_full"), "{later} of {later}"),
    ],
)
def test_the_bar_says_how_much_of_the_past_was_read(
    command, next_step, share, words, facts, terminal, pause, monkeypatch, capsys
):
    pause(Slow)
    name, *more = command.split()
    monkeypatch.setattr(sys, "stderr", terminal.screen)
    for module in (_place, _reading):
        monkeypatch.setattr(module, "_CHUNK", 10)
    told = share.format(all=len(facts), later=len(facts) - 2)
    held(monkeypatch, *next_step, lambda: terminal.shows(told), at=1 if name == "show" else 2)
    assert main([*words(name), *more]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", ["tail", "export"])
def test_a_bar_and_lines_on_one_terminal_never_share_a_row(name, words, terminal, pause, monkeypatch, history):
    pause(Slow)
    monkeypatch.setattr(_place, "_CHUNK", 20)
    held(monkeypatch, recorder.ApswRecorder, "query", lambda: terminal.shows(f"\r{name} ["))
    with open(os.dup(terminal.screen.fileno()), "w", encoding="utf-8") as same:
        monkeypatch.setattr(sys, "stderr", terminal.screen)
        monkeypatch.setattr(sys, "stdout", same)
        assert main(words(name)) == 0
    rows = [row.removesuffix("\r").split(ERASE)[-1] for row in terminal.text.split("\n")[:-1]]
    assert rows == ok(history, WORDS[name]).splitlines()


def test_who_follows_sees_the_bar_only_until_the_past_is_read(words, facts, terminal, pause, monkeypatch, capsys):
    pause(Slow)
    seen: list[str] = []

    def interrupt(seconds: float) -> None:
        seen.append(terminal.text)
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", terminal.screen)
    monkeypatch.setattr(_reading.time, "sleep", interrupt)
    held(monkeypatch, recorder, "_connect", lambda: terminal.shows("\rtail ["))
    assert main([*words("tail"), "--follow"]) == 0
    assert seen == [terminal.text] and seen[0].endswith(ERASE)
    assert len(capsys.readouterr().out.splitlines()) == len(facts)


class Screen(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(done: int, total: int, stream: TextIO, pause: Callable[[type[Quick]], list[float]]) -> str:
    pause(Slow)
    with Progress("work", stream=stream) as progress:
        progress(done, total)
        deadline = time.monotonic() + 30
        while stream.isatty() and f"{done}" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.001)
        return stream.getvalue()


def test_a_bar_has_the_share_that_is_done(pause):
    assert "\rwork [#######                       ]  25% 50 of 200" in drawn(50, 200, Screen(), pause)
    assert drawn(50, 200, io.StringIO(), pause) == ""


def test_work_without_a_known_end_counts_and_moves(pause):
    assert "] 50" in drawn(50, 0, Screen(), pause)
    with Progress("work", stream=Screen()) as progress:
        assert progress._text().endswith("] 0 s")


def test_a_terminal_that_is_gone_stops_nothing(pause, capsys):
    pause(Slow)
    opened = Terminal()
    with Progress("work", stream=opened.screen) as progress:
        opened.shows("work")
        os.close(opened._master)
        progress.say("all is well")
    assert capsys.readouterr().out == "all is well\n"
    with suppress(OSError):  # what could not be written
        opened.screen.close()
