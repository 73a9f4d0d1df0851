"""Prints how many commits a second the library's own `Application.save()` makes: its SQLite, its durability, one thread."""

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


def main() -> None:
    """Measure once."""
    with disk("library") as folder:
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "log.db")}
        app: Application[UUID] = Application(env=env)
        observed = Observed()
        app.save(observed)
        began, count = perf_counter(), 0
        while perf_counter() < began + SECONDS:
            observed.beat(str(observed.id), HEALTH)
            app.save(observed)
            count += 1
        print(count / (perf_counter() - began))
        app.close()


if __name__ == "__main__":
    main()
