"""Which nodes have which objects, as they reported: rows, folds, queries; and the list of all objects that are known."""

import msgspec

from spear.domain.holding import Holding
from spear.events.record import Recorded
from spear.projections.objects import ObjectRow, list_objects
from spear.projections.reader import Reader
from spear.projections.tables import Sheets, Table


class HoldingRow(msgspec.Struct, gc=False):
    """An object of a node; `name` is `bucket/key`, `reported_at_us` when it was written there."""

    holding_id: str
    name: str
    node_uuid: str
    bucket: str
    key: str
    version: int
    sha256: str
    size: int
    content_type: str
    metadata: dict[str, str]
    reported_at_us: int


HOLDINGS = Table("holdings", HoldingRow, ("name, reported_at_us",), fixed=("name", "node_uuid", "bucket", "key"))
_REGISTERED = "node_uuid IN (SELECT uuid FROM nodes)"
_NEWEST = (
    f"NOT EXISTS (SELECT 1 FROM holdings AS other WHERE other.name = holdings.name AND other.{_REGISTERED}"
    " AND (other.reported_at_us, other.holding_id) > (holdings.reported_at_us, holdings.holding_id))"
)


def _reported(sheets: Sheets, fact: Recorded, e: Holding.HoldingReported) -> None:
    sheets[HOLDINGS][fact.originator_id] = HoldingRow(
        fact.originator_id, f"{e.bucket}/{e.key}", e.node_uuid, e.bucket, e.key, e.object_version, e.sha256, e.size,
        e.content_type, e.metadata, e.reported_at_us,
    )  # fmt: skip


def _ended(sheets: Sheets, fact: Recorded, e: Holding.HoldingEnded) -> None:
    sheets[HOLDINGS].remove(fact.originator_id)


FOLDS = {Holding.HoldingReported: _reported, Holding.HoldingEnded: _ended}


def holders_of(reader: Reader, name: str, *, most: int) -> list[str]:
    """The nodes that have an object of this name, the newest report first."""
    where = "name = ? ORDER BY reported_at_us DESC, holding_id DESC LIMIT ?"
    return [row.node_uuid for row in reader.rows(HOLDINGS, where, (name, most))]


def list_holdings(reader: Reader, *, prefix: str, after: str, limit: int) -> tuple[list[HoldingRow], str]:
    """Of each name the newest that a registered node has, by name, and the cursor that continues ("": no more)."""
    where = f"name > ? AND name >= ? AND name < ? AND {_REGISTERED} AND {_NEWEST} ORDER BY name LIMIT ?"
    rows = reader.rows(HOLDINGS, where, (after, prefix, prefix + "\U0010ffff", limit + 1))
    return rows[:limit], rows[limit - 1].name if len(rows) > limit else ""


def list_known(
    reader: Reader, *, prefix: str = "", after: str = "", limit: int = 100
) -> tuple[list[ObjectRow | HoldingRow], str]:
    """This process's own objects and those that nodes reported, by name, each name once as a read would find it."""
    own, more_own = list_objects(reader, prefix=prefix, after=after, limit=limit)
    held, more_held = list_holdings(reader, prefix=prefix, after=after, limit=limit)
    known: dict[str, ObjectRow | HoldingRow] = {**{row.name: row for row in held}, **{row.name: row for row in own}}
    rows = [known[name] for name in sorted(known)[:limit]]
    more = more_own or more_held or len(known) > limit
    return rows, rows[-1].name if more else ""
