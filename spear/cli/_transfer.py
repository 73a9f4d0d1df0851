"""The tools that carry a whole log elsewhere: export, import."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, BinaryIO

import apsw
import msgspec

from spear.cli._place import LOG_NAMES, find, head_of, opened, pages, position_of
from spear.cli._progress import Progress
from spear.cli._text import as_json
from spear.errors import Corrupt, StartupError, Unavailable
from spear.events import chain
from spear.events.lock import DirectoryLock
from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder
from spear.projections.views import Progress as Told

_LOCK = "lock"
_CHUNK = 1000
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)]
_Hash = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One exported event: every stored field, its state as it is stored, its hash in hex."""

    position: _Number
    originator_id: str
    version: _Number
    topic: str
    time_us: _Time
    actor: str
    cause: _Number
    correlation: str
    state: msgspec.Raw
    hash: _Hash


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def export(args: Namespace, progress: Progress) -> int:
    """Write events to standard output as JSON lines, checking the chain on the way."""
    with opened(find(args.data_dir)) as recorder:
        after = position_of(recorder, "--after", args.after)
        until = position_of(recorder, "--until", args.until) if args.until else head_of(recorder)
        for facts in _checked(recorder, after=after, until=until):
            with progress.aside():
                sys.stdout.buffer.writelines(_line_of(fact) for fact in facts)
            progress(facts[-1].position - after, until - after)
    return 0


def _checked(recorder: ApswRecorder, *, after: int, until: int) -> Iterator[list[Recorded]]:
    previous = recorder.value("SELECT hash FROM events WHERE position = ?", (after,)) or chain.GENESIS
    for facts in pages(recorder, after=after, until=until):
        broken = chain.first_break(previous, facts, after=after)
        if broken:
            raise Corrupt(f"event {broken[0]}: {broken[1]}; the export stops before it")
        yield facts
        previous, after = facts[-1].hash, facts[-1].position


def _line_of(fact: Recorded) -> bytes:
    try:
        msgspec.json.decode(fact.state)
    except msgspec.DecodeError as error:
        raise Corrupt(f"event {fact.position}: its state is not JSON: {error}") from error
    fields = msgspec.structs.asdict(fact) | {"state": msgspec.Raw(fact.state), "hash": fact.hash.hex()}
    return _encode(Line(**fields)) + b"\n"


def bring_in(args: Namespace, progress: Progress) -> int:
    """Make a log from an export in an empty data directory: all of it, or nothing at all."""
    target: Path = args.data_dir / LOG_NAMES[args.role]
    with _source(args.file) as source:
        args.data_dir.mkdir(parents=True, exist_ok=True)
        _check_empty(args.data_dir)
        with DirectoryLock(args.data_dir / _LOCK, holder="an import"):
            _check_empty(args.data_dir)  # once more: a server may have come and gone before the lock was ours
            with TemporaryDirectory(prefix="importing-", dir=args.data_dir) as name:
                events = _build(Path(name) / target.name, source, progress)
                _settle(Path(name) / target.name, target)
    told = {"events": events, "file": str(target)}
    progress.say(as_json(told) if args.json else f"imported {events} events into {target}")
    return 0


def _source(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb")


def _check_empty(data_dir: Path) -> None:
    found = sorted(path.name for path in data_dir.iterdir() if path.name != _LOCK)
    if found:
        raise StartupError(
            f"--data-dir: {data_dir} has {', '.join(found[:5])} in it; an import needs a new or empty one"
        )


def _build(path: Path, source: BinaryIO, progress: Told) -> int:
    facts = _facts(source, progress)
    try:
        with closing(ApswRecorder(path)) as recorder:
            while batch := list(islice(facts, _CHUNK)):
                _restore(recorder, batch)
            return recorder.position
    except apsw.Error as error:
        raise Unavailable(f"{path} cannot be written: {error}") from error


def _facts(source: BinaryIO, progress: Told) -> Iterator[Recorded]:
    done, total = 0, os.fstat(source.fileno()).st_size  # a pipe's size is 0
    for number, text in enumerate(source, 1):
        yield _fact(number, text)
        done += len(text)
        progress(done, total)
    if not done:
        raise Corrupt("line 1: got nothing, expected an event; an export has at least one line")


def _fact(number: int, text: bytes) -> Recorded:
    try:
        line = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"line {number}: {error}") from error
    if line.position != number:
        raise Corrupt(f"line {number}: position: got {line.position}, expected {number}")
    fields = msgspec.structs.asdict(line) | {"state": bytes(line.state), "hash": bytes.fromhex(line.hash)}
    return Recorded(**fields)


def _restore(recorder: ApswRecorder, facts: list[Recorded]) -> None:
    try:
        recorder.restore(facts)
    except Corrupt as error:
        raise Corrupt(f"line {error.details['position']}: {error.message}") from error
    except apsw.ConstraintError as error:
        first, last = facts[0].position, facts[-1].position
        raise Corrupt(f"lines {first} to {last}: two events have the same place in a stream") from error


def _settle(unfinished: Path, target: Path) -> None:
    if unfinished.with_name(unfinished.name + "-wal").exists():
        raise Unavailable(f"{unfinished} could not be completed; is the disk full?")
    _sync(unfinished)
    unfinished.rename(target)
    _sync(target.parent)
    _sync(target.parent.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
