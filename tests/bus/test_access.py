"""Who may follow by the bus: beyond loopback, who shows a token for it at each read."""

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
import zmq

from spear.client import Bus, follow
from spear.errors import Forbidden, Unauthenticated
from tests.closed import Closed
from tests.server import Server


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    with Closed(tmp_path_factory.mktemp("closed") / "data") as server:
        yield server


def line(server: Closed, token: str) -> closing[Bus]:
    return closing(Bus(f"127.0.0.1:{server.bus_port}", key=server.bus_key, token=token, patience_s=20))


@pytest.mark.parametrize("role", ["admin", "operator"])
def test_who_may_read_events_follows(closed, role):
    with closing(follow(f"127.0.0.1:{closed.bus_port}", key=closed.bus_key, token=closed.tokens[role])) as followed:
        assert next(followed).position == 1


@pytest.mark.parametrize("role", ["node", "client"])
def test_who_may_not_is_refused(closed, role):
    with line(closed, closed.tokens[role]) as reader, pytest.raises(Forbidden, match="the event bus is not for role"):
        reader.read()


@pytest.mark.parametrize(("token", "told"), [("", "missing"), ("spear_wrong", "unknown or was revoked")])
def test_who_brings_no_good_token_learns_nothing(closed, token, told):
    with line(closed, token) as reader, pytest.raises(Unauthenticated, match=told) as caught:
        reader.read()
    assert "spear_wrong" not in caught.value.message
    with line(closed, token) as reader:
        with pytest.raises(Unauthenticated):  # a bad cursor is not looked at
            reader.read(cursor="nonsense")
        with pytest.raises(Unauthenticated):  # nor is content
            reader.fetch("a" * 64, 0)


def test_a_revoked_token_reads_no_further(closed):
    with line(closed, closed.issued("brief", "operator")) as reader:
        page = reader.read(limit=1)
        assert closed.as_(closed.tokens["admin"], "DELETE", "/api/v1/tokens/brief").ok
        with pytest.raises(Unauthenticated, match="was revoked"):
            reader.read(cursor=page.cursor)


def test_a_notice_says_how_far_the_log_is_and_no_more(closed):
    with line(closed, closed.tokens["operator"]) as reader:
        port = reader.read(limit=1).notices
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    try:
        subscriber.curve_publickey, subscriber.curve_secretkey = zmq.curve_keypair()
        subscriber.curve_serverkey = closed.bus_key.encode()
        subscriber.setsockopt(zmq.SUBSCRIBE, b"")
        subscriber.connect(f"tcp://127.0.0.1:{port}")
        assert subscriber.poll(20_000)
        assert set(msgspec.msgpack.decode(subscriber.recv())) == {"log", "head"}
    finally:
        context.destroy(linger=0)


def test_on_loopback_nobody_needs_a_token_and_a_wrong_one_is_refused(tmp_path):
    with Server(tmp_path / "data") as server:
        for token, refused in (("", False), ("spear_wrong", True)):
            with closing(Bus(f"127.0.0.1:{server.bus_port}", token=token, patience_s=20)) as reader:
                if refused:
                    pytest.raises(Unauthenticated, reader.read)
                else:
                    assert reader.read(limit=1).facts
