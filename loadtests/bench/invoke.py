"""`POST /e/hello` against *fifty lines*, the server that a good engineer would write in an hour."""

from functools import partial

from loadtests.bench._common import alternate, background, child, disk, show_rates
from tests.server import Server

TARGETS = {1: 0.8, 32: 1.2}
SECONDS = 2


def main() -> None:
    """Print one line for each number of clients."""
    with (
        disk("invoke") as folder,
        Server(folder / "data") as server,
        background("_fifty_lines.py", folder / "calls.db") as port,
    ):
        server.register("hello", endpoint="hello")
        for clients, at_least in TARGETS.items():
            load = "/e/hello", "{}", clients, SECONDS
            pair = alternate(
                partial(child, "_client.py", server.port, *load),
                partial(child, "_client.py", port, *load),
                rounds=5,
            )
            title = f"POST /e/hello, {clients} at a time"
            show_rates(title, pair, against="fifty lines", at_least=at_least, durable=True)


if __name__ == "__main__":
    main()
