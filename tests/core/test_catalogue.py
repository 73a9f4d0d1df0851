"""Stored names are API. After adding an event type or version: `python -m tests.core.test_catalogue` from the root."""

import sys
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from eventsourcing.domain import AggregateEvent

from spear.domain.base import NEXT, TOPICS, UNSTAMPED, Aggregate, event_topic
from spear.events import mapper
from spear.events.mapper import domain_event, payload
from spear.events.record import Recorded

GOLDEN = Path(__file__).with_name("event_catalogue.txt")
OWN = {"originator_id", "originator_version", "timestamp", "originator_topic"}


def type_name(kind: Any) -> str:
    """How a field's type is written: `str`, `list[str]`, or a record's fields."""
    if get_origin(kind) is list:
        return f"list[{type_name(get_args(kind)[0])}]"
    if hasattr(kind, "__total__"):
        return "{" + ", ".join(f"{name}: {type_name(t)}" for name, t in get_type_hints(kind).items()) + "}"
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def line(topic: str, event: type[AggregateEvent]) -> str:
    """One event type as the golden file lists it: `topic version: field: type, ...`."""
    fields = {n: kind for n, kind in get_type_hints(event).items() if n not in OWN and get_origin(kind) is not ClassVar}
    listed = ", ".join(f"{name}: {type_name(kind)}" for name, kind in sorted(fields.items()))
    return f"{topic} {getattr(event, 'class_version', 1)}: {listed}".rstrip()


def catalogue() -> list[str]:
    """The lines for the code as it is."""
    return [line(topic, event) for topic, event in sorted(TOPICS.items()) if event.__module__.startswith("spear.")]


def problems(golden: list[str], now: list[str]) -> list[str]:
    """What is wrong with the code's events when `golden` may only grow, by new types and new versions."""
    fields = dict(entry.split(":", 1) for entry in golden)
    latest = {name: int(version) for name, version in (key.split() for key in fields)}
    current = dict(entry.split(":", 1) for entry in now)
    topics = {key.split()[0] for key in current}
    found = [f"{topic} was removed; events of it may be in somebody's log" for topic in latest if topic not in topics]
    for key, value in current.items():
        topic, version = key.split()
        if key in fields and fields[key] != value:
            found.append(f"{key} changed; give it class_version = {int(version) + 1} and an upcast")
        elif key not in fields and int(version) != latest.get(topic, 0) + 1:
            found.append(f"{key} should have version {latest.get(topic, 0) + 1}")
        elif int(version) < latest.get(topic, 0):
            found.append(f"{key} is older than the recorded version {latest[topic]}")
        elif key not in fields:
            found.append(f"{key} is new; run `python -m tests.core.test_catalogue` and commit the file")
    return found


def test_the_golden_catalogue_lists_every_event_and_only_grows():
    assert problems(GOLDEN.read_text().splitlines(), catalogue()) == []


GOLD = ["a.A 1: x: int", "b.B 1: y: str"]


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (GOLD[:1], "b.B was removed"),
        (["a.A 1: x: str", GOLD[1]], "a.A 1 changed; give it class_version = 2 and an upcast"),
        (["a.A 3: x: str", GOLD[1]], "a.A 3 should have version 2"),
        (["a.A 2: x: str", GOLD[1]], "a.A 2 is new"),
        ([*GOLD, "c.C 1: z: int"], "c.C 1 is new"),
    ],
)
def test_the_catalogue_refuses_what_would_orphan_recorded_events(now, problem):
    [found] = problems(GOLD, now)
    assert found.startswith(problem)


def test_an_older_class_than_the_recorded_one_is_refused():
    [found] = problems([*GOLD, "a.A 2: x: str"], GOLD)
    assert found == "a.A 1 is older than the recorded version 2"


class Painted(Aggregate.Event):
    """An event whose payload changed: at first it had a `colour` by name."""

    red: int

    class_version = 2

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        state["red"] = 255 if state.pop("colour") == "red" else 0


@pytest.fixture
def painted():
    event_topic("test.Painted")(Painted)
    yield Painted
    del TOPICS["test.Painted"]
    mapper.payloads_of.cache_clear()


def recorded(state: bytes) -> Recorded:
    return Recorded(1, str(UUID(int=1)), 1, "test.Painted", 0, "me", 0, "", state, b"")


@pytest.mark.parametrize("read", [payload, domain_event])
@pytest.mark.parametrize("state", [b'{"colour":"red"}', b'{"red":255,"class_version":2}'])
def test_an_old_payload_is_read_as_the_current_one(painted, read, state):
    event = read(recorded(state))
    assert isinstance(event, painted)
    assert event.red == 255
    assert not hasattr(event, "colour")


def test_a_new_payload_is_stored_with_its_version(painted):
    event = painted(originator_id=UUID(int=1), originator_version=NEXT, timestamp=UNSTAMPED, red=7)
    assert mapper.pend(event).state == b'{"red":7,"class_version":2}'


if __name__ == "__main__":
    recorded_lines = GOLDEN.read_text().splitlines()
    wrong = [problem for problem in problems(recorded_lines, catalogue()) if " is new; " not in problem]
    if wrong:
        sys.exit("\n".join(wrong))
    GOLDEN.write_text("\n".join(sorted({*recorded_lines, *catalogue()})) + "\n")
