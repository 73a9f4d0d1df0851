"""Where a stream of observations finds its events: indexed by the thousand, and until then found by looking.

Most events are observations, heartbeats above all, and they go into as many streams as there are nodes. An index entry at once would
change a page for each of them; a thousand entries in order change few. The log numbers them itself, so no index has to refuse one.
Their version is stored below zero, which keeps them out of the index of the other streams.
"""

import apsw

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS observed (
        originator_id TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (originator_id, position)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS observed_until (position INTEGER NOT NULL)",
    """INSERT INTO observed_until SELECT coalesce((SELECT max(position) FROM events), 0)
        WHERE NOT EXISTS (SELECT 1 FROM observed_until)""",  # a log that is older than this index numbered all its streams
)
AT_ONCE = 1024
UNTIL = "SELECT position FROM observed_until"
INDEXED = "observed AS o CROSS JOIN events AS e ON e.position = o.position WHERE o.originator_id = ?"
LATEST = "events AS e WHERE +e.originator_id = ? AND e.version < 0"  # the plus: look through them by position
NOT_INDEXED = f"""
    SELECT position FROM events WHERE version < 0 AND position <= ({UNTIL}) EXCEPT SELECT position FROM observed"""
NOT_OBSERVED = """
    SELECT o.position FROM observed AS o LEFT JOIN events AS e
    ON e.position = o.position AND e.originator_id = o.originator_id AND e.version < 0 WHERE e.position IS NULL"""
_INDEX = """
    INSERT INTO observed SELECT originator_id, position FROM events
    WHERE position > ? AND position <= ? AND version < 0 ORDER BY originator_id, position"""


def index(db: apsw.Connection, after: int, until: int) -> None:
    """Index the observations in `(after, until]`; within a transaction of the caller."""
    db.execute(_INDEX, (after, until))
    db.execute("UPDATE observed_until SET position = ?", (until,))


def last_version(db: apsw.Connection, stream: str, *, indexed: int) -> int:
    """The last version in a stream of observations, as far as the log numbered it below zero; 0 if it did not."""
    latest = db.execute(f"SELECT max(-e.version) FROM {LATEST} AND e.position > ?", (stream, indexed)).get
    return (
        latest or db.execute(f"SELECT -e.version FROM {INDEXED} ORDER BY o.position DESC LIMIT 1", (stream,)).get or 0
    )
