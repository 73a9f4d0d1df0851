"""The event bus of a real server process: every event once, in order, whatever happens to either end."""

import hashlib
import os
import signal
import socket
import stat
import threading
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from random import Random

import msgspec
import pytest
import requests
import zmq

from spear.adapters.bus.keys import own_keys
from spear.client import Bus, follow
from spear.errors import CursorReset, Invalid, NotFound, StartupError, Unavailable
from spear.protocols import bus
from tests.e2e._liar import Liar
from tests.rest._server import serving
from tests.server import eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("bus") / "data") as found:
        write(found, 30)
        yield found


def address(server):
    return f"127.0.0.1:{server.bus_port}"


def write(server, count, *, name="k"):
    for number in range(count):
        assert server.put(f"/objects/b/{name}", b"%d" % number).ok


def head(server):
    return server.get("/ready").json()["head"]


def over_rest(server, **query):
    return server.get("/events", params={"limit": 1000, **query}).json()["events"]


@pytest.mark.parametrize("chosen", [{}, {"noun": "object"}, {"types": "ObjectPut,NodeRegistered"}, {"id": "b/k"}])
def test_the_bus_says_what_rest_says(server, chosen):
    expected = over_rest(server, **{"type" if name == "types" else name: value for name, value in chosen.items()})
    with closing(follow(address(server), **chosen)) as followed:
        found = list(islice(followed, len(expected)))
    for event, same in zip(found, expected, strict=True):
        assert (event.position, event.topic, event.id, event.hash) == (
            same["position"], same["topic"], same["id"], same["hash"],
        )  # fmt: skip
        assert (event.previous, event.cursor, event.data) == (same["previous"], same["cursor"], same["data"])
        assert (event.type, event.actor, event.time.isoformat()) == (
            same["type"], same["actor"], same["time"].replace("Z", "+00:00"),
        )  # fmt: skip


def test_a_follower_goes_on_at_the_cursor_of_any_event(server):
    with closing(follow(address(server))) as followed:
        first = list(islice(followed, 8))
    with closing(follow(address(server), first[4].cursor)) as followed:
        assert list(islice(followed, 3)) == first[5:]


def test_rest_and_bus_take_each_others_cursors(server):
    cursor = over_rest(server, noun="object")[3]["cursor"]
    with closing(follow(address(server), cursor)) as followed:
        event = next(followed)
    assert over_rest(server, cursor=event.cursor)[0]["previous"] == event.position


def test_a_follower_hears_what_is_written_while_it_waits(server):
    with closing(follow(address(server), after=-1, noun="file")) as followed:
        heard = []
        listener = threading.Thread(target=lambda: heard.append(next(followed)))
        listener.start()
        while listener.is_alive():
            server.post("/files", b"x")
            listener.join(0.05)
    assert heard[0].type == "FileUploaded"


def test_a_follower_whom_no_notice_reaches_hears_everything_all_the_same(server):
    def nowhere(page):
        page["notices"] = port

    with socket.create_server(("127.0.0.1", 0)) as deaf, Liar(server.bus_port, nowhere) as between:
        port = deaf.getsockname()[1]
        with closing(follow(f"127.0.0.1:{between.port}", after=-1, noun="object")) as followed:
            heard = []
            listener = threading.Thread(target=lambda: heard.extend(islice(followed, 3)))
            listener.start()
            eventually(lambda: between.passed)  # it stands at the end of the log and waits
            write(server, 3, name="unsaid")
            listener.join(20)
    assert [event.type for event in heard] == ["ObjectPut"] * 3
    assert [event.previous for event in heard[1:]] == [event.position for event in heard[:-1]]


def test_many_followers_over_kills_and_disconnects_each_end_with_every_event_once(tmp_path):
    with serving(tmp_path / "data") as server:
        stop, end, heard = threading.Event(), [2**62], [[] for _ in range(6)]

        def busy(name):
            while not stop.wait(0.005):
                with suppress(requests.RequestException):
                    requests.put(f"{server.url}/api/v1/objects/b/{name}", data=b"x" * 50, timeout=5)

        def listen(number):
            random, cursor = Random(number), ""
            while True:
                with closing(follow(address(server), cursor)) as followed:
                    for event in islice(followed, random.randint(1, 60)):  # then its connection is cut
                        heard[number].append(event.position)
                        cursor = event.cursor
                        if event.position >= end[0]:
                            return
                        stop.wait(0.002 * (number % 3 == 0))  # a slow reader

        writers = [threading.Thread(target=busy, args=(f"w{number}",), daemon=True) for number in range(2)]
        listeners = [threading.Thread(target=listen, args=(number,), daemon=True) for number in range(len(heard))]
        for thread in (*writers, *listeners):
            thread.start()
        for kills in range(1, 4):
            eventually(lambda least=60 * kills: min(map(len, heard)) >= least, within_s=60)
            server.stop(signal.SIGKILL)
            server.start()
        stop.set()
        for thread in writers:
            thread.join()
        end[0] = head(server) + 1
        write(server, 2, name="last")
        for thread in listeners:
            thread.join(20)
        assert [found == list(range(1, len(found) + 1)) for found in heard] == [True] * len(heard)
        assert min(map(len, heard)) >= end[0]


def test_a_cursor_of_another_log_is_reset(server, tmp_path):
    cursor = over_rest(server, noun="object")[3]["cursor"]
    with serving(tmp_path / "data") as other:
        with pytest.raises(CursorReset) as told:
            next(follow(address(other), cursor))
        assert told.value.details["reason"] == "other_log"
        write(other, 1)
        with closing(follow(address(other), str(told.value.details["cursor"]))) as followed:
            assert next(followed).type == "ObjectPut"


def test_a_foreign_cursor_type_or_address_is_refused_by_name(server):
    for wanted, field in (({"cursor": "x"}, "cursor"), ({"noun": "x"}, "noun"), ({"types": "X"}, "type")):
        with pytest.raises(Invalid) as told:
            next(follow(address(server), **wanted))
        assert told.value.details["field"] == field
    with pytest.raises(Invalid, match="address: got 'nowhere'"):
        next(follow("nowhere"))


def test_patience_ends_where_nobody_answers():
    with zmq.Context() as context, context.socket(zmq.ROUTER) as silent:
        port = silent.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port} gave no answer for 0.1 s"):
            next(follow(f"127.0.0.1:{port}", patience_s=0.1))


class Slow(threading.Thread):
    """A bus that answers one question after the other, and takes for each four times as long as a reader waits at first."""

    def __init__(self, context: zmq.Context, answer_s: float) -> None:
        super().__init__(daemon=True)
        self._socket, self._answer_s = context.socket(zmq.ROUTER), answer_s
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            if self._socket.poll(50):
                reader, version, body = self._socket.recv_multipart()
                self._over.wait(4 * self._answer_s)
                refusal = bus.Refusal(msgspec.msgpack.decode(body)["request"], "NOT_NOW", "asked at last", {})
                self._socket.send_multipart([reader, version, msgspec.msgpack.encode(refusal)])
        self._socket.close(0)

    def __exit__(self, *_) -> None:
        self._over.set()
        self.join()

    def __enter__(self):
        self.start()
        return self


def to(slow: Slow, *, patience_s: float) -> closing[Bus]:
    return closing(Bus(f"127.0.0.1:{slow.port}", patience_s=patience_s))


def heard_by(reader: Bus) -> Exception | None:
    try:
        reader.read()
    except (Invalid, Unavailable) as error:
        return error
    return None


def test_a_server_that_is_slower_than_its_readers_first_patience_is_heard_in_the_end(monkeypatch):
    monkeypatch.setattr("spear.client._ANSWER_S", 0.05)
    with zmq.Context() as context, Slow(context, 0.05) as slow, to(slow, patience_s=20) as reader:
        for _ in range(2):
            with pytest.raises(Invalid, match="asked at last"):
                reader.read()


def test_who_gives_up_and_comes_again_is_heard_by_a_slow_server_too(monkeypatch):
    monkeypatch.setattr("spear.client._ANSWER_S", 0.05)
    with zmq.Context() as context, Slow(context, 0.05) as slow, to(slow, patience_s=0.01) as reader:
        heard = [heard_by(reader) for _ in range(8)]
    assert isinstance(heard[0], Unavailable) and any(isinstance(one, Invalid) for one in heard)


@pytest.fixture
def raw(server):
    """A socket that says anything."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(f"tcp://{address(server)}")
        yield dealer


def answer(raw):
    assert raw.poll(10_000), "no answer"
    version, body = raw.recv_multipart()
    assert version == bus.VERSION
    return msgspec.msgpack.decode(body)


BROKEN = {
    "nothing": [b""],
    "one frame": [bus.VERSION],
    "another version": [b"SPEAR9", msgspec.msgpack.encode({"request": 1})],
    "too many frames": [bus.VERSION, b"", b""],
    "no msgpack": [bus.VERSION, b"\xc1\xff"],
    "no map": [bus.VERSION, b"\x01"],
    "no request": [bus.VERSION, msgspec.msgpack.encode({})],
    "bad text": [bus.VERSION, b"\x82\xa7request\x01\xa6cursor\xa2\xff\xfe"],
    "limit 0": [bus.VERSION, msgspec.msgpack.encode({"request": 1, "limit": 0})],
    "after -2": [bus.VERSION, msgspec.msgpack.encode({"request": 1, "after": -2})],
    "no hash": [bus.CONTENT, msgspec.msgpack.encode({"request": 1, "sha256": "../" + "a" * 61})],
    "content before its beginning": [
        bus.CONTENT,
        msgspec.msgpack.encode({"request": 1, "sha256": "a" * 64, "offset": -1}),
    ],
    "a long token": [bus.VERSION, msgspec.msgpack.encode({"request": 1, "token": "A" * 9000})],
    "a token that is no text": [bus.VERSION, msgspec.msgpack.encode({"request": 1, "token": 7})],
    "a long cursor": [bus.VERSION, msgspec.msgpack.encode({"request": 1, "cursor": "A" * 9000})],
}


@pytest.mark.parametrize("name", BROKEN)
def test_malformed_frames_are_refused_clearly_and_others_go_on(server, raw, name):
    raw.send_multipart(BROKEN[name])
    refused = answer(raw)
    assert (refused["kind"], refused["code"], refused["request"]) == ("refused", "MALFORMED_REQUEST", 0)
    assert "expected" in refused["message"]
    raw.send_multipart([bus.VERSION, msgspec.msgpack.encode({"request": 7, "limit": 1})])
    assert answer(raw)["request"] == 7


def test_an_oversized_frame_costs_its_sender_the_connection_and_nobody_else(server, raw):
    raw.send_multipart([bus.VERSION, bytes(bus.MOST_REQUEST_BYTES + 1)])
    with closing(Bus(address(server))) as other:
        assert other.read(limit=1).facts[0].position == 1


def test_a_reader_that_asks_and_never_reads_costs_little_memory(server, raw):
    write(server, 400, name="x" * 900)
    raw.setsockopt(zmq.RCVHWM, 1)
    before = server.rss_mb
    for number in range(900):
        raw.send_multipart([bus.VERSION, msgspec.msgpack.encode({"request": number})])
    with closing(Bus(address(server))) as other:
        for _ in range(20):
            other.read()
    assert server.rss_mb - before < 60


def test_a_page_is_bounded_and_continues(server):
    with closing(Bus(address(server))) as line:
        page = line.read(limit=4)
        assert [fact.position for fact in page.facts] == [1, 2, 3, 4]
        assert line.read(cursor=page.cursor, limit=1).facts[0].position == 5


def test_a_page_of_large_events_is_bounded_in_bytes_and_continues(server):
    metadata = {f"m{number}": "x" * 8000 for number in range(64)}
    for number in range(12):
        body = {"name": "t", "version": "1", "endpoint": f"large{number}", "metadata": metadata}
        assert server.call("POST", "/tasks", json=body).ok
    with closing(Bus(address(server))) as line:
        page = line.read(types="TaskCreated")
        assert sum(len(fact.state) for fact in page.facts) < bus.MOST_PAGE_BYTES
        rest = line.read(cursor=page.cursor)
    assert len(page.facts) + len(rest.facts) == len(over_rest(server, type="TaskCreated"))
    assert rest.previous == page.facts[-1].position


def test_content_is_read_in_pieces_by_its_hash(server):
    whole = bytes(range(256)) * 4000
    sha256 = hashlib.sha256(whole).hexdigest()
    assert server.post("/files", whole).ok
    with closing(Bus(address(server))) as line:
        pieces = [line.fetch(sha256, 0)]
        while sum(len(piece.data) for piece in pieces) < pieces[0].size:
            pieces.append(line.fetch(sha256, sum(len(piece.data) for piece in pieces)))
        assert b"".join(piece.data for piece in pieces) == whole
        assert max(len(piece.data) for piece in pieces) <= bus.PIECE_BYTES
        assert line.fetch(sha256, len(whole) + 5).data == b""
        with pytest.raises(NotFound):
            line.fetch("0" * 64, 0)
        assert line.read(limit=1).facts[0].position == 1


def test_where_the_address_may_be_reached_from_elsewhere_the_bus_is_encrypted_with_a_key_that_stays(tmp_path):
    with serving(tmp_path / "data", "--bus-addr", "127.1:0", "--insecure") as server:
        keys = tmp_path / "data" / "bus.key"
        assert stat.S_IMODE(os.stat(keys).st_mode) == 0o600
        public = dict(line.split() for line in keys.read_text().splitlines())["public"]
        where = told_port(server)  # 127.1 is an address that no rule knows as loopback
        write(server, 3)
        with closing(follow(where, key=public)) as followed:
            assert [event.position for event in islice(followed, 3)] == [1, 2, 3]
        for wrong in ("", zmq.curve_keypair()[0].decode()):
            with pytest.raises(Unavailable):
                next(follow(where, key=wrong, patience_s=0.1))
        secret = dict(line.split() for line in keys.read_text().splitlines())["secret"]
        assert public in server.output() and secret not in server.output()
        server.restart()
        with closing(follow(told_port(server), key=public)) as followed:
            assert next(followed).position == 1


def told_port(server):
    """The address that the server's last start told."""
    lines = [line for line in server.output().splitlines() if "the bus listens on port" in line]
    return "127.0.0.1:" + lines[-1].partition("on port ")[2].partition(",")[0]


def test_a_broken_key_file_is_one_clear_line(tmp_path: Path):
    (tmp_path / "bus.key").write_text("public x\nsecret y\n")
    with pytest.raises(StartupError, match=r"bus\.key: expected the bus's two keys"):
        own_keys(tmp_path / "bus.key")
