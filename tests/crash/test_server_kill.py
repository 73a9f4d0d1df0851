"""The whole server is killed again and again under load; whatever it acknowledged is there afterwards."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import requests

from spear.events.recorder import ApswRecorder
from spear.events.verify import verify
from spear.projections.views import compare, rebuild
from tests.server import Server

KILLS = 50
CLIENTS = 4


@dataclass
class Acknowledged:
    """What clients were promised: ids and contents, and the highest position they were told."""

    nodes: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    executions: dict[str, str] = field(default_factory=dict)
    position: int = 0

    def saw(self, answer: requests.Response) -> requests.Response:
        """Note the position of a write that was answered."""
        assert answer.status_code < 300, answer.text
        self.position = max(self.position, int(answer.headers["X-Position"]))
        return answer


def client(server: Server, task: str, acknowledged: Acknowledged, stop: threading.Event) -> None:
    """Write without pause until the server is gone."""
    session = requests.Session()
    try:
        while not stop.is_set():
            one_round(session, server.url, task, acknowledged)
    except (requests.RequestException, KeyError):
        return  # the server was killed in the middle of an answer: not acknowledged


def one_round(session: requests.Session, url: str, task: str, acknowledged: Acknowledged) -> None:
    """A node, a heartbeat, an object and an execution."""
    node = {"ip_address": "127.0.0.9", "port": 7}
    uuid = acknowledged.saw(session.post(f"{url}/api/v1/nodes", json=node, timeout=10)).json()["node_uuid"]
    acknowledged.nodes.append(uuid)
    acknowledged.saw(session.post(f"{url}/api/v1/nodes/{uuid}/heartbeat", timeout=10))
    key, content = f"crash/{uuid4()}", uuid4().bytes * random.choice((1, 400))
    acknowledged.saw(session.put(f"{url}/api/v1/objects/{key}", data=content, timeout=10))
    acknowledged.objects[key] = content
    body = {"task_id": task, "input": key}
    done = acknowledged.saw(session.post(f"{url}/api/v1/executions", json=body, timeout=10)).json()
    assert done["status"] == "completed", done
    acknowledged.executions[done["execution_id"]] = key


def check(server: Server, acknowledged: Acknowledged) -> None:
    """Everything promised since the last crash is there, and nothing is left running."""
    assert server.get("/ready").json()["head"] >= acknowledged.position
    for uuid in acknowledged.nodes:
        assert server.get(f"/api/v1/nodes/{uuid}").status_code == 200
    for key, content in acknowledged.objects.items():
        assert server.get(f"/api/v1/objects/{key}").content == content
    for execution_id, output in acknowledged.executions.items():
        shown = server.get(f"/api/v1/executions/{execution_id}").json()
        assert (shown["status"], shown["output"]) == ("completed", output)
    for status in ("running", "pending"):
        assert server.get("/api/v1/executions", params={"status": status}).json()["executions"] == []


def test_fifty_kills_in_a_row_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    random.seed(50)
    server = Server(tmp_path, "--log-level", "warn").start()
    task = server.register("echo")
    total = 0
    for _ in range(KILLS):
        acknowledged, stop = Acknowledged(), threading.Event()
        clients = [
            threading.Thread(target=client, args=(server, task, acknowledged, stop), daemon=True)
            for _ in range(CLIENTS)
        ]
        for one in clients:
            one.start()
        stop.wait(random.uniform(0.02, 0.5))
        server.kill()
        stop.set()
        for one in clients:
            one.join()
        assert verify(tmp_path / "sms.db") == []
        server.start()
        check(server, acknowledged)
        total += len(acknowledged.nodes) + len(acknowledged.objects) + len(acknowledged.executions)
    assert server.stop() == 0
    assert verify(tmp_path / "sms.db") == []
    recorder = ApswRecorder(tmp_path / "sms.db", read_only=True)
    rebuild(tmp_path / "again.db", recorder, until=recorder.position)
    recorder.close()
    assert compare(tmp_path / "views.db", tmp_path / "again.db") == {}
    print(f"\n{KILLS} kills, {total} acknowledged writes checked")
    assert total > KILLS
