"""A heartbeat and an Invoke of hello over gRPC, durable and folded, against a constant unary method on the same server class."""

from collections.abc import Sequence
from functools import partial

from loadtests.bench._common import alternate, background, child, disk, show_rates
from loadtests.bench._events import HEALTH
from spear.adapters.rpc.generated.sms.node_pb2 import HeartbeatRequest
from spear.adapters.rpc.generated.spearlet.function_pb2 import InvokeRequest
from tests.server import Server

CLIENTS = 32, 1
RECEIVED, HELLO = b"Heartbeat received", b"Hello from SPEAR!"
SECONDS = 1.5
TARGETS = {"heartbeat": {32: 0.35, 1: 0.12}, "Invoke of hello": {32: 0.1, 1: 0.07}}


def main() -> None:
    """Print one line for each call and number of clients."""
    with (
        disk("grpc") as folder,
        Server(folder / "data") as server,
        background("_constant_method.py", RECEIVED.hex()) as port,
    ):
        task = server.register("hello")
        beats = [
            HeartbeatRequest(uuid=_node(server), health_info=HEALTH).SerializeToString() for _ in range(CLIENTS[0])
        ]
        calls = {
            "heartbeat": ("sms.NodeService/Heartbeat", beats, RECEIVED),
            "Invoke of hello": (
                "spearlet.InvocationService/Invoke",
                [InvokeRequest(task_id=task).SerializeToString()],
                HELLO,
            ),
        }
        for name, (method, requests, expected) in calls.items():
            for clients in CLIENTS:
                ours = partial(_rate, server.grpc_port, method, requests, expected, clients)
                constant = partial(_rate, port, "bench.Constant/Ask", requests, RECEIVED, clients)
                title, at_least = f"gRPC {name}, {clients} at a time", TARGETS[name][clients]
                pair = alternate(ours, constant, rounds=3)
                show_rates(title, pair, against="constant unary method", at_least=at_least, durable=True)


def _node(server: Server) -> str:
    return str(server.post("/api/v1/nodes", json={"ip_address": "127.0.0.9", "port": 50052}).json()["node_uuid"])


def _rate(port: int, method: str, requests: Sequence[bytes], expected: bytes, clients: int) -> float:
    asked = ",".join(one.hex() for one in requests)
    return child("_grpc_client.py", port, method, asked, expected.hex(), clients, SECONDS)


if __name__ == "__main__":
    main()
