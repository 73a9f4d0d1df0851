"""Calls at an SMS against calls at the node that runs them, and executions that the SMS has heard of against a node alone."""

from functools import partial
from time import perf_counter, sleep

from loadtests.bench._common import alternate, child, disk, show_rates
from loadtests.bench._fleet import fleet
from tests.server import Server, eventually

SECONDS = 2
CALLS = {1: 0.2, 32: 0.2}
HEARD = 0.2
PATIENCE_S = 60


def main() -> None:
    """Print one line for each number of clients, and one for reports."""
    with disk("across") as folder, fleet(folder, "node") as (sms, (node,)), Server(folder / "alone") as alone:
        alone.register("hello", endpoint="hello")
        for server in (sms, node, alone):
            eventually(partial(_answers, server))
        for clients, at_least in CALLS.items():
            pair = alternate(partial(_rate, sms, clients), partial(_rate, node, clients), rounds=3)
            title = f"POST /e/hello at an SMS, run on a node, {clients} at a time"
            show_rates(title, pair, against="at the node", at_least=at_least, durable=True)
        pair = alternate(partial(_heard, sms, node), partial(_rate, alone, 32), rounds=3)
        show_rates(
            "executions run and heard of at the SMS", pair, against="a server alone", at_least=HEARD, durable=True
        )


def _answers(server: Server) -> bool:
    return server.post("/e/hello", json={}).status_code == 200


def _rate(server: Server, clients: int) -> float:
    return child("_client.py", server.port, "/e/hello", "{}", clients, SECONDS)


def _heard(sms: Server, node: Server) -> float:
    """Executions a second from the first call until the SMS knows the end of the last."""
    before, began = _ended(node), perf_counter()
    _rate(node, 32)
    last = node.get("/api/v1/executions", params={"limit": 1}).json()["executions"][0]["execution_id"]
    eventually(lambda: _has(sms, last), within_s=PATIENCE_S)
    return (_ended(node) - before) / (perf_counter() - began)


def _has(sms: Server, ident: str) -> bool:
    sleep(0.02)
    return bool(sms.get(f"/api/v1/executions/{ident}").json().get("completed_at_ms"))


def _ended(node: Server) -> int:
    return int(node.get("/api/v1/executions", params={"status": "completed", "limit": 1}).json()["total_count"])


if __name__ == "__main__":
    main()
