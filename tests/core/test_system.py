"""What a machine has and uses, as a node reports it."""

import socket
from pathlib import Path

from spear.adapters.system import Machine


def test_a_machine_tells_memory_disk_and_load_in_their_bounds(tmp_path: Path) -> None:
    told = Machine(tmp_path).measure()
    assert all(0 <= told[f"{what}_usage_percent"] <= 100 for what in ("cpu", "memory", "disk"))
    assert told["total_memory_bytes"] == told["used_memory_bytes"] + told["available_memory_bytes"]
    assert 0 < told["used_disk_bytes"] < told["total_disk_bytes"]
    assert told["load_average_15m"] >= 0


def test_network_rates_are_those_since_the_measurement_before(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.measure()
    one, other = _pair()
    with one, other:
        for _ in range(100):
            one.sendall(bytes(10_000))
            other.recv(10_000, socket.MSG_WAITALL)
    told = machine.measure()
    assert told["network_rx_bytes_per_sec"] > 0
    assert told["network_tx_bytes_per_sec"] > 0


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]
