"""What a file says is what a server does: one in role sms's home file, which `--role all` reads too."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server, events_of, eventually

SMALL = """
snapshot_every = 10
[http]
cors_enabled = false
enable_swagger = false
[database]
db_type = "sqlite"
path = "{here}/elsewhere/own.db"
[log]
level = "debug"
format = "json"
file = "{here}/own.log"
[executions]
max_concurrent = 4
max_concurrent_per_task = 1
wall_ms = 700
memory_bytes = 16777216
output_bytes = 100000
log_bytes = 100000
instance_idle_s = 1
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configured")


@pytest.fixture(scope="module")
def server(here: Path) -> Iterator[Server]:
    """A server of a user whose home file has a value of its own for much."""
    (here / "home" / ".sms").mkdir(parents=True)
    (here / "home" / ".sms" / "config.toml").write_text(SMALL.format(here=here))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(here / "home"))
        with Server(here / "data") as running:
            yield running


def test_the_home_file_is_read_and_named_in_the_log(server: Server, here: Path) -> None:
    told = f"executions.wall_ms = 700 (home file {here / 'home' / '.sms' / 'config.toml'})"
    eventually(lambda: told in server.output())


def test_the_events_lie_where_the_path_of_the_database_says(server: Server, here: Path) -> None:
    assert (here / "elsewhere" / "own.db").stat().st_size > 0
    assert not (here / "data" / "sms.db").exists()


def test_log_lines_go_to_the_file_that_was_named(server: Server, here: Path) -> None:
    server.get("/health", headers={"X-Request-Id": "in-the-file"})
    lines = [json.loads(line) for line in (here / "own.log").read_text().splitlines()]
    assert [line["message"] for line in lines if line.get("correlation_id") == "in-the-file"] == ["GET /health 200"]
    assert not (here / "data" / "logs" / "sms.log").exists()


def test_without_cors_no_page_of_another_origin_reads_an_answer(server: Server) -> None:
    server.register("echo", endpoint="plain")
    for answer in (server.get("/api/v1/nodes"), server.post("/e/plain", data=b"x"), server.get("/api/v1/nodes/x")):
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_without_swagger_there_is_no_page_and_still_a_document(server: Server) -> None:
    assert [server.get(path).status_code for path in ("/swagger-ui/", "/swagger-ui")] == [404, 404]
    assert server.get("/api/openapi.json").json()["openapi"]


@pytest.mark.parametrize(
    ("sample", "reason", "limit"),
    [
        ("loop", "wall_time", "700"),
        ("grow", "memory", "16777216"),
        ("output_flood", "output_bytes", "100000"),
        ("log_flood", "log_bytes", "100000"),
    ],
)
def test_a_task_that_sets_no_limit_has_the_nodes(server: Server, sample: str, reason: str, limit: str) -> None:
    error = server.run(server.register(sample)).json()["error"]
    assert (error["reason"], limit in error["message"]) == (reason, True), error


def test_a_task_that_says_nothing_runs_as_often_at_once_as_the_node_allows(server: Server) -> None:
    one, other = (server.register("sleep", config={"limits.wall_ms": "60000"}) for _ in range(2))
    accepted = [server.run(task, mode="async").json()["execution_id"] for task in (one, one, other)]

    def status(execution: str) -> Any:
        return server.get(f"/api/v1/executions/{execution}").json()["status"]

    eventually(lambda: status(accepted[0]) == status(accepted[2]) == "running")
    assert status(accepted[1]) == "pending"
    server.post(f"/api/v1/executions/{accepted[0]}/terminate")
    eventually(lambda: status(accepted[1]) == "running")
    for execution in accepted[1:]:
        server.post(f"/api/v1/executions/{execution}/terminate")


def test_an_instance_that_nobody_uses_is_stopped(server: Server) -> None:
    instance = server.run(server.register("hello")).json()["instance_id"]
    stopped = eventually(lambda: events_of(server, ["InstanceStopped"], noun="instance", ident=instance))
    assert "idle" in stopped[0]["data"]["reason"]


def test_a_snapshot_is_taken_after_as_many_events_as_were_configured(server: Server, here: Path) -> None:
    for number in range(10):
        server.call("PUT", f"/api/v1/objects/many/{number}", data=b"x")
    eventually(lambda: list((here / "data" / "snapshots").glob("views-*.db")))
