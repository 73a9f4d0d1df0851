"""The literal lists of tables and folds; an event is folded by these modules in this order."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from spear.domain.base import topic_of
from spear.events.record import Recorded
from spear.projections import (
    backends,
    deployments,
    executions,
    holdings,
    instances,
    mcp_servers,
    nodes,
    objects,
    revisions,
    tasks,
    tokens,
)  # fmt: skip
from spear.projections.tables import Sheets, Table

Fold = Callable[[Sheets, Recorded, Any], None]

TABLES: tuple[Table[Any], ...] = (
    nodes.NODES,
    nodes.RESOURCES,
    executions.EXECUTIONS,
    executions.STATUS_COUNTS,
    instances.INSTANCES,
    tasks.TASKS,
    tasks.TASK_RESULTS,
    tasks.ENDPOINTS,
    objects.OBJECTS,
    objects.FILES,
    objects.BLOBS,
    holdings.HOLDINGS,
    tokens.TOKENS,
    backends.BACKENDS,
    mcp_servers.MCP_SERVERS,
    deployments.DEPLOYMENTS,
    revisions.REVISIONS,
)
_MODULES = (nodes, executions, instances, tasks, objects, holdings, tokens, backends, mcp_servers, deployments)


@cache
def folds() -> dict[str, tuple[Fold, ...]]:
    """For each topic, the folds that it goes through."""
    found: dict[str, tuple[Fold, ...]] = {}
    for module in _MODULES:
        table: dict[Any, Fold] = module.FOLDS
        for event, fold in table.items():
            found[topic_of(event)] = (*found.get(topic_of(event), ()), fold)
    return found


@cache
def fingerprint() -> str:
    """What the views depend on: the code that folds. Views made by other code are rebuilt."""
    digest = sha256()
    here = Path(__file__).parent
    for folder in (here, here.parent / "domain"):
        for source in sorted(folder.glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()
