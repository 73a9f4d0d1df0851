"""The tools that compare the log with itself and with the views: verify, replay."""

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from spear.cli._place import Place, find, head_of, opened, position_of
from spear.cli._progress import Progress
from spear.cli._text import as_json, plain
from spear.errors import Corrupt, StartupError, Unavailable
from spear.events.recorder import ApswRecorder
from spear.events.verify import Finding, verify
from spear.projections.reader import Reader
from spear.projections.snapshots import Snapshots
from spear.projections.views import compare, rebuild

_NOT_OURS = "views were folded by another version of the code: not compared"


@dataclass(frozen=True, slots=True)
class _Live:
    """A copy of the live views, which stands still; without `path` they were folded by other code."""

    position: int
    path: Path | None


def _copy_live(place: Place, folder: Path) -> _Live | None:
    if not place.views.exists():
        return None
    copies = Snapshots(folder)
    try:
        position = copies.take(place.views)
    except Unavailable as error:
        why = f"{place.views} cannot be read ({error.message}); delete it: the next start rebuilds it"
        raise Corrupt(why) from error
    return _Live(position, copies.nearest(position))


def _differences(recorder: ApswRecorder, live: Path, rebuilt: Path) -> list[str]:
    reader = Reader(live)
    position, digest = reader.values("SELECT position, hash FROM checkpoint")[0]
    reader.close()
    if position and digest != recorder.value("SELECT hash FROM events WHERE position = ?", (position,)):
        return [f"views: folded from another log; their event {position} is not this log's"]
    found = compare(live, rebuilt).items()
    return [
        f"views: table {table} at position {position} differs in the rows {', '.join(keys)}" for table, keys in found
    ]


def check(args: Namespace, progress: Progress) -> int:
    """Check the log from end to end, then rebuild the views and compare; 1 when anything is wrong."""
    place = find(args.data_dir)
    findings = verify(place.log, progress=progress)
    events, views = 0, "views not compared"
    if not findings:
        with opened(place) as recorder:
            events = head_of(recorder)
            views, findings = _check_views(place, recorder, progress)
    _report(args, progress, events=events, views=views, findings=findings)
    return 1 if findings else 0


def _check_views(place: Place, recorder: ApswRecorder, progress: Progress) -> tuple[str, list[Finding]]:
    with TemporaryDirectory(prefix="spear-verify-") as name:
        try:
            progress.step("copy views")
            live = _copy_live(place, Path(name))
        except Corrupt as error:
            return "views damaged", [Finding(None, None, error.message)]
        if live is None or live.path is None:
            return _NOT_OURS if live else "no views to compare", []
        if live.position > head_of(recorder):
            what = f"views: they reach position {live.position}, the log ends at {head_of(recorder)}"
            return "views ahead", [Finding(live.position, None, what)]
        rebuilt = Path(name) / "rebuilt.db"
        rebuild(rebuilt, recorder, until=live.position, progress=progress.step("rebuild views"))
        progress.step("compare views")
        wrong = _differences(recorder, live.path, rebuilt)
    return "views differ" if wrong else "views match", [Finding(None, None, what) for what in wrong]


def _report(args: Namespace, out: Progress, *, events: int, views: str, findings: Sequence[Finding]) -> None:
    if args.json:
        told = [asdict(finding) for finding in findings]
        out.say(as_json({"ok": not findings, "events": events, "views": views, "findings": told}))
    elif findings:
        out.say("\n".join(_told(finding) for finding in findings))
    else:
        out.say(f"ok: {events} events, chain whole, {views}")


def _told(finding: Finding) -> str:
    at = "" if finding.position is None else f"position {finding.position}: "
    where = "" if finding.offset is None else f"byte {finding.offset}: "
    return plain(at + where + finding.what)


def replay(args: Namespace, progress: Progress) -> int:
    """Rebuild the views beside the live ones, say how fast that was, and compare; 1 when they differ."""
    if args.keep and (args.keep.exists() or not args.keep.parent.is_dir()):
        raise StartupError(f"--keep: got {args.keep}, expected a new file in a directory that exists")
    place = find(args.data_dir)
    near = args.keep.parent if args.keep else None  # a rename works only within one file system
    with opened(place) as recorder, TemporaryDirectory(prefix="spear-replay-", dir=near) as name:
        progress.step("copy views")
        live = _copy_live(place, Path(name))
        until = _until(args, recorder, live)
        rebuilt = Path(name) / "rebuilt.db"
        seconds = _timed_rebuild(rebuilt, recorder, until, progress.step("replay"))
        progress.step("compare views")
        comparable = live.path if live and live.position == until else None
        wrong = _differences(recorder, comparable, rebuilt) if comparable else []
        if args.keep:
            rebuilt.rename(args.keep)
    verdict = "not compared" if comparable is None else "differ" if wrong else "match"
    _report_replay(args, progress, until=until, seconds=seconds, views=verdict, differences=wrong)
    return 1 if wrong else 0


def _until(args: Namespace, recorder: ApswRecorder, live: _Live | None) -> int:
    if args.until is not None:
        return position_of(recorder, "--until", args.until)
    head = head_of(recorder)
    return min(live.position, head) if live else head


def _timed_rebuild(path: Path, recorder: ApswRecorder, until: int, progress: Progress) -> float:
    began = time.perf_counter()
    rebuild(path, recorder, until=until, progress=progress)
    return time.perf_counter() - began


def _report_replay(
    args: Namespace, out: Progress, *, until: int, seconds: float, views: str, differences: list[str]
) -> None:
    rate = round(until / seconds)
    if args.json:
        told = {"position": until, "seconds": round(seconds, 3), "events_per_second": rate, "views": views}
        out.say(as_json({**told, "differences": differences}))
        return
    out.say(f"replayed {until} events in {seconds:.3f} s ({rate} events/s); live views: {views}")
    for line in differences:
        out.say(plain(line))
