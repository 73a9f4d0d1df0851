"""A heartbeat over REST, durable and folded, against a constant Flask route on the same server class."""

import json

from loadtests.bench._common import alternate, background, child, disk, show_fact, show_rates
from loadtests.bench._events import HEALTH
from tests.server import Server

BODY = json.dumps({"health_info": HEALTH})
NODES = 32
SECONDS = 2


def main() -> None:
    """Print one line for 32 clients, each a node, and one for a single client."""
    with disk("heartbeat") as folder, Server(folder / "data") as server, background("_flask_route.py") as port:
        paths = ",".join(f"/api/v1/nodes/{_register(server)}/heartbeat" for _ in range(NODES))

        def ours(clients: int) -> float:
            return child("_client.py", server.port, paths, BODY, clients, SECONDS)

        def constant(clients: int) -> float:
            return child("_client.py", port, "/heartbeat", BODY, clients, SECONDS)

        pair = alternate(lambda: ours(NODES), lambda: constant(NODES), rounds=5)
        show_rates("REST heartbeat, 32 clients", pair, against="constant Flask route", at_least=0.4, durable=True)
        show_fact("REST heartbeat, 1 client", f"{ours(1):,.0f}/s, constant Flask route {constant(1):,.0f}/s")


def _register(server: Server) -> str:
    answer = server.post("/api/v1/nodes", json={"ip_address": "127.0.0.9", "port": 50052})
    return str(answer.json()["node_uuid"])


if __name__ == "__main__":
    main()
