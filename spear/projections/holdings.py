"""Which nodes have which objects, as they reported: rows, folds, queries; and the list of all objects that are known.

A result needs no report of its own: that an execution completed on a node says that its output is there.
"""

import msgspec

from spear.domain.execution import Execution, ExecutionStatus
from spear.domain.holding import Holding
from spear.domain.object import RESULTS_BUCKET, Object, result_key
from spear.events.record import Recorded
from spear.projections.executions import EXECUTIONS
from spear.projections.objects import ObjectRow, list_objects, names_within
from spear.projections.reader import Reader
from spear.projections.tables import Sheets, Table


class HoldingRow(msgspec.Struct, gc=False):
    """An object of a node; `name` is `bucket/key`, `reported_at_us` when it was written there, `sha256` "" for a result."""

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
_COMPLETED = ExecutionStatus.COMPLETED.value
_LOOKED_AT = 5000  # rows for one page, so that those of nodes that are gone hold nobody up
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


def _result(sheets: Sheets, fact: Recorded, e: Execution.ExecutionEndReported) -> None:
    execution = sheets[EXECUTIONS].look(fact.originator_id) if e.status == _COMPLETED else None
    if execution is None:
        return
    key = result_key(execution.task_id, execution.execution_id)
    ident = str(Holding.ident(e.node_uuid, Object.ident(RESULTS_BUCKET, key)))
    sheets[HOLDINGS][ident] = HoldingRow(
        ident, f"{RESULTS_BUCKET}/{key}", e.node_uuid, RESULTS_BUCKET, key, 1, "", e.output_size,
        e.output_content_type, {}, e.completed_at_us,
    )  # fmt: skip


FOLDS = {
    Holding.HoldingReported: _reported,
    Holding.HoldingEnded: _ended,
    Execution.ExecutionEndReported: _result,
}


def get_holding(reader: Reader, holding_id: str) -> HoldingRow | None:
    """What one node has of one object."""
    return reader.get(HOLDINGS, holding_id)


def holders_of(reader: Reader, name: str, *, most: int) -> list[str]:
    """The nodes that have an object of this name: those that are registered first, and the newest report first."""
    where = f"name = ? ORDER BY {_REGISTERED} DESC, reported_at_us DESC, holding_id DESC LIMIT ?"
    return [row.node_uuid for row in reader.rows(HOLDINGS, where, (name, most))]


def list_holdings(reader: Reader, *, prefix: str, after: str, limit: int) -> tuple[list[HoldingRow], str]:
    """Of each name the newest that a registered node has, by name, and the cursor that continues ("": no more).

    It looks no further than at so many rows, so there can be a cursor after fewer than `limit`, and after none.
    """
    within, (lower, upper) = names_within(prefix, after)
    ahead = f"SELECT name FROM holdings WHERE {within} ORDER BY name LIMIT 1 OFFSET ?"
    last = "".join(name for (name,) in reader.values(ahead, (lower, upper, _LOOKED_AT - 1)))
    where = f"{within} AND {_REGISTERED} AND {_NEWEST} ORDER BY name LIMIT ?"
    rows = reader.rows(HOLDINGS, where, (lower, last or upper, limit + 1))
    return rows[:limit], rows[limit - 1].name if len(rows) > limit else last


def list_known(
    reader: Reader, *, prefix: str = "", after: str = "", limit: int = 100
) -> tuple[list[ObjectRow | HoldingRow], str]:
    """This process's own objects and those of nodes, by name, each name once as a read would find it; as `list_holdings`."""
    own, more_own = list_objects(reader, prefix=prefix, after=after, limit=limit)
    held, more_held = list_holdings(reader, prefix=prefix, after=after, limit=limit)
    known: dict[str, ObjectRow | HoldingRow] = {**{row.name: row for row in held}, **{row.name: row for row in own}}
    last = min((cursor for cursor in (more_own, more_held) if cursor), default="")
    names = [name for name in sorted(known) if not last or name <= last]  # beyond it, one of the two has more to say
    return [known[name] for name in names[:limit]], names[limit - 1] if len(names) > limit else last
