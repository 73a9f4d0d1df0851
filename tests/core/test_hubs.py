"""Where clients and guest of an execution meet: what is kept, for how long, and that nobody takes the room of others."""

from random import Random

import pytest

from spear.errors import Overloaded
from spear.events._bell import ThreadBell
from spear.protocols import ssf
from spear.services import hubs
from spear.services.channels import Channel
from spear.services.hubs import Hub

DATA, CANCEL = ssf.Kind.DATA, ssf.Kind.CANCEL


def frame(stream_id: int, data: bytes = b"", *, kind: int = DATA) -> bytes:
    return ssf.make(kind, stream_id, data=data)


LARGE = bytes(200_000)


@pytest.fixture
def hub() -> Hub:
    """With a session that has begun."""
    made = Hub(ThreadBell())
    made.begin()
    return made


def unread(channel: Channel) -> list[bytes]:
    """Read all of it."""
    found = []
    while (first := channel.first()) is not None:
        found.append(ssf.data_of(first))
        channel.drop_first()
    return found


def test_a_stream_that_is_not_read_is_refused_and_the_others_are_not(hub: Hub) -> None:
    slow = hub.open(1)
    assert [hub.put(frame(1, LARGE)) for _ in range(12)] == [True] * 10 + [False] * 2
    assert slow.broken
    assert hub.put(frame(2, b"x"))
    assert unread(slow) == [LARGE] * 10
    assert not hub.put(frame(1, b"after a hole"))
    hub.leave(1)
    assert (slow.closed, slow.broken) == (True, True)


def test_a_cancel_ends_its_stream_although_there_is_no_room_for_it(hub: Hub) -> None:
    stream = hub.open(1)
    for _ in range(11):
        hub.put(frame(1, LARGE))
    assert hub.put(frame(1, kind=CANCEL))
    assert stream.closed
    assert hub.put(frame(1, b"another"))
    assert unread(hub.open(1)) == [b"another"]
    assert unread(stream) == [LARGE] * 10


def test_what_a_client_said_before_it_left_is_kept_for_who_opens_the_stream_once(hub: Hub) -> None:
    hub.put(frame(1, b"last words"))
    hub.leave(1)
    hub.end()
    late = hub.open(1)
    assert (late.closed, unread(late)) == (True, [b"last words"])
    assert not hub.open(1).closed


def test_the_number_of_another_sessions_stream_is_free_again(hub: Hub) -> None:
    hub.put(frame(1, b"old"))
    opened = hub.open(1)
    hub.put(frame(2, b"old"))
    hub.end()
    out = hub.begin()
    hub.put(frame(1, b"new"))
    hub.put(frame(2, b"new"))
    assert (unread(opened), unread(hub.open(1)), unread(hub.open(2))) == ([b"old"], [b"new"], [b"new"])
    assert not opened.write(frame(1, b"not for the new client"))
    assert out.take(0) == []


def test_an_execution_has_room_for_so_much_and_what_nobody_waits_for_goes_first(hub: Hub) -> None:
    for number in (1, 2, 3, 4):
        for _ in range(10):
            assert hub.put(frame(number, LARGE))
    hub.leave(2)
    hub.leave(1)
    assert [hub.put(frame(5, LARGE)) for _ in range(3)] == [True] * 3  # the first leaves for them
    assert unread(hub.open(1)) == []
    for _ in range(7):
        assert hub.put(frame(5, LARGE))
    kept = hub.open(2)
    assert not hub.put(frame(6, LARGE * 2))
    assert unread(kept) == [LARGE] * 10
    assert hub.put(frame(7, LARGE))


def test_only_so_many_streams_are_known_and_those_of_nobody_go_first(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_CHANNELS", 3)
    for number in (1, 2, 3):
        assert hub.put(frame(number))
    assert not hub.put(frame(4))
    with pytest.raises(Overloaded, match="3 streams"):
        hub.open(5)
    hub.leave(2)
    assert hub.put(frame(4))
    hub.leave(3)
    hub.open(9).close()
    assert hub.put(frame(5))  # in the place of what the guest opened and closed before anybody came
    assert sorted(hub._channels) == [1, 4, 5]


def test_what_a_guest_waits_for_is_never_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_CHANNELS", 2)
    awaited = hub.open(1)
    assert [hub.put(frame(number)) for number in (2, 3, 1)] == [True, False, True]
    assert unread(awaited) == [b""]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_what_is_counted_is_what_waits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_CHANNELS", 6)
    monkeypatch.setattr(hubs, "MOST_UNREAD_BYTES", 600)
    monkeypatch.setattr(hubs, "MOST_QUEUED_BYTES", 300)
    chance, hub, opened = Random(seed), Hub(ThreadBell()), []
    for _ in range(600):
        if hub._out is None:
            hub.begin()
        number = chance.randrange(9)
        match chance.randrange(8):
            case 0 | 1 | 2:
                hub.put(frame(number, bytes(chance.randrange(90))))
            case 3 if len(hub._channels) < 6:
                opened.append(hub.open(number))
            case 4 if opened:
                opened.pop(chance.randrange(len(opened))).close()
            case 5 if opened:
                unread(chance.choice(opened))
            case 6:
                chance.choice([hub.leave, lambda number: hub.put(frame(number, kind=CANCEL))])(number)
            case 7 if chance.random() < 0.2:
                hub.end()
        alive = {id(channel): channel for channel in [*hub._channels.values(), *opened]}.values()
        assert hub._unread.waiting == sum(channel.inbound.bytes for channel in alive)
        assert hub._unread.waiting == sum(len(found) for channel in alive for found in channel._frames)
        assert hub._unread.waiting <= 600 and len(hub._channels) <= 6
        assert all(channel.inbound.bytes <= 300 for channel in alive)


class Interrupted(Channel):
    """A channel whose guest looks for room just when the hub has looked whether it waits."""

    looks, waits = False, False

    @property
    def _missed(self) -> bool:
        seen, looks = self.waits, self.looks
        self.looks = False
        if looks:
            assert not self.fits()
        return seen

    @_missed.setter
    def _missed(self, waits: bool) -> None:
        self.waits = waits


def test_a_guest_that_begins_to_wait_while_its_client_hears_is_woken_by_the_next(hub: Hub) -> None:
    channel = Interrupted(1, hub._unread)
    channel.out = hub._out
    while channel.write(frame(1, LARGE)):
        pass
    channel.waits, channel.looks = False, True
    assert not channel.heard(1)
    assert channel.heard(1_000_000)
    assert not channel.heard(0)  # nor is it woken for nothing
    assert channel.outbound.bytes == 10 * len(frame(1, LARGE)) - 1_000_001


def test_what_is_heard_of_an_earlier_stream_of_the_same_number_makes_no_room(hub: Hub) -> None:
    hub.put(frame(1))
    channel = hub.open(1)
    channel.write(frame(1, b"123"))
    hub.heard(1, 2_000_000)
    hub.heard(2, 5)
    assert (channel.outbound.bytes, channel.outbound.frames) == (0, 0)
