"""Passes: an SMS sends somebody to one of its nodes, and nobody else can."""

import pytest

from spear.domain.token import TokenRole
from spear.errors import Unauthenticated
from spear.protocols import passes
from spear.services import doors
from spear.services.passes import LONGEST_S, Gate, Passes
from spear.services.tokens import ANYBODY, Tokens

A, B = "0190a0a0-0000-7000-8000-00000000000a", "0190a0a0-0000-7000-8000-00000000000b"


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_s=1_000_000):
        self.now_s = now_s

    def now_us(self):
        return self.now_s * 1_000_000


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def issuing(clock):
    return Passes(b"s" * 32, clock)


@pytest.fixture
def gate(issuing):
    """The gate of node A, as its SMS told it."""
    made = Gate()
    made.learn(issuing.key_of(A), issuing.now_s)
    return made


def shown(token):
    return f"Bearer {token}"


def test_a_pass_names_its_holder_at_the_node_for_which_it_is(issuing, gate):
    assert gate.holder(shown(issuing.issue(A, passes.SMS))) == "sms"
    assert gate.holder(shown(issuing.issue(A, B))) == B
    assert gate.holder(shown(issuing.issue(A, ""))) == "anybody"


def test_it_is_no_good_at_another_node_from_another_sms_or_before_the_node_was_told(issuing, gate, clock):
    assert gate.holder(shown(issuing.issue(B, passes.SMS))) == ""
    assert gate.holder(shown(Passes(b"t" * 32, clock).issue(A, passes.SMS))) == ""
    assert Gate().holder(shown(issuing.issue(A, passes.SMS))) == ""


def test_whoever_changes_a_word_of_it_has_none(issuing, gate):
    _, holder, issued, seal = issuing.issue(A, B).split(".")
    for words in ((A, issued, seal), (holder, f"{int(issued) + 1}", seal), (holder, issued, seal[:-2] + "AA")):
        assert gate.holder(shown(".".join(("spear_pass", *words)))) == ""


@pytest.mark.parametrize(
    "text", ["", "Bearer spear_pass", "Bearer spear_pass.sms.1.", "spear_pass.sms.1.x", "Bearer \xff"]
)
def test_what_is_no_pass_names_nobody(gate, text):
    assert gate.holder(text) == ""


def test_it_is_good_for_20_minutes_by_the_clock_of_the_sms(issuing, gate, clock):
    token = shown(issuing.issue(A, passes.SMS))
    for later, holder in ((LONGEST_S, "sms"), (LONGEST_S + 1, "")):
        gate.learn(issuing.key_of(A), clock.now_s + later)
        assert gate.holder(token) == holder


def test_a_gate_keeps_what_it_knows_when_it_is_told_nothing(issuing, gate):
    gate.learn(b"", 0)
    assert gate.holder(shown(issuing.issue(A, passes.SMS))) == "sms"


def test_a_pass_opens_what_is_for_the_fleet_and_nothing_else(issuing, gate):
    tokens, token = Tokens(None, None, secret=str, gate=gate), shown(issuing.issue(A, passes.SMS))
    caller = doors.row("operator fleet").admit(tokens, token, "this", open_door=False)
    assert (caller.name, caller.role, caller.actor("grpc")) == ("fleet:sms", TokenRole.OPERATOR, "grpc:fleet:sms")
    for who in ("operator", "admin", "operator node client"):
        with pytest.raises(Unauthenticated, match="the pass") as caught:
            doors.row(who).admit(tokens, token, "this", open_door=False)
        assert "spear_pass" not in caught.value.message


def test_at_an_open_door_a_pass_that_is_not_good_makes_nobody_worse_off(issuing, gate):
    tokens, token = Tokens(None, None, secret=str, gate=gate), shown(issuing.issue(B, passes.SMS))
    assert doors.row("operator fleet").admit(tokens, token, "this", open_door=True) is ANYBODY
    assert doors.row("anybody").admit(tokens, token, "this", open_door=False) is ANYBODY
