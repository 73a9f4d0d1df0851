"""How long nobody answers a call: after `kill -9` of the node that ran the last one, of the SMS, of an SMS with a standby."""

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import requests

from loadtests.bench._common import disk, show_bound, show_fact
from loadtests.bench._fleet import fleet, uuid_of
from tests.server import Server, eventually

NODE_ROUNDS, SMS_ROUNDS = 5, 3
ONE_ATTEMPT_S = 2  # an attempt to connect to a node
PATIENCE_S = 20


def main() -> None:
    """Print one line for each of the three."""
    with disk("failover") as folder, fleet(folder, "one", "two") as (sms, nodes):
        _answered(sms)
        taken = [_without_its_node(sms, nodes) for _ in range(NODE_ROUNDS)]
        show_bound("call answered after kill -9 of its node", median(taken), at_most=ONE_ATTEMPT_S)
        show_fact("the slowest of them", f"{max(taken):.3f} s")
        taken = [_restarted(sms) for _ in range(SMS_ROUNDS)]
        show_bound("call answered after kill -9 of the SMS and its restart", median(taken), at_most=2 + ONE_ATTEMPT_S)
        with ExitStack() as stack:
            taken = [_promoted(folder, sms, turn, stack) for turn in range(SMS_ROUNDS)]
        show_bound("call answered after kill -9 of the SMS by its standby", median(taken), at_most=4 + ONE_ATTEMPT_S)


def _answered(server: Server) -> str:
    """Ask until a call is answered; the id of its execution."""
    deadline = perf_counter() + PATIENCE_S
    while perf_counter() < deadline:
        try:
            answer = requests.post(f"{server.url}/e/hello", json={}, timeout=PATIENCE_S)
        except requests.RequestException:
            answer = None
        if answer is not None and answer.status_code == 200:
            return answer.headers["X-Execution-Id"]
        sleep(0.005)
    raise SystemExit(f"no call was answered within {PATIENCE_S} s")


def _without_its_node(sms: Server, nodes: list[Server]) -> float:
    killed = next(node for node in nodes if uuid_of(node) == _node_of(sms, _answered(sms)))
    began = perf_counter()
    killed.kill()
    ident = _answered(sms)
    taken = perf_counter() - began
    if _node_of(sms, ident) == uuid_of(killed):
        raise SystemExit("the call ran on the node that was killed")
    killed.start()
    _end_penalty(sms, uuid_of(killed))
    return taken


def _node_of(sms: Server, ident: str) -> str:
    return str(sms.get(f"/api/v1/executions/{ident}").json()["node_uuid"])


def _end_penalty(sms: Server, node_uuid: str) -> None:
    told = {"decision_id": "bench", "request_id": "bench", "task_id": "bench", "outcome_class": "success"}
    sms.post("/api/v1/placement/invocations/report-outcome", json={**told, "node_uuid": node_uuid})


def _restarted(sms: Server) -> float:
    began = perf_counter()
    sms.kill()
    sms.start()
    _answered(sms)
    return perf_counter() - began


def _promoted(folder: Path, sms: Server, turn: int, stack: ExitStack) -> float:
    """Promote a standby at the SMS's addresses; it is the SMS from then on."""
    standby = Server(folder / f"standby-{turn}", "--follow", f"tcp://127.0.0.1:{sms.bus_port}", role="sms")
    stack.enter_context(standby)
    eventually(lambda: _head(standby) == _head(sms), within_s=PATIENCE_S)
    began = perf_counter()
    sms.kill()
    standby.stop()
    sms.data_dir = standby.data_dir
    sms.start()
    _answered(sms)
    return perf_counter() - began


def _head(server: Server) -> int:
    return int(server.get("/ready").json()["head"])


if __name__ == "__main__":
    main()
