"""What user streams are made of: pipes that are bounded and lose nothing, and tokens that are good once and not for long."""

import itertools
import threading

import pytest

from spear.errors import ExecutionTimedOut, Forbidden, Overloaded, Unauthenticated
from spear.events._bell import ThreadBell, ThreadTicket
from spear.protocols import ssf
from spear.services import endpoints, streams
from spear.services.hubs import Hub
from spear.services.pipes import Pipe
from spear.services.sessions import EXPIRES_IN_MS, Sessions
from spear.services.streams import Attachment
from spear.services.tokens import ANYBODY
from tests.core._node import ORIGIN, node, until
from tests.crash._support import SteadyClock


def test_a_pipe_takes_no_more_than_its_bytes_until_somebody_reads():
    pipe = Pipe(ThreadBell(), most_bytes=10)
    assert pipe.put(b"12345") and pipe.put(b"67890") and not pipe.put(b"x")
    assert pipe.take() == [b"12345", b"67890"]
    assert pipe.put(b"1234567890")


def test_a_closed_pipe_gives_what_waits_and_then_its_end():
    pipe = Pipe(ThreadBell())
    assert pipe.take(0) == []
    pipe.put(b"last")
    pipe.close()
    assert not pipe.put(b"late")
    assert pipe.take() == [b"last"] and pipe.take() is None


def test_a_pipe_between_threads_loses_nothing_and_keeps_the_order():
    pipe, sent = Pipe(ThreadBell(), most_bytes=64), [b"%d" % number for number in range(5000)]

    def write():
        for frame in sent:
            while not pipe.put(frame):
                pass
        pipe.close()

    writer = threading.Thread(target=write)
    writer.start()
    found = list(itertools.chain.from_iterable(iter(pipe.take, None)))
    writer.join()
    assert found == sent


class Interrupted(Pipe):
    """Somebody takes all that waits just after the look of this number."""

    def __init__(self, at: int, *, eased) -> None:
        self.at = 0
        super().__init__(ThreadBell(), most_bytes=10, eased=eased)
        self.put(b"1234567890")
        self.at = at

    @property
    def queued_bytes(self) -> int:
        seen = super().queued_bytes
        self.at -= 1
        if self.at == 0:
            self.take(0)
        return seen


@pytest.mark.parametrize("at", [1, 2, 3])
def test_whoever_finds_no_room_sees_it_at_the_second_look_or_is_told(at):
    told = []
    pipe = Interrupted(at, eased=lambda: told.append("eased"))
    found = pipe.fits(1)
    pipe.take(0)
    assert (found, told) in [(True, []), (True, ["eased"]), (False, ["eased"])]
    assert found == (at == 1)


def test_a_taker_is_rung_once_however_much_comes_before_it_wakes():
    rung = []

    class Bell(ThreadBell):
        def ring(self, tickets):
            rung.extend(tickets)
            super().ring(tickets)

        def ticket(self):
            return Slow()

    class Slow(ThreadTicket):
        def wait(self, timeout_s=None):
            for number in range(1000):
                pipe.put(b"%d" % number)
            return super().wait(timeout_s)

    pipe = Pipe(Bell())
    for times in (1, 2):
        assert (len(pipe.take()), len(rung)) == (1000, times)


class Written:
    """An execution that ends just after somebody found that it had written nothing; its last word comes before that."""

    def __init__(self, hub):
        self.hub, self.asked = hub, 0

    def running(self):
        self.asked += 1
        if self.asked == 1:
            self.hub._out.put(b"last words")
        return False


def test_what_a_guest_writes_just_before_its_end_is_heard(monkeypatch):
    monkeypatch.setattr(streams, "_LOOK_S", 0)
    hub = Hub(ThreadBell())
    link = streams._Here(hub, ThreadBell(), Written(hub).running)
    assert list(link.frames()) == [[b"last words"]]


def test_a_guest_that_writes_as_fast_as_it_is_heard_leaves_the_others_their_turn(monkeypatch):
    monkeypatch.setattr(streams, "_LOOK_S", 0)
    turns = []

    class Bell(ThreadBell):
        def turn(self):
            turns.append(hub._out.put(b"more"))

    hub = Hub(ThreadBell())
    link = streams._Here(hub, Bell(), lambda: False)
    hub._out.put(b"first")
    heard = [found for found, _ in zip(link.frames(), range(5), strict=False)]
    assert (heard[1:], turns) == ([[b"more"]] * 4, [True] * 5)


class Wire:
    """A link that keeps what is sent."""

    def __init__(self):
        self.sent, self.left = [], []

    def leave(self, stream_id):
        self.left.append(stream_id)

    def send(self, frame):
        self.sent.append(ssf.read(frame).stream_id)


def test_stream_ids_of_many_clients_never_meet_and_are_not_given_out_again_at_once(monkeypatch):
    monkeypatch.setattr(ssf, "LONGEST_ID", 4)
    relay = streams._Relay("e", Wire())
    one, two = (Attachment(relay, None, lambda: None) for _ in range(2))
    for client, stream_id in ((one, 9), (two, 9), (one, 9), (one, 8)):
        client.send(stream_id, ssf.make(2, stream_id))
    one.release(9)
    two.send(7, ssf.make(2, 7))
    two.send(6, ssf.make(2, 6))  # after the last id the first free one
    assert relay.link.sent == [1, 2, 1, 3, 4, 1]
    with pytest.raises(Overloaded, match="no stream id"):
        one.send(1, ssf.make(2, 1))
    two.close()
    one.send(1, ssf.make(2, 1))
    one.close()
    assert relay.link.left == [1, 4, 2]  # and not what the last one had: the link's end says that


def test_who_asks_for_an_endpoint_whose_agent_does_not_begin_hears_so_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(endpoints, "PATIENCE_S", 0.05)
    with node(tmp_path, max_concurrent=1) as here:
        _, _, guest = here.begin(here.task())
        here.task(endpoint="talk")
        ways = endpoints.Endpoints(here.log, here.reader, tasks=here.tasks, executions=here.executions, streams=None)
        with pytest.raises(ExecutionTimedOut, match=r"did not begin within 0.05 s") as told:
            ways.open(ORIGIN, "Talk")
        assert (told.value.code, told.value.http_status) == ("UPSTREAM_TIMEOUT", 504)
        here.guests.at_once = True
        guest.end()
        until(here.at_rest)


@pytest.fixture
def clock():
    return SteadyClock()


@pytest.fixture
def sessions(clock):
    return Sessions(secret=map("token-{}".format, itertools.count()).__next__, clock=clock)


def test_a_token_is_good_once_for_its_execution_and_not_after_a_minute(sessions, clock):
    token, late = sessions.issue("a", ANYBODY), sessions.issue("a", ANYBODY)
    with pytest.raises(Forbidden):
        sessions.redeem(token, "b")
    sessions.redeem(token, "a")
    for bad in (token, "other"):
        with pytest.raises(Unauthenticated):
            sessions.redeem(bad, "a")
    clock.time_us += EXPIRES_IN_MS * 1000
    with pytest.raises(Unauthenticated):
        sessions.redeem(late, "a")


def test_tokens_that_nobody_uses_are_bounded_and_make_room_when_they_expire(sessions, clock, monkeypatch):
    monkeypatch.setattr("spear.services.sessions.MOST", 3)
    for _ in range(3):
        sessions.issue("a", ANYBODY)
    with pytest.raises(Overloaded):
        sessions.issue("a", ANYBODY)
    clock.time_us += EXPIRES_IN_MS * 1000
    sessions.issue("a", ANYBODY)
    assert len(sessions._good) == 1
