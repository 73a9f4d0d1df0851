"""What every suite shares: skips that are loud, or failures when CI=true, and checks for what a test left behind."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import pytest
from hypothesis import settings

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")  # how long an example takes says more about the machine than about us


def in_ci() -> bool:
    """Whether a skip counts as a failure."""
    return os.environ.get("CI", "").lower() == "true"


def fail_if_skipped(report: Report) -> Report:
    """The same report, failed when it is a skip and this is CI; expected failures stay what they are."""
    if report.skipped and in_ci() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true forbids: {reason_of(report)}"
    return report


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, without file and line."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


LONGEST = ("test_fleet_chaos.py", "test_server_kill.py", "test_chaos.py", "test_openapi.py", "test_verify.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process of several is left alone with one at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one in CI."""
    return fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failed one in CI."""
    return fail_if_skipped((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one loud line for each reason what was not tested."""
    reasons = Counter(reason_of(report) for report in terminalreporter.getreports("skipped"))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"NOT TESTED ({count} skipped): {reason}", red=True, bold=True)


def own(kind: str) -> list[str]:
    """The entries of this process's /proc directory `kind`; skips the test where there is none."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("leak checks need /proc")
    return os.listdir(f"/proc/self/{kind}")


def native_threads() -> set[str]:
    """Every thread of this process, those that Python does not know included."""
    return set(own("task"))


def open_files() -> set[str]:
    """Every file descriptor of this process with what it points to."""
    found = set()
    for number in own("fd"):
        with suppress(FileNotFoundError):  # the descriptor that listed the directory is gone by now
            found.add(f"{number} -> {os.readlink(f'/proc/self/fd/{number}')}")
    return found


@contextmanager
def nothing_new(look: Callable[[], set[str]], *, within_s: float = 5.0) -> Iterator[None]:
    """Fail when `look` still shows more than before, `within_s` seconds after the body."""
    before = look()
    yield
    deadline = time.monotonic() + within_s
    while (extra := look() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not extra, f"left behind: {sorted(extra)}; Python's threads: {threading.enumerate()}"


@pytest.fixture
def no_leaked_threads() -> Iterator[None]:
    """Fail a test whose native threads live on after it."""
    with nothing_new(native_threads):
        yield


@pytest.fixture
def no_leaked_files() -> Iterator[None]:
    """Fail a test that leaves file descriptors open."""
    with nothing_new(open_files):
        yield
