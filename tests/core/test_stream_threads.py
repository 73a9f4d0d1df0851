"""A guest on a native thread that waits for its streams while clients talk to it on the hub: no frame, no wake-up is lost."""

import _thread
from collections import defaultdict
from collections.abc import Iterator
from random import Random

import gevent
import pytest
from gevent.event import Event
from gevent.util import wrap_errors

from spear.abilities import Abilities
from spear.adapters.hub import HubBell
from spear.adapters.runtimes._guest import Guest
from spear.adapters.system import SystemClock
from spear.hostcalls.epoll import spear_epoll_create, spear_epoll_ctl, spear_epoll_wait
from spear.hostcalls.streams import user_stream_open, user_stream_read, user_stream_write
from spear.ports import Limits, RunSpec
from spear.protocols import ssf
from spear.services.hubs import Hub
from spear.services.pipes import MOST_QUEUED_BYTES
from tests.core._calling import LENGTH, OUT, Memory, OneHub

STREAMS, FRAMES = 3, 6000
MOST_UNREAD = 2_000_000
SIZES = (0, 0, 0, 100, 150_000)


class Native(Guest):
    """A guest that has plain memory instead of a module's."""

    bytes = bytearray(600_064)
    read, write = Memory.read, Memory.write

    def wait_for(self, epoll: int) -> list[int]:
        """The descriptors that are ready, which some are before the guest's time is over."""
        self.write(LENGTH, (8 * STREAMS).to_bytes(4, "little"))
        count = spear_epoll_wait(self, epoll, LENGTH + 8, LENGTH, -1)
        assert count > 0, "a wake-up was lost"
        return [int.from_bytes(self.read(LENGTH + 8 + 8 * at, 4), "little") for at in range(count)]

    def watch(self, *fds: int, events: int) -> int:
        """A descriptor that watches these."""
        epoll = spear_epoll_create(self)
        for fd in fds:
            spear_epoll_ctl(self, epoll, 1, fd, events)
        return epoll


def serve(guest: Native) -> None:
    """Say every frame back."""
    fds = [user_stream_open(guest, number + 1, 3) for number in range(STREAMS)]
    arrivals, room = guest.watch(*fds, events=1), {fd: guest.watch(fd, events=4) for fd in fds}
    done = 0
    while done < FRAMES:
        for fd in guest.wait_for(arrivals):
            guest.write(LENGTH, ssf.MOST_BYTES.to_bytes(4, "little"))
            length = user_stream_read(guest, fd, OUT, LENGTH)
            while (written := user_stream_write(guest, fd, OUT, length)) == -11:
                guest.wait_for(room[fd])
            assert written == 0
            done += 1


class Clients:
    """Say frames on all streams, a bounded number of bytes ahead of the guest, and hear these now and then."""

    def __init__(self, hub: Hub, seed: int) -> None:
        self.hub, self.out, self.chance = hub, hub.begin(), Random(seed)
        self.said, self.heard = defaultdict[int, list[bytes]](list), defaultdict[int, list[bytes]](list)
        self.answered = Event()

    def say(self) -> None:
        for count in range(FRAMES):
            number = count % STREAMS + 1
            frame = ssf.make(2, number, data=b"%d" % count + bytes(self.chance.choice(SIZES)))
            while self.unread(number) + len(frame) > MOST_UNREAD:
                self.answered.clear()
                self.answered.wait()  # who spins on `sleep(0)` keeps the guest's thread from its turn
            assert self.hub.put(frame)
            self.said[number].append(frame[32:40])

    def unread(self, number: int) -> int:
        """How many bytes of a stream the guest did not read; it may be fewer meanwhile."""
        channel = self.hub._channels.get(number)
        return channel.inbound.bytes if channel else 0

    def hear(self) -> None:
        left = FRAMES
        while left:
            late = self.out.take() or []
            enough = self.chance.choice(
                [0, MOST_QUEUED_BYTES, 4 * MOST_QUEUED_BYTES]
            )  # the guest may have to wait before
            while sum(map(len, late)) < enough and (more := self.out.take(0.001)):
                late += more
            for frame in late:
                number, left = ssf.read(frame).stream_id, left - 1
                self.hub.heard(number, len(frame))
                self.heard[number].append(frame[32:40])
            self.answered.set()


@pytest.fixture
def bell() -> Iterator[HubBell]:
    with HubBell() as made:
        yield made


@pytest.mark.parametrize("seed", range(3))
def test_whatever_clients_say_is_answered_and_nobody_waits_in_vain(bell: HubBell, seed: int) -> None:
    side, ended, found = OneHub(Hub(bell)), bell.ticket(), []
    abilities = Abilities(None, None, side, recorded=lambda execution_id: None)
    spec = RunSpec("test", limits=Limits(wall_ms=60_000))
    guest = Native(spec, None, SystemClock(), bell=bell, abilities=abilities)
    guest.begin()
    clients = Clients(side.hub, seed)

    def run() -> None:
        found.append(wrap_errors(BaseException, serve)(guest))
        bell.ring([ended])

    _thread.start_new_thread(run, ())
    both = [gevent.spawn(clients.say), gevent.spawn(clients.hear)]
    assert ended.wait(60) and found == [None]
    gevent.joinall(both, timeout=20, raise_error=True)
    assert clients.heard == clients.said
    assert (guest._wake.qsize() <= 2, side.hub._unread.waiting, clients.out.queued_bytes) == (True, 0, 0)
    guest.close()
