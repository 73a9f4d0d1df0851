"""Prints how many commits a second bare SQLite makes durable: one row with the bytes of one heartbeat's event, one thread."""

from collections.abc import Sequence
from time import perf_counter

import apsw

from loadtests.bench import _events
from loadtests.bench._common import disk
from spear.events.mapper import pend
from spear.events.record import Recorded

SECONDS = 1.5


def main() -> None:
    """Measure once."""
    values = _values()
    with disk("bare") as folder:
        db = apsw.Connection(str(folder / "log.db"), vfs="unix")
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        columns = ", ".join(Recorded.__struct_fields__[1:])
        db.execute(f"CREATE TABLE events (position INTEGER PRIMARY KEY, {columns})")
        insert = f"INSERT INTO events VALUES (NULL{', ?' * len(values)})"
        began, count = perf_counter(), 0
        while perf_counter() < began + SECONDS:
            db.execute(insert, values)
            count += 1
        print(count / (perf_counter() - began))
        db.close()


def _values() -> Sequence[object]:
    (event,), who = next(_events.beats(_events.node("0"))), _events.ORIGIN
    stored = pend(event)
    caused = who.actor, who.cause, who.correlation
    return stored.originator_id, 1, stored.topic, 1_700_000_000_000_000, *caused, stored.state, bytes(32)


if __name__ == "__main__":
    main()
