"""Container agents as a user has them: real servers, a real Docker Engine, a fleet, and what happens when something dies."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Engine, skip_without_an_engine
from tests.server import ROOT, Server, events_of, eventually


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    skip_without_an_engine()
    with Engine() as running:
        running.add_image("spear/sh:1", 'ENTRYPOINT ["sh", "-c"]')
        running.add_image("spear/cat", 'ENTRYPOINT ["cat"]')
        yield running


def configured(folder: Path, host: str, *more: str) -> list[str]:
    """The flags of a server whose engine is there."""
    file = folder / f"containers{len(more)}.toml"
    file.write_text("\n".join([f"containers.host = '{host}'", *more]))
    return ["--config", str(file)]


@pytest.fixture(scope="module")
def server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("containers")
    with Server(folder / "data", *configured(folder, engine.host)) as running:
        yield running


def register(server: Server, image: str, *args: str, endpoint: str = "", **config: str) -> str:
    """A task that runs an image; its id."""
    executable = {"type": "container", "uri": image, "args": args, "env": {"OF": "task"}}
    body = {"name": "c", "endpoint": endpoint, "version": "1", "config": config, "executable": executable}
    answer = server.post("/api/v1/tasks", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task_id"])


def shown(server: Server, execution: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/v1/executions/{execution}").json()
    return found


def containers(engine: Engine) -> list[dict[str, Any]]:
    """The containers that the engine has."""
    found: list[dict[str, Any]] = json.loads(engine.ask("GET", "/containers/json", all="1"))
    return found


def test_a_container_answers_at_an_endpoint(server: Server) -> None:
    register(server, "docker://spear/cat", endpoint="copy")
    data = bytes(range(256)) * 1000
    answers = [server.post("/e/copy", data=data) for _ in range(2)]
    assert [(answer.status_code, answer.content == data) for answer in answers] == [(200, True)] * 2
    runs = [shown(server, answer.headers["X-Execution-Id"]) for answer in answers]
    assert [(run["status"], run["start"]) for run in runs] == [("completed", "cold"), ("completed", "warm")]


def test_arguments_environment_and_log_lines_are_those_of_any_agent(server: Server, engine: Engine) -> None:
    task = register(server, "spear/sh:1", 'echo "$0 $OF $BY $TASK_ID"; echo noted >&2')
    run = server.run(task, args=["called"], environment={"BY": "call"}).json()
    assert run["output"] == f"called task call {task}\n", run
    page = server.get(f"/api/v1/executions/{run['execution_id']}/logs").json()
    assert [(line["stream"], line["message"]) for line in page["lines"]] == [("stderr", "noted")]
    [instance] = server.get(f"/api/v1/tasks/{task}/instances").json()["instances"]
    assert instance["instance_id"] == run["instance_id"]
    started = [event["data"] for event in events_of(server, ["InstanceStarted"]) if event["data"]["task_id"] == task]
    ident = json.loads(engine.ask("GET", "/images/spear/sh:1/json"))["Id"]
    assert [(one["runtime"], one["sha256"]) for one in started] == [("container", ident.removeprefix("sha256:"))]


def test_the_spear_command_runs_an_image(server: Server) -> None:
    words = [str(ROOT / "bin" / "spear"), "--server", server.url, "run", "docker://spear/sh:1"]
    copied, failed = (
        subprocess.run([*words, do], input=b"heard", capture_output=True, timeout=60) for do in ("cat", "exit 3")
    )
    assert (copied.returncode, copied.stdout, failed.returncode) == (0, b"heard", 3), (copied.stderr, failed.stderr)


def test_an_image_that_is_not_there_is_told_by_name(server: Server, engine: Engine) -> None:
    answer = server.run(register(server, "docker://no/such:1")).json()
    assert (answer["status"], answer["error"]["code"]) == ("failed", "InvalidConfiguration")
    assert f"{engine.socket} has no image no/such:1" in answer["error"]["message"]


def test_terminating_an_execution_ends_its_container(server: Server, engine: Engine) -> None:
    execution = server.run(register(server, "spear/sh:1", "sleep 100"), mode="async").json()["execution_id"]
    eventually(lambda: [one for one in containers(engine) if one["State"] == "running"])
    assert [one["Labels"]["spear.execution"] for one in containers(engine)] == [execution]
    server.post(f"/api/v1/executions/{execution}/terminate", json={"reason": "enough"})
    eventually(lambda: shown(server, execution)["status"] == "cancelled")
    eventually(lambda: containers(engine) == [])


def test_the_first_start_after_a_kill_removes_what_ran_and_ends_it_as_lost(server: Server, engine: Engine) -> None:
    execution = server.run(register(server, "spear/sh:1", "sleep 100"), mode="async").json()["execution_id"]
    eventually(lambda: [one for one in containers(engine) if one["State"] == "running"])
    server.kill()
    assert [one["State"] for one in containers(engine)] == ["running"]
    server.start()
    assert containers(engine) == []
    told = shown(server, execution)
    assert (told["status"], told["error"]["reason"]) == ("failed", "lost")


def test_when_the_engine_dies_the_execution_fails_and_the_next_one_after_it_is_back_works(
    server: Server, engine: Engine
) -> None:
    task = register(server, "spear/sh:1", "sleep $0; echo up")
    execution = server.run(task, args=["100"], mode="async").json()["execution_id"]
    eventually(lambda: [one for one in containers(engine) if one["State"] == "running"])
    engine.kill()
    told = eventually(lambda: shown(server, execution).get("error"))
    assert (told["reason"], "docker.sock does not answer" in told["message"]) == ("engine", True)
    away = server.run(task, args=["0"]).json()
    assert (away["status"], "docker.sock does not answer" in away["error"]["message"]) == ("failed", True)
    engine.start()
    assert server.run(task, args=["0"]).json()["output"] == "up\n"
    eventually(lambda: containers(engine) == [])


def test_in_a_fleet_a_container_goes_to_a_node_that_has_an_engine(engine: Engine, tmp_path: Path) -> None:
    with Server(tmp_path / "sms", role="sms") as sms:
        link = ["--sms-addr", f"127.0.0.1:{sms.grpc_port}", "--auto-register", "--node-name"]
        files = f"spearlet.sms_http_addr = '127.0.0.1:{sms.port}'"
        without = Server(tmp_path / "without", *configured(tmp_path, "", files), *link, "without", role="spearlet")
        with_it = Server(
            tmp_path / "with", *configured(tmp_path, engine.host, files, ""), *link, "with", role="spearlet"
        )
        with without, with_it:
            offers = {
                node["metadata"]["name"]: node["metadata"]["runtimes"]
                for node in sms.get("/api/v1/nodes").json()["nodes"]
            }
            assert ("container" in offers["with"].split(","), "container" in offers["without"].split(",")) == (
                True,
                False,
            )
            assert "this node runs no container executables: containers.host names no engine" in without.output()
            task = register(sms, "spear/sh:1", "cat; echo !")
            runs = [sms.run(task, input=text).json() for text in ("one", "two", "three")]
            assert [run["output"] for run in runs] == ["one!\n", "two!\n", "three!\n"]
            assert {run["node_uuid"] for run in runs} == {(with_it.data_dir / "node_uuid").read_text()}
            asked = {"task_id": task, "node_uuid": (without.data_dir / "node_uuid").read_text()}
            why = sms.get("/api/v1/placement/why-not", params=asked).json()
            assert [one["reason"] for one in why["refused"]] == ["runtime_missing"], why
            with_it.kill()
            eventually(lambda: not containers(engine))
