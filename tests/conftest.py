"""What every suite shares: skips that are loud, or failures when CI=true, and checks for what a test left behind."""

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

gc.disable()  # until all tests are collected: what that makes stays, and looking for garbage takes a quarter of it

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
PARTS = Path(__file__).resolve().parent.parent / "requirements-dev.txt"
IMPORTED_AS = {"websocket": "websocket-client", "grpc_tools": "grpcio-tools", "importlinter": "import-linter"}

with suppress(ModuleNotFoundError):  # the tests that need hypothesis are skipped without it
    from hypothesis import settings

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


def part_of(module: str) -> str | None:
    """The package of requirements-dev.txt that this module comes with, if one does."""
    package = IMPORTED_AS.get(module.partition(".")[0], module.partition(".")[0])
    pins = PARTS.read_text().splitlines() if PARTS.exists() else []
    return package if any(pin.startswith(f"{package}==") for pin in pins) else None


def absent_part(error: BaseException | None) -> str | None:
    """The package of requirements-dev.txt for want of which this error, or what caused it, was raised."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return part_of(error.name or "")
        error = error.__cause__
    return None


def skip_if_absent(report: Report, error: BaseException | None, where: Path) -> Report:
    """The same report, skipped when it failed for want of a package that the tests need and could not install."""
    if report.failed and (part := absent_part(error)):
        report.outcome = "skipped"
        report.longrepr = (str(where), 0, f"Skipped: {part} is not installed")
    return report


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, without file and line."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


LONGEST = ("test_fleet_chaos.py", "test_server_kill.py", "test_chaos.py", "test_openapi.py", "test_verify.py")


def pytest_collection_finish() -> None:
    """Look for garbage again, but not in what was collected."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process of several is left alone with one at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test whose fixtures lack a package; turn a skipped test into a failed one in CI."""
    error = call.excinfo.value if call.excinfo else None
    return fail_if_skipped(skip_if_absent((yield), error, item.path))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module that lacks a package; turn a skipped module into a failed one in CI."""
    report = yield
    excinfo = report.call.excinfo
    return fail_if_skipped(skip_if_absent(report, excinfo and excinfo.value, collector.path))


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
