"""Prints how many commits a second the library's own `Application.save()` makes of the same events: `KIND WRITERS`.

On its SQLite, with its mapper and its durability, one native thread for each writer.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import perf_counter
from uuid import UUID

from eventsourcing.application import Application

from loadtests.bench import _events
from loadtests.bench._common import disk
from spear.domain.base import NEXT

SECONDS = 1.5


def main(kind: str, writers: int) -> None:
    """Measure once."""
    with disk("library") as folder, ThreadPoolExecutor(writers) as pool:
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "log.db")}
        app: Application[UUID] = Application(env=env)
        streams = [_numbered(stream) for stream in _events.streams(kind, writers)]
        began = perf_counter()
        print(sum(pool.map(lambda one: _write(app, one, began + SECONDS), streams)) / (perf_counter() - began))
        app.close()


def _numbered(commits: Iterator[_events.Commit]) -> Iterator[_events.Commit]:
    """The same with versions for the events that our log numbers itself."""
    versions = count(1)
    for events in commits:
        for event in events:
            if event.originator_version == NEXT:
                vars(event)["originator_version"] = next(versions)
        yield events


def _write(app: Application[UUID], commits: Iterator[_events.Commit], until: float) -> int:
    done = 0
    while perf_counter() < until:
        app.save(*next(commits))
        done += 1
    return done


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
