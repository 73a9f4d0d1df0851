"""A guest on its native thread: waiting, being woken, asking the hub, having things open."""

import _thread
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.util import wrap_errors

from spear.abilities import Abilities
from spear.adapters.hub import HubBell
from spear.adapters.runtimes._guest import Guest
from spear.adapters.system import SystemClock
from spear.errors import NotFound
from spear.hostcalls.context import Stopped
from spear.hostcalls.failures import Failed
from spear.hostcalls.fds import FIRST, MOST_OPEN, Descriptor, Descriptors, Full, Ready, Unknown
from spear.ports import End, Limits, RunSpec

NOTHING: Any = Abilities(None, None, None, recorded=lambda execution_id: None)


class Other(Descriptor):
    """Another kind."""


class Door(Descriptor):
    """Counts how often it was closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def bell() -> Iterator[HubBell]:
    with HubBell() as made:
        yield made


@pytest.fixture
def guest(bell: HubBell) -> Guest:
    made = Guest(RunSpec("test", limits=Limits(wall_ms=10_000)), None, SystemClock(), bell=bell, abilities=NOTHING)
    made.begin()
    return made


def on_its_thread(bell: HubBell, work: Any) -> Any:
    """What a native thread makes of it, while the hub goes on."""
    done, found = bell.ticket(), []

    def run() -> None:
        found.append(wrap_errors(Exception, work)())
        bell.ring([done])

    _thread.start_new_thread(run, ())
    assert done.wait(20)
    return found[0]


def test_what_a_guest_asks_is_done_by_the_hub_which_serves_others_meanwhile(bell: HubBell, guest: Guest) -> None:
    home, asked = _thread.get_ident(), gevent.event.Event()

    def work() -> tuple[int, bool]:
        return _thread.get_ident(), asked.wait(10)

    gevent.spawn(asked.set)
    assert on_its_thread(bell, lambda: guest.ask(work)) == (home, True)


def test_an_error_of_what_a_guest_asked_comes_back_to_it(bell: HubBell, guest: Guest) -> None:
    def work() -> None:
        raise NotFound("nothing")

    assert isinstance(on_its_thread(bell, lambda: guest.ask(work)), NotFound)


def test_a_guest_that_must_stop_leaves_what_it_asked_and_that_is_ended_too(bell: HubBell, guest: Guest) -> None:
    ended = bell.ticket()

    def work() -> None:
        try:
            guest.halt(End.CANCELLED, "terminated", "enough")
            gevent.sleep(60)
        finally:
            bell.ring([ended])

    assert isinstance(on_its_thread(bell, lambda: guest.ask(work)), Stopped)
    assert ended.wait(10)
    assert guest.ended


def test_a_guest_waits_until_somebody_wakes_it_for_a_reason(bell: HubBell, guest: Guest) -> None:
    looks: list[int] = []

    def ready() -> bool:
        looks.append(1)
        if len(looks) < 3:
            guest.wake()  # between the look and the wait: it must not be lost
        return len(looks) == 3

    assert on_its_thread(bell, lambda: guest.wait(ready)) is True
    assert on_its_thread(bell, lambda: guest.wait(lambda: False, timeout_s=0)) is False


def test_waking_a_guest_that_does_not_wait_costs_no_memory_and_does_not_shorten_its_next_pause(
    bell: HubBell, guest: Guest
) -> None:
    for _ in range(1000):
        guest.wake()
    assert guest._wake.qsize() == 1
    woken: list[bool] = []

    def pause() -> None:
        guest.pause(0.05)
        woken.append(guest.wait(lambda: True))

    on_its_thread(bell, pause)
    assert (woken, guest._wake.qsize()) == ([True], 0)


def test_a_wait_ends_with_the_guests_time(bell: HubBell) -> None:
    short = Guest(RunSpec("test", limits=Limits(wall_ms=10)), None, SystemClock(), bell=bell)
    short.begin()
    assert on_its_thread(bell, lambda: short.wait(lambda: False)) is False
    assert on_its_thread(bell, short.must_stop) is True
    assert short.halted and short.halted.reason == "wall_time"


def test_nothing_is_done_for_a_guest_before_its_execution_is_a_fact(bell: HubBell) -> None:
    order, fact = [], gevent.event.Event()
    late = Abilities(None, None, None, recorded=lambda execution_id: (order.append(execution_id), fact.wait(10)))
    guest = Guest(RunSpec("test"), None, SystemClock(), bell=bell, abilities=late)
    guest.begin()
    gevent.spawn(lambda: (order.append("fact"), fact.set()))
    on_its_thread(bell, lambda: guest.ask(lambda: order.append("done")))
    assert sorted(order[:2]) == ["fact", "test"]
    assert order[2] == "done"


def test_without_a_platform_there_is_nobody_to_ask(bell: HubBell) -> None:
    alone = Guest(RunSpec("test"), None, SystemClock(), bell=bell)
    alone.begin()
    assert isinstance(on_its_thread(bell, lambda: alone.ask(lambda: None)), Failed)


def test_descriptors_are_numbered_once_and_known_by_their_kind() -> None:
    table, door = Descriptors(), Door()
    assert [table.add(door), table.add(Other())] == [FIRST, FIRST + 1]
    assert table.get(FIRST, Door) is door
    assert (door.ready, door.metrics) == (Ready.NOTHING, {})
    for number, kind in ((FIRST, Other), (FIRST + 2, Door), (0, Door), (-1, Door)):
        with pytest.raises(Unknown):
            table.get(number, kind)
    table.close(FIRST, Door, Other)
    assert table.add(Door()) == FIRST + 2


def test_closing_twice_is_harmless_and_closing_what_never_was_or_is_another_kind_is_not() -> None:
    table, door = Descriptors(), Door()
    number = table.add(door)
    with pytest.raises(Unknown):
        table.close(number, Other)
    table.close(number, Door)
    table.close(number, Door)
    assert door.closed == 1
    for unknown in (number + 1, FIRST - 1, -5):
        with pytest.raises(Unknown):
            table.close(unknown, Door)


def test_only_so_many_are_open_at_once() -> None:
    table = Descriptors()
    numbers = [table.add(Door()) for _ in range(MOST_OPEN)]
    with pytest.raises(Full):
        table.add(Door())
    table.close(numbers[0], Door)
    assert table.add(Door()) == FIRST + MOST_OPEN


def test_what_a_guest_leaves_open_is_closed_with_it(guest: Guest) -> None:
    door = Door()
    guest.descriptors.add(door)
    guest.close()
    guest.close()
    assert door.closed == 1
