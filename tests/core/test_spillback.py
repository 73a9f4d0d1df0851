"""What follows when a node does not answer: an execution leaves it only when it certainly does not run there."""

from itertools import product

import pytest

from spear.domain.node import OutcomeClass
from spear.errands import Arrival, Declined
from spear.scheduling.spillback import MOST_HOPS, Move, Patience, move

SPILLING = {OutcomeClass.OVERLOADED, OutcomeClass.UNAVAILABLE, OutcomeClass.TIMEOUT}


def step(arrival, outcome=OutcomeClass.UNAVAILABLE, *, doubt=False, hops=0):
    return move(Declined(arrival, outcome, "text"), doubt=doubt, hops=hops)


@pytest.mark.parametrize(("outcome", "doubt", "hops"), list(product(OutcomeClass, [False, True], [0, MOST_HOPS])))
def test_what_may_have_arrived_is_asked_for_again_and_goes_nowhere_else(outcome, doubt, hops):
    assert step(Arrival.UNKNOWN, outcome, doubt=doubt, hops=hops) is Move.AGAIN


@pytest.mark.parametrize("outcome", OutcomeClass)
def test_a_later_attempt_that_never_left_says_nothing_about_an_earlier_one(outcome):
    assert step(Arrival.UNSENT, outcome, doubt=True) is Move.AGAIN


@pytest.mark.parametrize(("arrival", "outcome"), list(product([Arrival.REFUSED, Arrival.UNSENT], OutcomeClass)))
def test_it_goes_on_for_want_of_a_node_and_ends_for_want_of_sense(arrival, outcome):
    assert step(arrival, outcome) is (Move.NEXT if outcome in SPILLING else Move.END)


def test_a_node_that_has_it_not_after_all_lets_it_go():
    assert step(Arrival.REFUSED, doubt=True) is Move.NEXT


def test_it_does_not_go_on_for_ever():
    assert step(Arrival.REFUSED, hops=MOST_HOPS) is Move.END


def test_pauses_grow_to_a_bound_and_patience_ends():
    time = 0.0
    patience = Patience(lambda: time, 10, first_s=1, longest_s=3)
    assert [patience.pause_s() for _ in range(4)] == [1, 2, 3, 3]
    time = 9.9
    assert not patience.spent
    time = 10
    assert patience.spent
    patience.hope()
    assert (patience.spent, patience.pause_s()) == (False, 3)
    patience.renew()
    assert patience.pause_s() == 1
