import pytest
from msgspec.structs import replace

from spear.events.chain import GENESIS, first_break, link
from spear.events.record import Origin, Pending, Recorded

ORIGIN = Origin("me", "request", 0)


def chained(count: int) -> list[Recorded]:
    """A whole chain of `count` facts."""
    facts, previous = [], GENESIS
    for position in range(1, count + 1):
        event = Pending("stream", position, "file.FileUploaded", b'{"n":%d}' % position)
        previous = link(previous, position, event, time_us=position, origin=ORIGIN)
        facts.append(
            Recorded(position, "stream", position, event.topic, position, "me", 0, "request", event.state, previous)
        )
    return facts


def test_a_whole_chain_has_no_break():
    facts = chained(5)
    assert first_break(GENESIS, facts, after=0) is None
    assert first_break(facts[1].hash, facts[2:], after=2) is None
    assert first_break(GENESIS, [], after=0) is None


@pytest.mark.parametrize("field", [field for field in Recorded.__struct_fields__ if field != "position"])
def test_every_field_of_a_fact_is_covered_by_its_hash(field):
    facts = chained(5)
    value = getattr(facts[2], field)
    changed = value + (1 if isinstance(value, int) else b" " if isinstance(value, bytes) else " ")
    facts[2] = replace(facts[2], **{field: changed})
    assert first_break(GENESIS, facts, after=0) == (3, "the content does not match its hash")


def test_a_removed_event_is_named_by_its_position():
    facts = chained(5)
    assert first_break(GENESIS, [*facts[:2], *facts[3:]], after=0) == (3, "expected position 3, found 4")


def test_a_removed_and_renumbered_event_breaks_the_chain():
    facts = chained(5)
    moved = [replace(fact, position=fact.position - 1) for fact in facts[3:]]
    assert first_break(GENESIS, [*facts[:2], *moved], after=0) == (3, "the content does not match its hash")


def test_two_exchanged_events_break_the_chain():
    facts = chained(4)
    facts[1], facts[2] = replace(facts[2], position=2), replace(facts[1], position=3)
    assert first_break(GENESIS, facts, after=0) == (2, "the content does not match its hash")


def test_a_chain_that_continues_another_one_is_a_break():
    assert first_break(b"x" * 32, chained(2), after=0) == (1, "the content does not match its hash")
