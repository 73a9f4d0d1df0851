"""Registries as gRPC streams tell them: which entries changed after a revision, from the log itself, so that none is missed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from spear.adapters.rpc.follow import IDLE_S
from spear.errors import CursorReset
from spear.events.filters import filter_of, topics_of
from spear.events.log import EventLog
from spear.events.mapper import payload


@dataclass(frozen=True, slots=True)
class Changed:
    """Entries of a registry that changed, each told once as what it came to, up to a revision."""

    revision: int
    upserts: list[str]
    deletes: list[str]


def watch(log: EventLog, noun: str, after: int, told: Callable[[Any], dict[str, bool]]) -> Iterator[Changed]:
    """What changed after a revision, for ever; `told` says of an event which entries are there (True) or gone.

    Raises `CursorReset` for a revision that this log has not reached, so that the caller lists anew.
    """
    if after > log.head:
        text = f"since_revision: got {after}, expected at most {log.head}; it is of another log, resync required"
        raise CursorReset(text, details={"field": "since_revision", "revision": log.head})
    for facts in log.follow(after, idle_s=IDLE_S, topics=topics_of(filter_of("", noun, ""))):
        entries = {name: there for fact in facts for name, there in told(payload(fact)).items()}
        if entries:
            upserts, deletes = ([name for name, there in entries.items() if there is kind] for kind in (True, False))
            yield Changed(facts[-1].position, upserts, deletes)
