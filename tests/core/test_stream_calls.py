"""User streams by hostcalls called as plain functions: what a guest reads, writes and hears."""

import itertools
import json
from struct import unpack

import pytest

from spear.hostcalls.context import Fault
from spear.hostcalls.epoll import spear_epoll_create, spear_epoll_ctl, spear_epoll_wait
from spear.hostcalls.failures import Failed
from spear.hostcalls.fd_ctl import spear_fd_ctl
from spear.hostcalls.fds import MOST_OPEN, Full, Unknown
from spear.hostcalls.streams import (
    user_stream_close,
    user_stream_ctl_open,
    user_stream_ctl_read,
    user_stream_open,
    user_stream_read,
    user_stream_write,
)
from spear.protocols import ssf
from spear.services.hubs import MOST_CHANNELS, Hub
from tests.core._calling import LENGTH, OUT, Guest

DATA = ssf.Kind.DATA
IN, OUTWARD, BOTH = 1, 2, 3
EVERYTHING = 0x1D
CONNECTED, CLOSED = 1, 2


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def hub(guest: Guest) -> Hub:
    """Where its clients come in; one is there."""
    guest.streams.hub.begin()
    return guest.streams.hub


def frame(stream_id: int, data: bytes = b"") -> bytes:
    return ssf.make(DATA, stream_id, data=data)


def read(guest: Guest, fd: int, *, room: int = ssf.MOST_BYTES) -> bytes | int:
    """The next frame, or why there is none."""
    given = user_stream_read(guest, fd, *guest.room(room))
    if given < 0:
        return given
    assert given == guest.told()
    return guest.given()


def write(guest: Guest, fd: int, data: bytes) -> int:
    guest.write(OUT, data)
    return user_stream_write(guest, fd, OUT, len(data))


def notices(guest: Guest, fd: int) -> list[tuple[int, int]]:
    """All that is told."""
    found = []
    while (given := user_stream_ctl_read(guest, fd, *guest.room(8))) == 8:
        found.append(unpack("<II", guest.given()))
    assert given == -11
    return found


def mask(guest: Guest, *fds: int, timeout_ms: int = 0) -> dict[int, int]:
    """What is true of the descriptors."""
    epoll = spear_epoll_create(guest)
    for fd in fds:
        spear_epoll_ctl(guest, epoll, 1, fd, EVERYTHING)
    spear_epoll_wait(guest, epoll, *guest.room(8 * 64), timeout_ms)
    words = unpack(f"<{guest.told() // 4}i", guest.given())
    guest.descriptors.close(epoll, object)
    return dict(zip(words[::2], words[1::2], strict=True))


def test_what_a_client_says_is_read_in_order_also_what_it_said_before_the_stream_was_open(
    guest: Guest, hub: Hub
) -> None:
    hub.put(frame(1, b"early"))
    fd = user_stream_open(guest, 1, BOTH)
    hub.put(frame(1, b"late"))
    assert [read(guest, fd) for _ in range(3)] == [frame(1, b"early"), frame(1, b"late"), -11]


def test_a_frame_stays_until_there_is_room_for_it(guest: Guest, hub: Hub) -> None:
    fd = user_stream_open(guest, 1, IN)
    hub.put(frame(1, b"whole"))
    for room in (0, 36):
        assert read(guest, fd, room=room) == -28
        assert guest.told() == 37
    with pytest.raises(Fault):
        user_stream_read(guest, fd, -4, LENGTH)
    assert [read(guest, fd, room=37), read(guest, fd)] == [frame(1, b"whole"), -11]


def test_streams_are_told_apart_and_read_by_whoever_has_them_open(guest: Guest, hub: Hub) -> None:
    one, two, also_one = (user_stream_open(guest, number, IN) for number in (1, 2, 1))
    for number, data in ((2, b"a"), (1, b"b"), (2, b"c"), (1, b"d")):
        hub.put(frame(number, data))
    assert [read(guest, two), read(guest, two), read(guest, two)] == [frame(2, b"a"), frame(2, b"c"), -11]
    assert [read(guest, one), read(guest, also_one)] == [frame(1, b"b"), frame(1, b"d")]


def test_a_stream_is_written_after_its_client_came_and_before_it_leaves(guest: Guest) -> None:
    fd = user_stream_open(guest, 1, BOTH)
    assert write(guest, fd, frame(1)) == -107
    out = guest.streams.hub.begin()
    assert write(guest, fd, frame(1)) == -107
    guest.streams.hub.put(frame(1))
    assert write(guest, fd, frame(1, b"hi")) == 0
    assert out.take() == [frame(1, b"hi")]
    guest.streams.hub.end()
    assert write(guest, fd, frame(1)) == -32
    assert read(guest, fd) == frame(1)


@pytest.mark.parametrize(
    "wrong",
    [b"", b"SPST", frame(2), frame(1) + b"x", b"X" + frame(1)[1:], frame(1, bytes(ssf.MOST_BYTES - 31))],
    ids=["nothing", "short", "other stream", "too long", "other magic", "too large"],
)
def test_what_is_no_frame_of_the_stream_is_not_written(guest: Guest, hub: Hub, wrong: bytes) -> None:
    fd = user_stream_open(guest, 1, BOTH)
    hub.put(frame(1))
    assert write(guest, fd, wrong) == -22
    assert write(guest, fd, frame(1, bytes(ssf.MOST_BYTES - 32))) == 0


def test_each_direction_is_for_what_it_was_opened_for(guest: Guest, hub: Hub) -> None:
    inward, outward = user_stream_open(guest, 1, IN), user_stream_open(guest, 1, OUTWARD)
    hub.put(frame(1))
    assert (read(guest, outward), write(guest, inward, frame(1))) == (-22, -22)
    assert mask(guest, inward, outward) == {inward: 0x1, outward: 0x4}
    for number, direction in ((-1, IN), (1, 0), (1, 4), (1, -1)):
        assert user_stream_open(guest, number, direction) == -22


def filled(guest: Guest, fd: int, data: bytes) -> int:
    """Write as long as there is room for any frame, and how often that was."""
    for sent in itertools.count():
        if mask(guest, fd) != {fd: 0x4}:
            return sent
        assert write(guest, fd, data) == 0


def test_a_client_that_is_behind_is_told_and_a_waiting_guest_hears_when_it_took_enough(guest: Guest) -> None:
    out, fd, other = guest.streams.hub.begin(), user_stream_open(guest, 1, BOTH), user_stream_open(guest, 2, BOTH)
    for number, opened in ((1, fd), (2, other)):
        guest.streams.hub.put(frame(number))
        read(guest, opened)
    big = frame(1, bytes(100_000))
    assert filled(guest, fd, big) == 19  # not the whole of 2 MiB: the largest frame would not fit
    assert [write(guest, fd, big) for _ in range(2)] == [0, -11]
    out.take(0)
    assert mask(guest, fd, other) == {other: 0x4}  # one client's delay is nobody else's
    guest.meanwhile = [lambda: guest.streams.hub.heard(1, len(big))] * 3
    assert mask(guest, fd, timeout_ms=-1) == {fd: 0x4}
    assert len(guest.meanwhile) == 1


def test_a_full_way_out_of_the_node_is_told_and_a_waiting_guest_hears_when_any_frame_fits(guest: Guest) -> None:
    out = guest.streams.hub.begin()
    one, two = user_stream_open(guest, 1, BOTH), user_stream_open(guest, 2, BOTH)
    for number, opened in ((1, one), (2, two)):
        guest.streams.hub.put(frame(number))
        read(guest, opened)
    filled(guest, one, frame(1, bytes(100_000)))
    assert write(guest, two, frame(2, bytes(190_000))) == 0
    assert mask(guest, two) == {}
    assert write(guest, two, frame(2, bytes(100_000))) == -11
    guest.meanwhile = [lambda: out.take(0)]
    assert mask(guest, two, timeout_ms=-1) == {two: 0x4}
    spear_fd_ctl(guest, two, 5, *guest.room(1000))
    assert json.loads(guest.given())["outbound_bytes"] == 190_032


@pytest.mark.parametrize("happens", ["put", "cancel", "leave", "end", "refuse", "notice"])
def test_a_guest_that_waits_for_its_streams_hears_of_everything_that_happens(
    guest: Guest, hub: Hub, happens: str
) -> None:
    fd, control = user_stream_open(guest, 1, IN), user_stream_ctl_open(guest)
    hub.put(frame(1))
    read(guest, fd)
    notices(guest, control)
    whole = frame(1, bytes(ssf.MOST_BYTES - 32))
    happening = {
        "put": (lambda: hub.put(frame(1)), {fd: 0x1}),
        "cancel": (lambda: hub.put(ssf.make(ssf.Kind.CANCEL, 1)), {fd: 0x11}),
        "leave": (lambda: hub.leave(1), {fd: 0x10}),
        "end": (lambda: hub.end(), {fd: 0x10, control: 0x1}),
        "refuse": (lambda: [hub.put(whole) for _ in range(9)], {fd: 0x9}),
        "notice": (lambda: hub.put(frame(2)), {control: 0x1}),
    }
    happen, expected = happening[happens]
    guest.meanwhile = [happen]
    assert mask(guest, fd, control, timeout_ms=-1) == expected


def test_a_guest_is_told_once_of_each_stream_that_a_client_begins_and_of_the_end(guest: Guest, hub: Hub) -> None:
    control = user_stream_ctl_open(guest)
    for number in (1, 2, 1, 1):
        hub.put(frame(number))
    assert notices(guest, control) == [(1, CONNECTED), (2, CONNECTED)]
    hub.leave(1)
    hub.end()
    assert notices(guest, control) == [(0, CLOSED)]
    hub.begin()
    hub.put(frame(1))
    assert notices(guest, control) == [(1, CONNECTED)]


def test_who_begins_to_listen_hears_of_the_streams_that_are_there(guest: Guest, hub: Hub) -> None:
    user_stream_open(guest, 7, IN)
    hub.put(frame(3))
    hub.put(frame(4))
    assert notices(guest, user_stream_ctl_open(guest)) == [(3, CONNECTED), (4, CONNECTED)]


def test_a_notice_stays_until_there_is_room_for_it_and_the_oldest_of_too_many_are_dropped(
    guest: Guest, hub: Hub
) -> None:
    control = user_stream_ctl_open(guest)
    assert user_stream_ctl_read(guest, control, *guest.room(7)) == -11
    for number in range(1, 1031):
        hub.put(frame(number))
    assert user_stream_ctl_read(guest, control, *guest.room(7)) == -28
    assert guest.told() == 8
    assert notices(guest, control) == [(number, CONNECTED) for number in range(7, 1031)]


def test_a_closed_descriptor_is_none_and_its_stream_can_be_opened_again(guest: Guest, hub: Hub) -> None:
    fd, control = user_stream_open(guest, 1, BOTH), user_stream_ctl_open(guest)
    hub.put(frame(1, b"kept"))
    assert [user_stream_close(guest, one) for one in (fd, fd, control, control)] == [0] * 4
    for call in (read, lambda guest, fd: write(guest, fd, frame(1))):
        with pytest.raises(Unknown):
            call(guest, fd)
    with pytest.raises(Unknown):
        user_stream_ctl_read(guest, control, *guest.room(8))
    for wrong in (spear_epoll_create(guest), 77):
        with pytest.raises(Unknown):
            user_stream_close(guest, wrong)
    assert read(guest, user_stream_open(guest, 1, BOTH)) == frame(1, b"kept")


def test_more_streams_than_fit_are_refused_and_leave_nothing_behind(guest: Guest, hub: Hub) -> None:
    fds = [user_stream_open(guest, number, IN) for number in range(MOST_OPEN)]
    with pytest.raises(Full):
        user_stream_open(guest, MOST_OPEN, IN)
    assert [channel.readers for channel in hub._channels.values()] == [1] * MOST_OPEN + [0]
    user_stream_close(guest, fds[0])
    for number in range(MOST_CHANNELS):
        hub.put(frame(10_000 + number))
    with pytest.raises(Failed, match="^ENOMEM$"):
        user_stream_open(guest, MOST_OPEN + 1, IN)


def test_a_stream_tells_its_state_and_what_waits_in_it(guest: Guest) -> None:
    def told(fd: int) -> dict[str, object]:
        spear_fd_ctl(guest, fd, 5, *guest.room(1000))
        return dict(json.loads(guest.given()))

    hub, fd = guest.streams.hub, user_stream_open(guest, 1, BOTH)
    assert (told(fd)["conn_state"], told(user_stream_open(guest, 1, IN))["direction"]) == ("Init", "In")
    hub.begin()
    hub.put(frame(1, b"abc"))
    write(guest, fd, frame(1, b"a"))
    write(guest, fd, frame(1))
    assert told(fd) == {
        "execution_id": "run", "stream_id": 1, "direction": "Bidi", "conn_state": "Connected",
        "inbound_len": 1, "inbound_bytes": 35, "max_inbound_bytes": 2 << 20,
        "outbound_len": 2, "outbound_bytes": 65, "max_outbound_bytes": 2 << 20, "max_frame_bytes": 256 << 10,
    }  # fmt: skip
    control = user_stream_ctl_open(guest)
    assert told(control) == {"execution_id": "run", "pending_len": 1, "max_pending": 1024}
    hub.leave(1)
    assert told(fd)["conn_state"] == "Closed"
