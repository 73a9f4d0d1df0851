"""Waiting for descriptors, and what they tell of themselves, by hostcalls called as plain functions."""

import json
from struct import iter_unpack

import pytest

from spear.hostcalls.context import Fault
from spear.hostcalls.epoll import (
    Epoll,
    spear_epoll_close,
    spear_epoll_create,
    spear_epoll_ctl,
    spear_epoll_wait,
)
from spear.hostcalls.failures import Failed
from spear.hostcalls.fd_ctl import spear_fd_ctl
from spear.hostcalls.fds import MOST_OPEN, Descriptor, Ready, Unknown
from tests.core._calling import LENGTH, OUT, Guest

ADD, MOD, DEL = 1, 2, 3
IN, OUT_, ERR, HUP = 1, 4, 8, 16


class Lamp(Descriptor):
    """Is as ready as the test says."""

    kind = "Lamp"

    def __init__(self, ready: int = 0) -> None:
        self.state = ready

    @property
    def ready(self) -> Ready:
        return Ready(self.state)

    @property
    def metrics(self) -> dict[str, int]:
        return {"lit": self.state}


@pytest.fixture
def guest() -> Guest:
    return Guest()


def lamps(guest: Guest, *states: int) -> list[int]:
    return [guest.descriptors.add(Lamp(state)) for state in states]


def watching(guest: Guest, wanted: dict[int, int]) -> int:
    epoll = spear_epoll_create(guest)
    for fd, events in wanted.items():
        assert spear_epoll_ctl(guest, epoll, ADD, fd, events) == 0
    return epoll


def ready(guest: Guest, epoll: int, *, room: int = 8 * 64, timeout_ms: int = 0) -> list[tuple[int, int]]:
    """What a wait gives."""
    count = spear_epoll_wait(guest, epoll, *guest.room(room), timeout_ms)
    found = list(iter_unpack("<ii", guest.given()))
    assert count == len(found)
    return found


def test_what_is_true_and_wanted_is_told_by_number_as_long_as_it_is_true(guest: Guest) -> None:
    one, two, three, four = lamps(guest, IN | HUP, OUT_, ERR | HUP, IN)
    epoll = watching(guest, {four: IN | OUT_, one: IN, two: IN, three: IN | OUT_ | HUP})
    for _ in range(2):
        assert ready(guest, epoll) == [(one, IN), (three, HUP), (four, IN)]
    guest.descriptors.get(four, Lamp).state = 0
    assert ready(guest, epoll) == [(one, IN), (three, HUP)]


def test_no_more_is_given_than_there_is_room_for_and_too_little_room_says_how_much_it_takes(guest: Guest) -> None:
    one, two, _ = fds = lamps(guest, IN, IN, IN)
    epoll = watching(guest, dict.fromkeys(fds, IN))
    assert ready(guest, epoll, room=23) == [(one, IN), (two, IN)]
    for room in (0, 7):
        assert spear_epoll_wait(guest, epoll, *guest.room(room), 0) == -28
        assert guest.told() == 8


def test_a_wait_looks_first_and_again_whenever_it_is_woken(guest: Guest) -> None:
    (fd,) = lamps(guest, 0)
    epoll = watching(guest, {fd: IN})

    def light() -> None:
        guest.descriptors.get(fd, Lamp).state = IN
        guest.wake()

    guest.meanwhile = [guest.wake, light]
    assert ready(guest, epoll, timeout_ms=-1) == [(fd, IN)]
    assert guest.meanwhile == []


def test_a_wait_has_the_time_that_it_is_given_and_a_negative_one_has_all(guest: Guest) -> None:
    epoll = watching(guest, {})
    for timeout_ms in (0, 1500, -1):
        assert ready(guest, epoll, timeout_ms=timeout_ms) == []
    assert guest.waits == [0, 1.5, None]


def test_wanting_again_replaces_and_changing_what_is_not_watched_watches_it(guest: Guest) -> None:
    one, two = lamps(guest, IN | OUT_, IN | OUT_)
    epoll = watching(guest, {one: IN})
    assert spear_epoll_ctl(guest, epoll, ADD, one, OUT_ | 0x7FFFFF00) == 0
    assert spear_epoll_ctl(guest, epoll, MOD, two, IN) == 0
    assert ready(guest, epoll) == [(one, OUT_), (two, IN)]
    assert [spear_epoll_ctl(guest, epoll, DEL, fd, 0) for fd in (one, one)] == [0, 0]
    assert ready(guest, epoll) == [(two, IN)]


def test_what_is_closed_has_hung_up_until_it_is_watched_no_more(guest: Guest) -> None:
    one, two, three = lamps(guest, IN, IN, IN)
    epoll = watching(guest, {one: IN | HUP, two: IN})
    for fd in (one, two, three):
        guest.descriptors.close(fd, Lamp)
    assert spear_epoll_ctl(guest, epoll, ADD, three, HUP) == 0
    assert ready(guest, epoll) == [(one, HUP), (three, HUP)]
    assert spear_epoll_ctl(guest, epoll, DEL, one, 0) == 0
    assert ready(guest, epoll) == [(three, HUP)]


def test_wrong_numbers_and_operations_are_told(guest: Guest) -> None:
    (lamp,) = lamps(guest, 0)
    epoll, other = spear_epoll_create(guest), spear_epoll_create(guest)
    assert spear_epoll_ctl(guest, epoll, ADD, epoll, IN) == -22
    assert spear_epoll_ctl(guest, epoll, ADD, other, IN) == -22
    assert [spear_epoll_ctl(guest, epoll, op, lamp, IN) for op in (0, 4, -1)] == [-22] * 3
    for watcher, watched in ((epoll, 999), (epoll, other + 1), (lamp, epoll), (lamp, lamp), (5, lamp)):
        with pytest.raises(Unknown):
            spear_epoll_ctl(guest, watcher, ADD, watched, IN)
    with pytest.raises(Fault):
        spear_epoll_wait(guest, epoll, OUT, LENGTH + 62, 0)
    with pytest.raises(Unknown):
        spear_epoll_close(guest, lamp)
    assert [spear_epoll_close(guest, epoll) for _ in range(2)] == [0, 0]
    for call in (spear_epoll_ctl, spear_epoll_wait):
        with pytest.raises(Unknown):
            call(guest, epoll, ADD, lamp, 0)


def test_watching_what_is_closed_soon_after_costs_no_memory(guest: Guest) -> None:
    epoll = watching(guest, {})
    for _ in range(3 * MOST_OPEN):
        (fd,) = lamps(guest, 0)
        spear_epoll_ctl(guest, epoll, ADD, fd, IN)
        guest.descriptors.close(fd, Lamp)
    kept = guest.descriptors.get(epoll, Epoll)._interest
    assert len(kept) <= MOST_OPEN
    fds = lamps(guest, *[IN] * (MOST_OPEN - 1))
    for fd in fds:
        assert spear_epoll_ctl(guest, epoll, ADD, fd, IN) == 0
    assert len(ready(guest, epoll, room=8 * MOST_OPEN)) == len(fds)


# --- flags, kind, status, metrics


def told(guest: Guest, fd: int, command: int) -> object:
    length = spear_fd_ctl(guest, fd, command, *guest.room(512))
    assert length == guest.told()
    return json.loads(guest.given())


def set_flags(guest: Guest, fd: int, argument: bytes) -> int:
    pointers = guest.room(len(argument))
    guest.write(OUT, argument)
    return spear_fd_ctl(guest, fd, 1, *pointers)


def test_every_descriptor_tells_its_kind_flags_status_and_metrics(guest: Guest) -> None:
    (lamp,) = lamps(guest, IN | OUT_ | ERR | HUP)
    epoll = spear_epoll_create(guest)
    assert told(guest, epoll, 3) == {"kind": "Epoll"}
    assert told(guest, epoll, 4) == {"kind": "Epoll", "flags": [], "poll_mask": [], "closed": False}
    assert told(guest, epoll, 5) == {}
    assert told(guest, lamp, 4) == {
        "kind": "Lamp", "flags": [], "poll_mask": ["EPOLLIN", "EPOLLOUT", "EPOLLERR", "EPOLLHUP"], "closed": False
    }  # fmt: skip
    assert told(guest, lamp, 5) == {"lit": 29}


def test_the_one_flag_is_set_and_cleared_and_unknown_ones_are_nobodys(guest: Guest) -> None:
    one, two = lamps(guest, 0, 0)
    assert set_flags(guest, one, b'{"set": ["O_NONBLOCK", "O_ELSE"], "more": 1}') == 0
    assert (told(guest, one, 2), told(guest, two, 2)) == ({"flags": ["O_NONBLOCK"]}, {"flags": []})
    assert set_flags(guest, one, b"{}") == 0
    assert told(guest, one, 2) == {"flags": ["O_NONBLOCK"]}
    assert set_flags(guest, one, b'{"clear": ["O_NONBLOCK"]}') == 0
    assert told(guest, one, 2) == {"flags": []}


@pytest.mark.parametrize(
    "argument",
    [b"", b"[]", b"{", b'{"set": 1}', b'{"set": ["\xff"]}', b'{"x":' + b"[" * 16000, b" " * 16385 + b"{}"],
    ids=["nothing", "no object", "half", "no list", "no utf-8", "deep", "long"],
)
def test_flags_that_are_not_what_they_should_be_are_refused(guest: Guest, argument: bytes) -> None:
    (lamp,) = lamps(guest, 0)
    try:
        result = set_flags(guest, lamp, argument)
    except Failed as error:
        result = -error.errno
    assert result == -22


def test_unknown_commands_and_descriptors_and_too_little_room_are_told(guest: Guest) -> None:
    (lamp,) = lamps(guest, 0)
    assert [spear_fd_ctl(guest, lamp, command, *guest.room(100)) for command in (0, 6, -1)] == [-22] * 3
    assert spear_fd_ctl(guest, lamp, 3, *guest.room(2)) == -28
    assert guest.told() == len('{"kind": "Lamp"}')
    guest.descriptors.close(lamp, Lamp)
    with pytest.raises(Unknown):
        spear_fd_ctl(guest, lamp, 3, *guest.room(100))
