"""What every benchmark shares: a place on a real disk, turns that alternate, one line for each result."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@contextmanager
def disk(name: str) -> Iterator[Path]:
    """A folder of its own that is gone afterwards; on a disk, because /tmp may be memory. BENCH_DIR says where."""
    with tempfile.TemporaryDirectory(prefix=f"spear-{name}-", dir=os.environ.get("BENCH_DIR", "/var/tmp")) as folder:
        yield Path(folder)


def fsync_us() -> float:
    """The median time of writing 4 KiB and waiting until they are on the disk, in microseconds."""
    taken = []
    with disk("fsync") as folder, (folder / "file").open("wb", buffering=0) as file:
        for turn in range(264):
            began = perf_counter()
            os.pwrite(file.fileno(), bytes(4096), turn % 64 * 4096)
            os.fdatasync(file.fileno())
            taken.append(perf_counter() - began)
    return median(taken[64:]) * 1e6


def child(script: str, *arguments: object) -> float:
    """The figure that another Python program beside this one prints."""
    with _started(script, *arguments) as process:
        out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{script}: exit status {process.returncode}")
    return float(json.loads(out))


@contextmanager
def background(script: str, *arguments: object) -> Iterator[int]:
    """A server beside this program for the time of a `with`; the port that it prints."""
    with _started(script, *arguments) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _started(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)


@dataclass(frozen=True)
class Pair:
    """The medians of turns that alternated."""

    ours: float
    baseline: float


def alternate(ours: Callable[[], float], baseline: Callable[[], float], *, rounds: int) -> Pair:
    """Measure both `rounds` times in turns, so that a noisy machine disturbs both alike."""
    figures = [(ours(), baseline()) for _ in range(rounds)]
    return Pair(median(a for a, _ in figures), median(b for _, b in figures))


def mark(good: bool) -> str:
    """How a reached or a missed target looks."""
    return "PASS" if good else "MISS"


def show_rates(title: str, pair: Pair, *, against: str, at_least: float, durable: bool = False) -> None:
    """Print one line about two rates per second; ours should be `at_least` that many times the baseline's."""
    ratio = pair.ours / pair.baseline
    shown = f"{ratio:.2f}x" if ratio >= 0.1 else f"{ratio:.2g}x"
    line = f"{title}: {pair.ours:,.0f}/s, {against} {pair.baseline:,.0f}/s, {shown} (target: at least {at_least}x)"
    _show(line, ratio >= at_least, durable)


def show_times(title: str, pair: Pair, *, against: str, at_most: float) -> None:
    """Print one line about two times in seconds; ours should be `at_most` that many times the baseline's."""
    ratio = pair.ours / pair.baseline
    ours, baseline = pair.ours * 1e6, pair.baseline * 1e6
    line = f"{title}: {ours:,.0f} us, {against} {baseline:,.0f} us, {ratio:.2f}x (target: at most {at_most}x)"
    _show(line, ratio <= at_most, False)


def show_bound(title: str, seconds: float, *, at_most: float) -> None:
    """Print one line about a time in seconds and its bound."""
    _show(f"{title}: {seconds:.2f} s (target: at most {at_most} s)", seconds <= at_most, True)


def show_at_most(title: str, figure: float, bound: float, unit: str, *, durable: bool = False) -> None:
    """Print one line about a figure that should not exceed its bound."""
    _show(f"{title}: {figure:,.3f} {unit} (target: at most {bound:g} {unit})", figure <= bound, durable)


def show_at_least(title: str, figure: float, bound: float, unit: str, *, durable: bool = False) -> None:
    """Print one line about a figure that should reach its bound."""
    _show(f"{title}: {figure:,.0f}{unit} (target: at least {bound:,.0f}{unit})", figure >= bound, durable)


def show_fact(title: str, text: str) -> None:
    """Print one line that has no target."""
    print(f"info  {title}: {text}", flush=True)


def _show(line: str, good: bool, durable: bool) -> None:
    synced = f" [fdatasync of 4 KiB: {fsync_us():.0f} us]" if durable else ""
    print(f"{mark(good)}  {line}{synced}", flush=True)
