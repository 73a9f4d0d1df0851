"""From asking for the end of an agent until it ended, durably, whatever it does: of several each, the slowest counts."""

from time import perf_counter, sleep

from loadtests.bench._common import disk, show_at_most, show_fact
from tests.server import Server, eventually

ROUNDS = 20
BOUND_MS = 200
AT_WORK_S = 0.05  # until it surely does what it is there for
GUESTS = {
    "computes": ("loop", []),
    "sleeps": ("sleep", ["3600000"]),
    "waits in a blocking call of WASI": ("sleep", ["3600000", "wasi"]),
}


def main() -> None:
    """Print one line for each kind of guest, and how long a run went on beyond its wall time."""
    with disk("terminate") as folder, Server(folder / "data") as server:
        for doing, (sample, args) in GUESTS.items():
            task = server.register(sample)
            taken = sorted(_ended(server, task, args) for _ in range(ROUNDS))
            show_at_most(
                f"end of an agent that {doing}, the slowest of {ROUNDS}", taken[-1] * 1e3, BOUND_MS, "ms", durable=True
            )
            show_fact("half of them took less than", f"{taken[ROUNDS // 2] * 1e3:.1f} ms")
        task = server.register("loop", config={"limits.wall_ms": "300"})
        late = max(server.run(task).json()["duration_ms"] - 300 for _ in range(ROUNDS))
        show_at_most(
            f"run of an agent beyond its wall time, the longest of {ROUNDS}", late, BOUND_MS, "ms", durable=True
        )


def _ended(server: Server, task: str, args: list[str]) -> float:
    path = f"/api/v1/executions/{server.run(task, args=args, mode='async').json()['execution_id']}"
    eventually(lambda: server.get(path).json()["status"] == "running")
    sleep(AT_WORK_S)
    began = perf_counter()
    shown = server.post(f"{path}/terminate").json()
    taken = perf_counter() - began
    if shown["status"] != "cancelled":
        raise SystemExit(f"an agent was to be cancelled and is {shown['status']}")
    return taken


if __name__ == "__main__":
    main()
