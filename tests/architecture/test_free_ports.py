"""The ports that tests give to their servers."""

import socket

import pytest

from tests import server


def test_no_port_is_drawn_twice():
    drawn = [server.free_port() for _ in range(1_000)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", ""])
def test_a_port_on_which_somebody_listens_is_not_free(host, monkeypatch):
    with socket.create_server((host, 0)) as listening:
        taken = listening.getsockname()[1]
        monkeypatch.setattr(server, "_PORTS", iter([taken, free := server.free_port()]))
        assert server.free_port() == free
