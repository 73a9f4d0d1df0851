"""A really full disk: a small file system of the server's own, filled to the last byte, then freed."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from spear.events.verify import verify
from tests.server import Server, eventually

NODE = {"ip_address": "127.0.0.9", "port": 9}
ALONE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=32m none "$0" && exec "$@"'
FULL = """mkdir "$0.small" && mount -t tmpfs -o size=4m none "$0.small" && cp -r "$0/." "$0.small"
dd if=/dev/zero of="$0.small/filler" bs=4k status=none; "$@" --data-dir "$0.small"
"""


@pytest.fixture
def inside(tmp_path: Path) -> list[str]:
    """A command's first words: what follows finds the data directory on a small file system of its own."""
    data = tmp_path / "data"
    data.mkdir()
    words = [*ALONE, MOUNT, str(data)]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces to mount a small file system")
    return words


@pytest.fixture
def server(tmp_path: Path, inside: list[str]) -> Iterator[Server]:
    with Server(tmp_path / "data", inside=inside) as running:
        yield running


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def register(server: Server) -> int:
    """The status of one more node."""
    return server.post("/api/v1/nodes", json=NODE).status_code


def test_a_full_disk_is_503_until_there_is_room_and_nothing_diverges(server: Server, tmp_path: Path) -> None:
    assert server.process is not None
    data = Path(f"/proc/{server.process.pid}/root{server.data_dir}")
    task = server.register("echo")
    assert server.run(task, input="before").json()["status"] == "completed"
    filler = fill(data)

    acknowledged = 0
    while (status := register(server)) == 201:
        acknowledged += 1
    assert status == 503
    answer = server.post("/api/v1/nodes", json=NODE)
    assert answer.json()["error"] == "UNAVAILABLE"
    assert "full" in answer.json()["message"] or "views" in answer.json()["message"]
    assert server.run(task, input="during").status_code == 503
    assert server.get("/api/v1/nodes").status_code == 200

    filler.unlink()
    eventually(lambda: register(server) == 201)
    assert server.run(task, input="after").json()["output"] == "after"
    assert server.get("/api/v1/nodes").json()["total_count"] >= acknowledged + 2
    eventually(lambda: not server.get("/api/v1/executions", params={"status": "running"}).json()["executions"])
    for name in ("sms.db", "sms.db-wal", "sms.db-head"):
        shutil.copy(data / name, tmp_path / name)  # SQLite would follow the link out of the mount namespace
    assert verify(tmp_path / "sms.db") == []
    assert server.stop() == 0


def test_a_start_on_a_full_disk_says_that_it_is_full(tmp_path: Path, inside: list[str]) -> None:
    with Server(tmp_path / "whole") as other:
        assert register(other) == 201
        assert other.stop() == 0
    start = [*inside[:-2], FULL, str(other.data_dir), *other.command]
    done = subprocess.run(start, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
