"""From the start of the server program until it is ready, on a log of a million events, with its views and without."""

from pathlib import Path
from statistics import median
from time import perf_counter

from loadtests.bench._common import child, disk, show_bound, show_fact
from spear.projections.views import remove_views
from tests.server import Server

EVENTS = 1_000_000
MIDDLE = EVENTS // 2
PATIENCE_S = 120


def main() -> None:
    """Print one line for each bound, and what looking back costs."""
    with disk("restart") as folder:
        data = folder / "data"
        data.mkdir()
        rate = child("_fill.py", data / "sms.db", EVENTS)
        server = Server(data)
        rebuilt = [_ready_after(server, anew=True) for _ in range(2)]
        kept = [_ready_after(server) for _ in range(5)]
        show_bound(f"ready after restart, {EVENTS:,} events and their views", median(kept), at_most=2)
        show_bound(f"ready after restart, {EVENTS:,} events, views rebuilt", median(rebuilt), at_most=25)
        show_fact("size of the log", f"{_megabytes(data / 'sms.db')}, written at {rate:,.0f} events/s")
        show_fact("size of the views", _megabytes(data / "views.db"))
        with server:
            for turn in ("first", "second"):
                show_fact(f"as of position {MIDDLE:,}, no snapshot before it, {turn} time", _look_back(server))


def _ready_after(server: Server, *, anew: bool = False) -> float:
    if anew:
        remove_views(server.data_dir / "views.db")
    began = perf_counter()
    server.start(ready_within_s=PATIENCE_S)
    taken = perf_counter() - began
    server.stop()
    return taken


def _look_back(server: Server) -> str:
    began = perf_counter()
    server.get("/api/v1/nodes", params={"as_of": MIDDLE, "limit": 1}, timeout=PATIENCE_S).raise_for_status()
    return f"{perf_counter() - began:.3f} s"


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.0f} MB"


if __name__ == "__main__":
    main()
