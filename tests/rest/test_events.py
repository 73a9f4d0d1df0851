"""The log over HTTP: pages, filters, and streams that neither miss nor repeat an event."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
import pytest

from spear.adapters.rpc.generated.sms import object_registry_pb2
from spear.domain.base import TOPICS
from spear.events import mapper  # noqa: F401  every event registers its topic
from tests.rest._server import SAMPLES, listening, serving
from tests.rpc._wire import Stub, connected
from tests.server import eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("events") / "data") as found:
        found.agent(SAMPLES / "hello.wasm", "Hello")
        assert found.post("/e/hello").ok
        found.put("/objects/b/k", b"1")
        found.put("/objects/b/k", b"2")
        found.put("/objects/bare", b"3")
        tools = {"server_id": "t", "transport": "stdio", "stdio": {"command": "t"}}
        assert found.post("/mcp/servers", json=tools).ok
        (node, *_) = found.get("/nodes").json()["nodes"]
        assert found.post(f"/nodes/{node['uuid']}/ai-models", json={"provider": "vllm", "model": "m"}).ok
        assert found.call("PUT", f"/nodes/{node['uuid']}/backends", json={"backends": []}).ok
        assert found.post("/tokens", json={"name": "t", "role": "client"}).ok
        task = next(event for event in found.get("/events", params={"type": "TaskCreated"}).json()["events"])["id"]
        assert found.post("/placement/invocations/place", json={"request_id": "r", "task_id": task}).ok
        report_an_object(found)
        yield found


def report_an_object(server):
    """As another node does."""
    node = server.post("/nodes", json={"ip_address": "127.0.0.1", "port": 1}).json()["node_uuid"]
    held = {"bucket": "b", "key": "afar", "version": 1, "sha256": "0" * 64}
    with connected(server) as channel:
        registry = Stub(channel, object_registry_pb2, "ObjectRegistryService")
        assert registry.ReportObject(node_uuid=node, updated_at_us=1, object=held).accepted


def page(server, **query):
    answer = server.get("/events", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def itself(event):
    """The event without its place in a feed, which test_cursors.py looks at."""
    return {name: value for name, value in event.items() if name not in ("previous", "cursor")}


def events(server, **query) -> Iterator[dict]:
    """All of them, a small page at a time."""
    after, query = query.pop("after", 0), {"limit": 7} | query
    while True:
        found = page(server, after=after, **query)
        yield from map(itself, found["events"])
        after = found["next_after"]
        if after >= found["head"]:
            return


def test_an_event_says_what_happened_when_to_whom_and_why(server):
    answer = server.put("/objects/b/why", b"x", headers={"X-Request-Id": "me-1"})
    position = int(answer.headers["X-Position"])
    (event,) = page(server, after=position - 1, limit=1)["events"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(event["time"])).total_seconds()) < 60
    assert event["data"]["bucket"] == "b" and event["data"]["key"] == "why"
    assert event | {"time": "", "data": {}, "id": "", "hash": "", "cursor": ""} == {
        "position": position,
        "type": "ObjectPut",
        "topic": "object.ObjectPut",
        "noun": "object",
        "id": "",
        "version": 1,
        "time": "",
        "actor": "rest",
        "cause": 0,
        "correlation": "me-1",
        "data": {},
        "hash": "",
        "previous": position - 1,
        "cursor": "",
    }
    assert len(event["hash"]) == 64


def test_positions_are_dense_from_one_to_the_head(server):
    found = list(events(server))
    assert [event["position"] for event in found] == list(range(1, page(server)["head"] + 1))


def test_a_page_that_reaches_the_head_continues_with_what_comes_next(server):
    cursor = page(server, limit=1000)["next_after"]
    assert page(server, after=cursor)["events"] == []
    server.put("/objects/b/next", b"x")
    found = page(server, after=cursor)
    assert [event["type"] for event in found["events"]] == ["ObjectPut"]
    assert found["next_after"] == found["head"]


def test_minus_one_asks_from_now_on(server):
    found = page(server, after=-1)
    assert (found["events"], found["next_after"]) == ([], found["head"])


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ("ObjectPut", {"ObjectPut"}),
        ("object.ObjectPut", {"ObjectPut"}),
        ("TaskCreated, node.NodeRegistered,FileUploaded", {"TaskCreated", "NodeRegistered", "FileUploaded"}),
        ("ObjectPinned", set()),
    ],
)
def test_a_type_may_be_given_with_or_without_its_noun(server, types, found):
    assert {event["type"] for event in events(server, type=types)} == found


@pytest.mark.parametrize("noun", sorted({topic.partition(".")[0] for topic in TOPICS}))
def test_a_noun_gives_all_of_its_events_and_no_others(server, noun):
    of_noun = [event for event in events(server) if event["noun"] == noun]
    assert of_noun and list(events(server, noun=noun))[: len(of_noun)] == of_noun
    assert {event["noun"] for event in events(server, noun=noun)} == {noun}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"type": "Nonsense"}, "type"),
        ({"type": "ObjectPut,"}, None),
        ({"type": "TaskCreated", "noun": "node"}, "type"),
        ({"noun": "nodes"}, "noun"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"after": -2}, "after"),
        ({"after": "x"}, "after"),
    ],
)
def test_a_type_noun_or_cursor_that_cannot_be_is_refused(server, query, field):
    for headers in ({}, {"Accept": "text/event-stream"} if field else {}):
        answer = server.get("/events", params=query, headers=headers)
        assert answer.status_code == (422 if field else 200)
        assert not field or answer.json()["details"]["field"] == field


def test_the_id_of_a_node_gives_its_heartbeats_too(server):
    node = server.call("POST", "/nodes", json={"ip_address": "127.0.0.9", "port": 1}).json()["node_uuid"]
    server.call("POST", f"/nodes/{node}/heartbeat")
    for spelling in (node, node.upper(), node.replace("-", "")):
        assert [event["type"] for event in events(server, id=spelling)][:2] == ["NodeRegistered", "Heartbeat"]


def test_an_object_is_found_by_its_key_and_an_endpoint_by_its_name(server):
    assert [event["data"]["object_version"] for event in events(server, id="b/k")] == [1, 2]
    assert [event["data"]["bucket"] for event in events(server, id="bare", noun="object")] == ["default"]
    assert [event["type"] for event in events(server, id="hello", noun="endpoint")] == ["EndpointClaimed"]
    assert list(events(server, id="b/k", type="ObjectDeleted")) == []


@pytest.mark.parametrize("ident", ["nonsense", "00000000-0000-0000-0000-000000000000", "/", "a/", "日"])
def test_an_id_that_names_nothing_finds_nothing(server, ident):
    assert list(events(server, id=ident)) == []


def test_a_stream_begins_with_the_past_and_goes_on_with_the_present(server):
    with listening(server, "/events?noun=object&id=b/k") as heard:
        past = [next(heard), next(heard)]
        position = server.put("/objects/b/k", b"3").json()["position"]
        now = next(heard)
    assert [one.data["data"]["object_version"] for one in (*past, now)] == [1, 2, 3]
    assert (now.id, now.event) == (str(position), "ObjectPut")
    (same,) = page(server, after=position - 1, limit=1)["events"]
    assert itself(now.data) == itself(same)


def test_a_stream_from_now_on_leaves_the_past_out(server):
    with listening(server, "/events?after=-1&noun=file") as heard:
        server.post("/files", b"x")
        assert next(heard).event == "FileUploaded"


def test_the_last_event_id_wins_over_after(server):
    with listening(server, "/events?after=0", after="3") as heard:
        assert next(heard).id == "4"


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30])
def test_a_last_event_id_that_no_event_had_is_refused(server, after):
    answer = server.get("/events", headers={"Accept": "text/event-stream", "Last-Event-ID": after})
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, "Last-Event-ID")


def test_a_reader_that_is_cut_off_again_and_again_misses_and_repeats_nothing(server):
    first, stop = page(server)["head"], threading.Event()

    def write(number):
        for turn in itertools.count():
            if stop.is_set():
                return
            server.call("PUT", f"/objects/race/{number}", data=b"%d" % turn)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    found, after = [], str(first)
    try:
        for turn in range(12):
            with listening(server, "/events", after=after) as heard:
                found += itertools.islice(heard, 40 + turn)
            after = found[-1].id
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [int(one.id) for one in found] == list(range(first + 1, first + 1 + len(found)))
    assert len(found) > 400


def ask(server, path):
    """An open stream, as nothing but a connection."""
    connection = server.connection()
    connection.sendall(f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
    return connection


def test_a_reader_who_stops_reading_costs_nothing_and_finds_everything_later(server):
    with ask(server, "/events?noun=object") as idle:
        before = server.rss_mb
        for number in range(3000):
            last = server.put(f"/objects/slow/{number % 10}", b"x" * 4000).json()["position"]
        assert server.rss_mb - before < 40
        heard = bytearray()
        while b"id: %d\n" % last not in heard[-20_000:]:
            heard += idle.recv(1 << 20)
    numbers = [int(line[4:]) for line in heard.split(b"\n") if line.startswith(b"id: ")]
    assert numbers == sorted(set(numbers)) and len(numbers) >= 3000


def test_a_quiet_stream_is_kept_alive_by_comments_whether_something_else_happens_or_not(server):
    with ask(server, "/events?after=-1&type=NodeDeleted") as quiet, ThreadPoolExecutor(1) as pool:
        quiet.settimeout(22)  # after 15 s, in which other events come at first and none at last
        alive = pool.submit(wait_for, quiet, b": alive\n\n")
        noisy_until = time.monotonic() + 10
        while time.monotonic() < noisy_until and not alive.done():
            server.put("/objects/b/noise", b"x")
        heard = alive.result()
    assert b"\nevent:" not in heard


def wait_for(connection, wanted):
    """Everything that came up to these bytes."""
    heard = b""
    while wanted not in heard:
        more = connection.recv(65536)
        assert more, heard
        heard += more
    return heard


def test_a_client_that_goes_away_frees_its_place_and_too_many_are_refused(server):
    def opened():
        one = ask(server, "/events?after=-1")
        return one, one.recv(20)

    def free():
        server.put("/objects/b/tick", b"x")  # writing to a connection is how its end is noticed
        one, status = opened()
        one.close()
        return b" 200 " in status

    def fill():
        many.append(opened())
        return b" 429 " in many[-1][1]

    many = []
    eventually(fill)
    assert len(many) > 200
    refused = server.get("/events", headers={"Accept": "text/event-stream"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert server.get("/events").status_code == 200
    for one, _ in many:
        one.close()
    eventually(free)
    assert "Traceback" not in server.output()


def test_an_open_stream_does_not_keep_the_server_from_stopping(tmp_path):
    with serving(tmp_path / "data") as server:
        server.put("/objects/a", b"x")
        with listening(server, "/events") as heard:
            assert next(heard).id == "1"
            assert server.timed_stop() < 5
        assert "Traceback" not in server.output()


def test_a_stream_continues_over_a_restart(tmp_path):
    with serving(tmp_path / "data") as server:
        server.put("/objects/a", b"1")
        with listening(server, "/events?noun=object") as heard:
            last = next(heard).id
        server.put("/objects/a", b"2")
        server.restart()
        server.put("/objects/a", b"3")
        with listening(server, "/events?noun=object", after=last) as heard:
            assert [one.data["data"]["object_version"] for one in itertools.islice(heard, 2)] == [2, 3]


def test_a_stream_carries_any_text_in_one_line_of_json(server):
    answer = server.put('/objects/odd/日"x', b"x", headers={"Content-Type": 'a/b; c="d"'})
    position = answer.json()["position"]
    with ask(server, f"/events?after={position - 1}") as stream:
        heard = wait_for(stream, b"}\n\n")
    line = next(line for line in heard.split(b"\n") if line.startswith(b"data: "))
    data = msgspec.json.decode(line[6:])["data"]
    assert (data["key"], data["content_type"]) == ('日"x', 'a/b; c="d"')
