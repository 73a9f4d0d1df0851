"""`POST /e/nothing`, an agent that is the process /bin/true in its sandbox, against a bare posix_spawn of the same command."""

from functools import partial

from loadtests.bench._common import alternate, child, disk, show_rates
from tests.server import Server

SECONDS = 2


def main() -> None:
    """Print one line."""
    with disk("process") as folder, Server(folder / "data") as server:
        executable = {"type": "process", "uri": "true"}
        body = {"name": "nothing", "endpoint": "nothing", "version": "1", "executable": executable}
        server.post("/api/v1/tasks", json=body).raise_for_status()
        load = server.port, "/e/nothing", "{}", 1, SECONDS
        pair = alternate(partial(child, "_client.py", *load), partial(child, "_plain_spawns.py", SECONDS), rounds=5)
        show_rates("POST /e/nothing, a process", pair, against="bare posix_spawn", at_least=0.04, durable=True)


if __name__ == "__main__":
    main()
