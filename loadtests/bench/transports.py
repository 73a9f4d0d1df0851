"""Events a second through each transport to one reader that begins at the first event, against reading the log directly."""

from functools import partial

from loadtests.bench._common import alternate, child, disk, show_rates
from tests.chaos import _log
from tests.chaos._transports import TRANSPORTS
from tests.server import Server

EVENTS = 30_000
ROUNDS = 3
TARGETS = {"sse": 0.05, "websocket": 0.03, "grpc": 0.004, "bus": 0.08, "cli": 0.015}


def main() -> None:
    """Print one line for each transport."""
    with disk("transports") as folder:
        _log.write(folder / "data", events=EVENTS, without=0)
        with Server(folder / "data", role="sms") as server:
            doors = server.port, server.grpc_port, server.bus_port
            for name in TRANSPORTS:
                ours = partial(child, "_follow.py", name, EVENTS, *doors)
                pair = alternate(ours, partial(child, "_read_log.py", folder / "data" / "sms.db"), rounds=ROUNDS)
                show_rates(f"events over {name}", pair, against="read from the log", at_least=TARGETS.get(name, 0.01))


if __name__ == "__main__":
    main()
