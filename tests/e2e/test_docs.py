"""Every command in the documentation works as it is written."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ROOT, Server, free_port

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROCESSES = re.compile(r"samples/process|tr a-z|uname")  # in blocks that run agents which are processes
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")


def blocks() -> list[tuple[str, str]]:
    """Every shell block, with the page it stands on."""
    return [(str(page.relative_to(ROOT)), block) for page in PAGES for block in BLOCK.findall(page.read_text())]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as `make run` leaves it: the samples are registered."""
    here = tmp_path_factory.mktemp("docs")
    for name in ("README.md", "bin", "samples", "sdk", "proto", "config.toml", "spear_server.py", "spear", ".venv"):
        if (ROOT / name).exists():
            (here / name).symlink_to(ROOT / name)
    with Server(here / "data") as running:
        for sample in ("hello", "echo"):
            running.register(sample, endpoint=sample)
        yield running


@pytest.fixture(scope="module")
def free() -> dict[str, int]:
    """For each port that the pages use beside those of a running server, one that is free here."""
    return {str(port): free_port() for port in (9080, 9151, 9152, 9153, 9180, 9181, 9182)}


def needs_processes(server: Server) -> None:
    if "process" not in server.get("/api/v1/nodes").json()["nodes"][0]["metadata"]["runtimes"]:
        pytest.skip("this machine runs no agents that are processes; the server's log says why")


@pytest.mark.parametrize(("page", "block"), blocks())
def test_a_documented_command_works(server: Server, free: dict[str, int], page: str, block: str) -> None:
    if PROCESSES.search(block):
        needs_processes(server)
    script = block.replace("localhost:8080", f"localhost:{server.port}")
    script = script.replace("localhost:50051", f"localhost:{server.grpc_port}")
    script = script.replace("localhost:8081", f"localhost:{server.admin_port}").replace("curl ", "curl -f ")
    script = script.replace("localhost:50053", f"localhost:{server.bus_port}")
    script = re.sub(r"\b9(?:080|15[1-3]|18[0-2])\b", lambda found: str(free[found[0]]), script)
    environment = os.environ | {
        "PATH": f"{ROOT / 'bin'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "FREE_PORT": str(free_port()),
        "SPEAR_SERVER": server.url,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=server.data_dir.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{page}:\n{script}\n{done.stdout}\n{done.stderr}"


def test_the_readmes_tour_ends_with_what_it_says(server: Server) -> None:
    assert server.post("/e/echo", data="hi there").text == "hi there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [target for target, _ in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert broken == []
