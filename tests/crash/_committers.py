"""Processes that commit until they are killed, and say what was acknowledged."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from struct import Struct
from uuid import UUID

from spear.events.log import EventLog
from tests.crash._history import Events, World
from tests.crash._support import ORIGIN, store

_RECORD = Struct(">Q16s")
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def commit_until_killed(folder: Path, seed: int, committers: int, steps: int, pipe: Connection) -> None:
    """Open the store and commit from `committers` threads; every acknowledged event goes into the pipe."""
    worlds = [World(seed * committers + number).steps(steps) for number in range(committers)]
    with store(folder) as (log, _), ThreadPoolExecutor(committers) as pool:
        for done in [pool.submit(_commit, log, world, pipe.fileno()) for world in worlds]:
            done.result()
        signal.pause()


def _commit(log: EventLog, world: Iterator[Events], pipe: int) -> None:
    for events in world:
        first = log.commit(events, ORIGIN).first
        told = [_RECORD.pack(first + number, event.originator_id.bytes) for number, event in enumerate(events)]
        os.write(pipe, b"".join(told))


def kill_after(
    folder: Path, *, seed: int, acknowledged: int, committers: int = 1, steps: int = 100_000
) -> dict[int, str]:
    """Let a process commit, kill it when `acknowledged` events were; returns all that were, position -> stream."""
    ours, theirs = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=commit_until_killed, args=(folder, seed, committers, steps, theirs), daemon=True)
    process.start()
    theirs.close()
    told = b""
    with ours:
        while len(told) < acknowledged * _RECORD.size and (more := os.read(ours.fileno(), 65536)):
            told += more
        process.kill()
        while more := os.read(ours.fileno(), 65536):
            told += more
    process.join()
    whole = len(told) // _RECORD.size * _RECORD.size
    return {position: str(UUID(bytes=stream)) for position, stream in _RECORD.iter_unpack(told[:whole])}


def kill_often(folder: Path, *, times: int, committers: int) -> Iterator[dict[int, str]]:
    """Kill again and again on the same directory; after each time, everything that was ever acknowledged."""
    random, acknowledged = Random(11), {}
    for seed in range(times):
        acknowledged |= kill_after(folder, seed=seed, committers=committers, acknowledged=random.randrange(150))
        yield acknowledged
