"""The chain: every event's hash covers its predecessor's hash and its own content, so that nothing can change unseen."""

from collections.abc import Iterable
from hashlib import sha256

from spear.events.record import Origin, Pending, Recorded

GENESIS = bytes(32)


def link(previous: bytes, position: int, event: Pending, *, time_us: int, origin: Origin) -> bytes:
    """The hash of one event; header fields hold no newline, so that the encoding is unambiguous."""
    header = (
        f"{position}\n{event.originator_id}\n{event.version}\n{event.topic}\n{time_us}\n"
        f"{origin.actor}\n{origin.cause}\n{origin.correlation}\n"
    )
    return sha256(previous + header.encode() + event.state).digest()


def relink(previous: bytes, fact: Recorded) -> bytes:
    """The hash that a recorded event must have after `previous`."""
    return link(
        previous,
        fact.position,
        Pending(fact.originator_id, fact.version, fact.topic, fact.state),
        time_us=fact.time_us,
        origin=Origin(fact.actor, fact.correlation, fact.cause),
    )


def first_break(previous: bytes, facts: Iterable[Recorded], *, after: int) -> tuple[int, str] | None:
    """The first position after `after` that is missing, out of order or changed, with what is wrong; None if whole."""
    expected = after + 1
    for fact in facts:
        if fact.position != expected:
            return expected, f"expected position {expected}, found {fact.position}"
        if not isinstance(fact.state, bytes) or relink(previous, fact) != fact.hash:
            return expected, "the content does not match its hash"
        previous, expected = fact.hash, expected + 1
    return None
