"""Every bell wakes who waits, from any native thread."""

import _thread
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import gevent
import gevent.socket
import pytest

from spear.adapters.hub import HubBell
from spear.events._bell import ThreadBell
from spear.ports import Bell, Ticket

BELLS = {"hub": HubBell, "thread": ThreadBell}


@pytest.fixture(params=BELLS)
def bell(request: pytest.FixtureRequest) -> Iterator[Bell]:
    made = BELLS[request.param]()
    with ExitStack() as stack:
        if isinstance(made, HubBell):
            stack.enter_context(made)
        yield made


@pytest.fixture
def hub_bell() -> Iterator[HubBell]:
    with HubBell() as made:
        yield made


def on_a_native_thread(work: Callable[[], object]) -> None:
    _thread.start_new_thread(work, ())


def test_a_ticket_that_was_rung_before_does_not_wait(bell: Bell) -> None:
    ticket = bell.ticket()
    bell.ring([ticket])
    assert ticket.wait()
    assert ticket.wait(0)


def test_a_waiter_is_woken_from_another_native_thread(bell: Bell) -> None:
    ticket = bell.ticket()
    on_a_native_thread(lambda: bell.ring([ticket]))
    assert ticket.wait(10)


def test_a_wait_that_nobody_rings_ends_with_its_timeout_and_may_be_repeated(bell: Bell) -> None:
    ticket = bell.ticket()
    assert not ticket.wait(0.01)
    assert not ticket.wait(-1)
    on_a_native_thread(lambda: bell.ring([ticket]))
    assert ticket.wait(10)


def test_a_ticket_taken_on_a_native_thread_blocks_and_wakes_that_thread(bell: Bell) -> None:
    done, taken = bell.ticket(), []

    def wait_there() -> None:
        taken.append(bell.ticket())
        bell.ring([done])
        taken.append(taken[0].wait(10))
        bell.ring([woken])

    woken = bell.ticket()
    on_a_native_thread(wait_there)
    assert done.wait(10)
    bell.ring([taken[0]])
    assert woken.wait(10)
    assert taken[1] is True


def test_one_ring_wakes_many(bell: Bell) -> None:
    tickets = [bell.ticket() for _ in range(100)]
    on_a_native_thread(lambda: bell.ring(tickets))
    assert all(ticket.wait(10) for ticket in tickets)


def test_ringing_twice_is_harmless(bell: Bell) -> None:
    ticket = bell.ticket()
    bell.ring([ticket, ticket])
    bell.ring([ticket])
    assert ticket.wait(1)


def test_rings_from_many_threads_are_never_lost(bell: Bell) -> None:
    tickets = [bell.ticket() for _ in range(2000)]
    for start in range(8):
        on_a_native_thread(lambda mine=tickets[start::8]: [bell.ring([ticket]) for ticket in mine])
    assert all(ticket.wait(10) for ticket in tickets)


def test_work_that_a_native_thread_spawns_is_done_and_runs_beside_everything_else(bell: Bell) -> None:
    first, done = bell.ticket(), bell.ticket()
    native: list[Ticket] = []

    def work() -> None:
        native.append(bell.ticket())
        bell.ring([first])
        native[0].wait(10)
        bell.ring([done])

    on_a_native_thread(lambda: bell.spawn(work))
    assert first.wait(10)
    assert not done.wait(0)
    bell.ring(native)
    assert done.wait(10)


def test_what_was_spawned_can_be_ended_from_a_native_thread_even_before_it_began(hub_bell: HubBell) -> None:
    began, running, ended, ticket = [], hub_bell.ticket(), hub_bell.ticket(), hub_bell.ticket()

    def work(name: str) -> None:
        began.append(name)
        hub_bell.ring([running])
        try:
            ticket.wait(10)
        finally:
            hub_bell.ring([ended])

    end = hub_bell.spawn(lambda: work("first"))
    assert running.wait(10)
    on_a_native_thread(end)
    assert ended.wait(10)
    on_a_native_thread(lambda: hub_bell.spawn(lambda: work("second"))())
    hub_bell.spawn(lambda: (began.append("third"), hub_bell.ring([ticket])))
    assert ticket.wait(10)
    assert began == ["first", "third"]


def test_a_waiting_greenlet_leaves_the_hub_to_others(hub_bell: HubBell) -> None:
    ticket = hub_bell.ticket()
    gevent.spawn(hub_bell.ring, [ticket])
    assert ticket.wait(10)


def test_many_greenlets_wake_each_at_its_own_ticket(hub_bell: HubBell) -> None:
    tickets = [hub_bell.ticket() for _ in range(100)]
    waiting = [gevent.spawn(ticket.wait, 10) for ticket in tickets]
    on_a_native_thread(lambda: [hub_bell.ring([ticket]) for ticket in tickets])
    assert len(gevent.joinall(waiting, timeout=10)) == 100
    assert all(greenlet.value for greenlet in waiting)


def test_a_greenlet_killed_while_it_waits_leaves_nothing_behind(hub_bell: HubBell) -> None:
    ticket, other = hub_bell.ticket(), hub_bell.ticket()
    waiting = gevent.spawn(ticket.wait)
    gevent.sleep(0)
    waiting.kill(timeout=10)
    hub_bell.ring([ticket, other])
    assert other.wait(10)


def test_a_gevent_timeout_ends_a_wait_and_the_ticket_still_works(hub_bell: HubBell) -> None:
    ticket = hub_bell.ticket()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        ticket.wait()
    on_a_native_thread(lambda: hub_bell.ring([ticket]))
    assert ticket.wait(10)


def test_who_takes_turns_on_a_native_thread_or_where_no_hub_is_waits_for_nobody() -> None:
    ThreadBell().turn()
    with HubBell() as bell:
        done = bell.ticket()
        on_a_native_thread(lambda: (bell.turn(), bell.ring([done])))
        assert done.wait(10)


def test_between_two_turns_of_many_everybody_else_gets_on(hub_bell: HubBell) -> None:
    done: list[str] = []
    ours, theirs = gevent.socket.socketpair()

    def work() -> None:
        while len(done) < 600:
            done.append("slice")
            ours.send(b"?")
            hub_bell.turn()

    def answer() -> None:
        while theirs.recv(1):
            done.append("answer")

    with ours, theirs:
        answering, working = gevent.spawn(answer), [gevent.spawn(work) for _ in range(60)]
        gevent.joinall(working, timeout=30, raise_error=True)
        answering.kill()
    begun = done[60:]  # each begins without a turn
    behind = [begun[:end].count("slice") - begun[:end].count("answer") for end in range(len(begun))]
    assert max(behind) <= 1, done


def test_turns_are_taken_in_order_and_who_is_killed_takes_none(hub_bell: HubBell) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        for _ in range(3):
            order.append(number)
            hub_bell.turn()

    workers = [gevent.spawn(work, number) for number in range(4)]
    gevent.sleep(0)
    workers[1].kill(timeout=10)
    gevent.joinall(workers, timeout=10, raise_error=True)
    assert order == [0, 1, 2, 3, 0, 2, 3, 0, 2, 3]


def test_a_closed_hub_bell_may_be_closed_again_and_rung(hub_bell: HubBell) -> None:
    ticket = hub_bell.ticket()
    hub_bell.close()
    hub_bell.close()
    hub_bell.ring([ticket])
    assert ticket.wait(0)
    hub_bell.turn()
