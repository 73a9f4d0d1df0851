"""What grpc waits with, without grpc: each wait on a native thread, as many as there are, and the hub goes on."""

from _queue import SimpleQueue  # blocks natively
from types import SimpleNamespace

import gevent
import gevent.socket
import pytest

from spear.adapters.hub import HubBell
from spear.adapters.rpc.completions import Completions

MANY = 40


@pytest.fixture
def completions():
    with HubBell() as bell:
        yield Completions(bell)


def test_more_waits_than_everybodys_pool_has_threads_go_on_at_once(completions):
    asked, told = [SimpleQueue() for _ in range(MANY)], SimpleQueue()

    def wait(number):
        told.put(number)
        return asked[number].get()

    with gevent.Timeout(20):
        waiting = [gevent.spawn(completions.apply, wait, (number,)) for number in range(MANY)]
        while told.qsize() < MANY:
            gevent.sleep(0.001)
        for number, queue in enumerate(asked):
            queue.put(f"answer {number}")
        assert [one.get() for one in waiting] == [f"answer {number}" for number in range(MANY)]


def test_a_queue_that_never_is_empty_lets_the_hub_look_at_sockets(completions, monkeypatch):
    def done(_queue, _deadline):
        return SimpleNamespace(completion_type=None)

    monkeypatch.setattr("spear.adapters.rpc.completions._POLL", done)
    here, there = gevent.socket.socketpair()
    with here, there, gevent.Timeout(20):
        hearing = gevent.spawn(there.recv, 1)
        gevent.sleep(0)
        here.send(b"?")
        taken = 0
        while not hearing.ready():
            completions.apply(done, (None,))
            taken += 1
    assert taken <= 100


def test_who_waits_hears_what_went_wrong(completions):
    with pytest.raises(ZeroDivisionError):
        completions.apply(divmod, (1, 0))


def test_a_wait_that_nobody_wants_any_more_takes_nothing_from_the_next(completions):
    left, release = SimpleQueue(), SimpleQueue()

    def wait():
        left.put("waits")
        return release.get()

    with gevent.Timeout(20):
        gone = gevent.spawn(completions.apply, wait, ())
        while not left.qsize():
            gevent.sleep(0.001)
        gone.kill()
        next_one = gevent.spawn(completions.apply, lambda: "its own", ())
        release.put("somebody else's")
        assert next_one.get() == "its own"
