"""Objects and results in a fleet of real processes: what one node has is read at every other, and at their SMS."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e._cut import Between
from tests.e2e.test_cli import failed, ok, spear
from tests.e2e.test_forwarding import joined, uuid_of
from tests.server import Server, eventually

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


def test_what_nobody_has_is_not_found_and_asked_for_once_at_each_door(sms: Server, both: Fleet, echo: str) -> None:
    result = ran(sms, both[0])
    with Between(both[0].port) as between, reached_by(sms, both[0], between):
        assert both[0].call("DELETE", result).status_code == 200
        gone = sms.get(result)
        assert (gone.status_code, gone.json()["error"]) == (404, "OBJECT_NOT_FOUND")
        assert "output" not in shown(sms, result) and "output_error" not in shown(sms, result)
        assert all("here=true" in asked for asked in between.requests)
        before = len(between.requests)
        assert both[1].get(result).status_code == 404
        assert len(between.requests) == before + 1
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


def test_while_its_node_is_away_a_result_is_503_and_says_whose_it_is(
    tmp_path: Path, sms: Server, both: Fleet, echo: str
) -> None:
    with joined(tmp_path, sms, "leaves") as node:
        result, uuid = ran(sms, node), uuid_of(node)
        node.stop()
        for server in (sms, both[1]):
            away = server.get(result)
            assert (away.status_code, away.json()["error"]) == (503, "NODE_UNREACHABLE")
            assert away.json()["details"] == {"node_uuid": uuid} and uuid in away.json()["message"]
        found = shown(sms, result)
        assert (found["status"], found["output_error"]["code"]) == ("completed", "NODE_UNREACHABLE")
        assert uuid in spear(sms, "object", "get", result.removeprefix("/api/v1/objects/")).stderr.decode()
        node.start()
        assert sms.get(result).content == BIG
        assert sms.call("DELETE", f"/api/v1/nodes/{uuid}").status_code == 200
        node.stop()
        gone = sms.get(result).json()
        assert gone["details"] == {"node_uuid": uuid} and "not registered" in gone["message"]


def test_a_node_whose_sms_is_away_cannot_say(tmp_path: Path) -> None:
    with Server(tmp_path / "sms", role="sms") as sms, joined(tmp_path, sms, "alone") as node:
        own = "/api/v1/objects/own"
        node.call("PUT", own, data=b"mine")
        sms.stop()
        unknown = node.get("/api/v1/objects/unknown")
        assert (unknown.status_code, unknown.json()["error"]) == (503, "SMS_UNREACHABLE")
        assert node.get(own).content == b"mine"
