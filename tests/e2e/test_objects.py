"""Objects and results in a fleet of real processes: what one node has is read at every other, and at their SMS."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from spear.adapters.rpc.generated.spearlet import object_pb2
from tests.e2e._cut import Between
from tests.e2e.test_cli import failed, ok, spear
from tests.e2e.test_forwarding import joined, uuid_of
from tests.rpc._wire import Stub, connected
from tests.server import Server, events_of, eventually

BIG = bytes(range(256)) * 2000
Fleet = tuple[Server, Server]


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("objects") / "sms", role="sms") as found:
        yield found


@pytest.fixture(scope="module")
def both(sms: Server) -> Iterator[Fleet]:
    folder = sms.data_dir.parent
    with joined(folder, sms, "one") as one, joined(folder, sms, "two") as two:
        yield one, two


@pytest.fixture(scope="module")
def echo(sms: Server) -> str:
    return sms.register("echo", endpoint="parrot")


def ran(sms: Server, node: Server, data: bytes = BIG) -> str:
    """The path of the result of a run that the node was asked for, once the SMS heard of it."""
    answer = node.post("/e/parrot", data=data)
    assert answer.content == data
    ident = answer.headers["X-Execution-Id"]
    found = eventually(lambda: (row := sms.get(f"/api/v1/executions/{ident}").json()).get("completed_at_ms") and row)
    return f"/api/v1/objects/results/{found['task_id']}/{ident}"


def shown(sms: Server, result: str) -> dict[str, Any]:
    """The execution of a result as the SMS shows it."""
    found: dict[str, Any] = sms.get(f"/api/v1/executions/{result.rpartition('/')[2]}").json()
    return found


def head_of(answer: requests.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges")}


@contextmanager
def reached_by(sms: Server, node: Server, between: Between) -> Iterator[None]:
    """The SMS reaches the node's HTTP by a server in between."""
    path = f"/api/v1/nodes/{uuid_of(node)}"
    try:
        assert sms.call("PUT", path, json={"http_port": int(between.url.rpartition(":")[2])}).status_code == 200
        yield
    finally:
        assert sms.call("PUT", path, json={"http_port": node.port}).status_code == 200


def test_a_result_that_the_sms_was_told_of_is_served_there(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0])
    uris = eventually(lambda: sms.get(f"/api/v1/tasks/{echo}").json()["result_uris"])
    assert f"object://{result.removeprefix('/api/v1/objects/')}" in uris
    got, head = sms.get(result), sms.call("HEAD", result)
    assert (got.status_code, got.content) == (200, BIG)
    assert (head.status_code, head.content, head_of(head)) == (200, b"", head_of(got))
    assert head_of(got)["ETag"] == f'"{sha256(BIG).hexdigest()}"'
    assert got.headers["Repr-Digest"] == both[0].get(result).headers["Repr-Digest"]
    assert (
        shown(sms, result)["output_base64"]
        == both[0].get(result.replace(f"objects/results/{echo}", "executions")).json()["output_base64"]
    )


def test_a_node_serves_the_result_of_another_one(sms: Server, both: Fleet, echo: str) -> None:
    assert both[1].get(ran(sms, both[0])).content == BIG


def test_an_agent_reads_what_another_node_has_and_writes_where_it_runs(sms: Server, both: Fleet) -> None:
    one, two = both
    path = "/api/v1/objects/team/given"
    assert one.call("PUT", path, data=b"41").status_code == 201
    eventually(lambda: sms.get(path).status_code == 200)
    counting = sms.register("objects", config={"objects.write": "team/"})
    ran_there = two.run(counting, args=["team/given"]).json()
    assert (ran_there["output"], ran_there["node_uuid"]) == ("42\n", uuid_of(two))
    assert (one.get(path).content, two.get(path).content) == (b"41", b"42")


def test_parts_and_conditions_are_answered_as_for_the_servers_own(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0])
    part = sms.get(result, headers={"Range": "bytes=100000-100009"})
    assert (part.status_code, part.content) == (206, BIG[100000:100010])
    assert part.headers["Content-Range"] == f"bytes 100000-100009/{len(BIG)}"
    assert sms.get(result, headers={"Range": "bytes=-7"}).content == BIG[-7:]
    beyond = sms.get(result, headers={"Range": f"bytes={len(BIG)}-"})
    assert (beyond.status_code, beyond.json()["error"]) == (416, "RANGE_NOT_SATISFIABLE")
    tag = part.headers["ETag"]
    assert sms.get(result, headers={"If-None-Match": tag}).status_code == 304
    assert sms.get(result, headers={"Range": "bytes=0-0", "If-Range": '"1"'}).content == BIG


def test_an_empty_output_is_known_without_asking(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0], b"")
    assert shown(sms, result)["output"] == ""
    assert (sms.get(result).status_code, sms.get(result).content) == (200, b"")


def test_a_result_is_listed_until_its_node_has_it_no_more_and_nobody_is_asked_for_it_after_that(
    sms: Server, both: Fleet, echo: str
) -> None:
    result = ran(sms, both[0])
    name = result.removeprefix("/api/v1/objects/")
    [row] = sms.get("/api/v1/objects", params={"prefix": name}).json()["objects"]
    assert (row["key"], row["node_uuid"], row["size"], row["version"]) == (name, uuid_of(both[0]), len(BIG), 1)
    assert name in {found[0] for found in listed(sms, f"results/{echo}/")}
    with Between(both[0].port) as between, reached_by(sms, both[0], between):
        assert sms.call("HEAD", result).status_code == 200
        assert between.requests and all("here=true" in asked for asked in between.requests)
        assert both[0].call("DELETE", result).status_code == 200
        eventually(lambda: not listed(sms, name))
        before = len(between.requests)
        for server in (sms, both[1]):
            gone = server.get(result)
            assert (gone.status_code, gone.json()["error"]) == (404, "OBJECT_NOT_FOUND")
        assert "output" not in shown(sms, result) and "output_error" not in shown(sms, result)
        assert len(between.requests) == before


def test_what_no_node_ever_had_is_not_found(sms: Server, both: Fleet, echo: str) -> None:
    assert sms.get("/api/v1/objects/nobody/has-it").status_code == 404
    assert both[1].get("/api/v1/objects/nobody/has-it").status_code == 404
    assert sms.get(f"/api/v1/objects/results/{echo}/no-run").status_code == 404


def test_of_the_past_and_of_itself_a_server_answers_alone(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0])
    for query in ({"here": "true"}, {"as_of": sms.get("/ready").headers.get("X-Position", "1")}):
        assert sms.get(result, params=query).status_code == 404
    assert both[0].get(result, params={"here": "true"}).content == BIG
    assert sms.get(result, params={"here": "perhaps"}).status_code == 422


def test_what_changes_on_its_way_never_arrives_whole(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0])
    with Between(both[0].port, flip=True) as between, reached_by(sms, both[0], between):
        with pytest.raises(requests.exceptions.RequestException):
            sms.get(result)
        assert shown(sms, result)["output_error"]["code"] == "CORRUPT"
    assert "does not match its hash" in sms.output()
    assert "Traceback" not in sms.output()


def test_what_breaks_off_is_cut_off_and_goes_on_where_it_stopped(
    sms: Server, both: Fleet, echo: str, tmp_path: Path
) -> None:
    result = ran(sms, both[0])
    with (
        Between(both[0].port, 200_000) as between,
        reached_by(sms, both[0], between),
        pytest.raises(requests.exceptions.RequestException),
    ):
        sms.get(result)
    with Between(both[0].port, 200_000) as between, reached_by(sms, both[0], between):
        ok(sms, "object", "get", result.removeprefix("/api/v1/objects/"), str(tmp_path / "result"))
        assert any("Range: bytes=" in asked for asked in between.requests)
    assert (tmp_path / "result").read_bytes() == BIG


def test_the_command_downloads_shows_and_describes_results(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0], b"pieces of eight\n").removeprefix("/api/v1/objects/")
    for server in (sms, both[1]):
        assert ok(server, "object", "get", result) == "pieces of eight\n"
        assert sha256(b"pieces of eight\n").hexdigest() in ok(server, "object", "stat", result)
    assert "pieces of eight" in ok(sms, "exec", "show", result.rpartition("/")[2])
    assert "not found" in failed(sms, 3, "object", "get", result + "x")


def put(node: Server, name: str, content: bytes, **headers: str) -> None:
    """Write an object at the node."""
    assert node.call("PUT", f"/api/v1/objects/{name}", data=content, headers=headers).status_code in (200, 201)


def listed(sms: Server, prefix: str, **query: object) -> list[tuple[str, int, str]]:
    """Name, version and node of what is listed there."""
    found = sms.get("/api/v1/objects", params={"prefix": prefix, **query}).json()["objects"]
    return [(one["key"], one["version"], one["node_uuid"]) for one in found]


def test_an_object_of_a_node_is_listed_at_the_sms_until_it_is_gone(sms: Server, both: Fleet) -> None:
    one, two = both
    kind = {"Content-Type": "text/plain", "X-Object-Meta-Colour": "blau grün".encode().decode("latin-1")}
    put(one, "shelf/a", b"first")
    put(one, "shelf/a", BIG, **kind)
    put(two, "shelf/b", b"b")
    put(sms, "shelf/c", b"c")
    wanted = [("shelf/a", 2, uuid_of(one)), ("shelf/b", 1, uuid_of(two)), ("shelf/c", 1, "")]
    eventually(lambda: listed(sms, "shelf/") == wanted)
    (shown,) = sms.get("/api/v1/objects", params={"prefix": "shelf/a"}).json()["objects"]
    (own,) = one.get("/api/v1/objects", params={"prefix": "shelf/a"}).json()["objects"]
    same = ("key", "bucket", "version", "size", "sha256", "content_type", "metadata")
    assert {name: shown[name] for name in same} == {name: own[name] for name in same}
    assert (shown["refs"], shown["pinned"], shown["created_at_ms"]) == (None, None, None)
    assert listed(sms, "shelf/", here="true") == wanted[2:]
    pages, after = [], ""
    while page := sms.get("/api/v1/objects", params={"prefix": "shelf/", "limit": 1, "after": after}).json():
        pages += [one["key"] for one in page["objects"]]
        if not (after := page["next_after"]):
            break
    assert pages == ["shelf/a", "shelf/b", "shelf/c"]
    one.call("DELETE", "/api/v1/objects/shelf/a")
    eventually(lambda: listed(sms, "shelf/") == wanted[1:])
    assert [event["type"] for event in events_of(sms, ["HoldingReported", "HoldingEnded"])][-1] == "HoldingEnded"


def test_what_one_node_wrote_every_other_reads_by_rest_and_by_grpc(sms: Server, both: Fleet) -> None:
    one, two = both
    kind = {"Content-Type": "text/plain", "X-Object-Meta-Colour": "blau grün".encode().decode("latin-1")}
    put(one, quote("notes/deep/own ü%20"), BIG, **kind)
    eventually(lambda: listed(sms, "notes/"))
    for server in (sms, two):
        got = server.get(f"/api/v1/objects/{quote('notes/deep/own ü%20')}")
        assert (got.status_code, got.content) == (200, BIG)
        assert (got.headers["Content-Type"], got.headers["X-Object-Meta-Colour"]) == (
            "text/plain", kind["X-Object-Meta-Colour"],
        )  # fmt: skip
    with connected(two) as channel:
        get = Stub(channel, object_pb2, "ObjectService").GetObject
        found = get(key="notes/deep/own ü%20", include_value=True)
        assert (found.found, found.object.value, found.object.size) == (True, BIG, len(BIG))
        assert found.object.metadata == {"colour": "blau grün"}
        assert get(key="notes/deep/own ü%20").object.value == b""
        assert get(key="notes/nobody").found is False


def test_of_one_name_the_own_object_is_read_and_else_the_one_that_was_written_last(sms: Server, both: Fleet) -> None:
    one, two = both
    put(one, "same/name", b"one")
    eventually(lambda: listed(sms, "same/") == [("same/name", 1, uuid_of(one))])
    put(two, "same/name", b"two")
    eventually(lambda: listed(sms, "same/") == [("same/name", 1, uuid_of(two))])
    read = {server: server.get("/api/v1/objects/same/name").content for server in (sms, one, two)}
    assert read == {sms: b"two", one: b"one", two: b"two"}
    two.call("DELETE", "/api/v1/objects/same/name")
    assert sms.get("/api/v1/objects/same/name").content == b"one"
    put(sms, "same/name", b"sms")
    assert sms.get("/api/v1/objects/same/name").content == b"sms"
    assert listed(sms, "same/") == [("same/name", 1, "")]


CHANGES = (("DELETE", ""), ("POST", "/refs"), ("DELETE", "/refs"), ("POST", "/pin"), ("DELETE", "/pin"))


def test_what_a_node_has_is_changed_there_alone_and_the_sms_says_where(sms: Server, both: Fleet, echo: str) -> None:
    put(both[0], "kept/there", b"x")
    eventually(lambda: listed(sms, "kept/"))
    for path in ("/api/v1/objects/kept/there", ran(sms, both[0])):
        for method, part in CHANGES:
            told = sms.call(method, path + part)
            assert (told.status_code, told.json()["error"]) == (409, "HELD_ELSEWHERE"), (method, part)
            assert told.json()["details"] == {"node_uuid": uuid_of(both[0])}
        assert sms.call("DELETE", path, headers={"If-Match": '"1"'}).json()["error"] == "HELD_ELSEWHERE"
    assert uuid_of(both[0]) in failed(sms, 5, "object", "rm", "kept/there")
    assert both[0].call("DELETE", "/api/v1/objects/kept/there").status_code == 200
    eventually(lambda: not listed(sms, "kept/"))
    gone = sms.call("DELETE", "/api/v1/objects/kept/there")
    assert (gone.status_code, gone.json()["error"]) == (404, "OBJECT_NOT_FOUND")


def test_an_object_that_the_sms_deletes_is_not_read_from_the_node_that_made_it(
    sms: Server, both: Fleet, echo: str
) -> None:
    ran_at = sms.post("/e/parrot", data=b"here and there")
    ident = ran_at.headers["X-Execution-Id"]
    result = f"/api/v1/objects/results/{echo}/{ident}"
    assert [row[2] for row in listed(sms, f"results/{echo}/{ident}")] == [""]
    assert sms.call("DELETE", result).status_code == 200
    assert listed(sms, f"results/{echo}/{ident}") == []
    assert sms.get(result).status_code == 404


def two_reads(both: Fleet, name: str) -> list[bytes]:
    return [node.get(f"/api/v1/objects/{name}").content for node in both]


def test_while_its_node_is_away_a_result_is_503_and_says_whose_it_is(
    tmp_path: Path, sms: Server, both: Fleet, echo: str
) -> None:
    with joined(tmp_path, sms, "leaves") as node:
        result, uuid = ran(sms, node), uuid_of(node)
        put(node, "left/behind", b"here")
        eventually(lambda: listed(sms, "left/") == [("left/behind", 1, uuid)])
        node.stop()
        assert sms.get("/api/v1/objects/left/behind").json()["details"] == {"node_uuid": uuid}
        for server in (sms, both[1]):
            away = server.get(result)
            assert (away.status_code, away.json()["error"]) == (503, "NODE_UNREACHABLE")
            assert away.json()["details"] == {"node_uuid": uuid} and uuid in away.json()["message"]
            assert away.json()["message"].endswith("cannot be asked: Connection refused")
        found = shown(sms, result)
        assert (found["status"], found["output_error"]["code"]) == ("completed", "NODE_UNREACHABLE")
        assert uuid in spear(sms, "object", "get", result.removeprefix("/api/v1/objects/")).stderr.decode()
        node.start()
        assert sms.get(result).content == BIG
        assert two_reads(both, "left/behind") == [b"here"] * 2
        assert sms.call("DELETE", f"/api/v1/nodes/{uuid}").status_code == 200
        node.stop()
        assert listed(sms, "left/") == []
        gone = sms.get(result).json()
        assert gone["details"] == {"node_uuid": uuid} and "not registered" in gone["message"]


def test_what_was_written_while_the_sms_was_away_is_listed_when_it_is_back_each_once(tmp_path: Path) -> None:
    with Server(tmp_path / "sms", role="sms") as sms, joined(tmp_path, sms, "alone") as node:
        own = "/api/v1/objects/own"
        node.call("PUT", own, data=b"mine")
        sms.stop()
        unknown = node.get("/api/v1/objects/unknown")
        assert (unknown.status_code, unknown.json()["error"]) == (503, "SMS_UNREACHABLE")
        assert node.get(own).content == b"mine"
        put(node, "later", b"later")
        sms.start()
        wanted = [("default/later", 1, uuid_of(node)), ("default/own", 1, uuid_of(node))]
        eventually(lambda: listed(sms, "default/") == wanted, within_s=20)
        node.stop()
        (node.data_dir / "reports_cursor.json").unlink()
        node.start()
        put(node, "last", b"last")
        eventually(lambda: len(listed(sms, "default/")) == 3, within_s=20)
        assert len(events_of(sms, ["HoldingReported"])) == 3
