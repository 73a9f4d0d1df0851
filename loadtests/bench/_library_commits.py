"""Prints how many commits a second the library's own `Application.save()` makes, its SQLite, its durability: `WRITERS` threads."""

import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from loadtests.bench._common import disk
from loadtests.bench._events import HEALTH

SECONDS = 1.5


class Observed(Aggregate):
    """A node as a library user would write it."""

    @event("Beaten")
    def beat(self, node_uuid: str, health_info: dict[str, str]) -> None:
        """It lives."""
        self.node_uuid, self.health_info = node_uuid, health_info


def main(writers: int) -> None:
    """Measure once."""
    with disk("library") as folder, ThreadPoolExecutor(writers) as pool:
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "log.db")}
        app: Application[UUID] = Application(env=env)
        everyone = [Observed() for _ in range(writers)]
        app.save(*everyone)
        began = perf_counter()
        print(sum(pool.map(lambda one: _write(app, one, began + SECONDS), everyone)) / (perf_counter() - began))
        app.close()


def _write(app: Application[UUID], observed: Observed, until: float) -> int:
    count = 0
    while perf_counter() < until:
        observed.beat(str(observed.id), HEALTH)
        app.save(observed)
        count += 1
    return count


if __name__ == "__main__":
    main(int(sys.argv[1]))
