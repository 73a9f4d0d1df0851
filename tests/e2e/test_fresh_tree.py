"""`make build`, `make run-sms` and `make run-spearlet` in a tree that was never used: the real make, venv and pip.

Nothing comes from a network: pip finds what it is asked for with the Python that runs the tests.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

import pytest
import requests

from tests.e2e.test_make import ENVIRONMENT
from tests.server import ROOT, eventually, free_port

PACKAGES = sysconfig.get_path("purelib")
FOUND_HERE = ENVIRONMENT | {"PYTHON": sys.executable, "PYTHONPATH": PACKAGES, "PIP_NO_INDEX": "1"}
NEEDED = (
    "Makefile", "requirements.txt", "requirements-dev.txt", "config.toml", "spear_server.py", "spear", "admin",
    "proto", "scripts", "samples",
)  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a checkout has, with nothing compiled and nothing installed."""
    here = tmp_path_factory.mktemp("checkout")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, here / name)
    return here


@contextmanager
def making(tree: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A `make` in the tree, ended as Ctrl-C ends it if it still runs."""
    process = subprocess.Popen(
        ["make", *words], cwd=tree, env=FOUND_HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def built(tree: Path) -> list[str]:
    """What the first `make build` printed, line by line."""
    with making(tree, "build") as make:
        assert make.stdout is not None
        first = make.stdout.readline()
        assert make.poll() is None  # what it does is told while it does it
        lines = [first, *make.stdout]
        assert make.wait(60) == 0, lines
    return lines


def test_make_build_installs_what_running_needs_says_so_as_it_goes_and_compiles_every_module(
    tree: Path, built: list[str]
) -> None:
    assert built[0].startswith("creating .venv with Python 3.")
    assert built[1] == "installing requirements.txt into .venv\n"
    pins = [line.strip() for line in (tree / "requirements.txt").open() if "==" in line]
    told = "".join(built[2:])
    assert [pin for pin in pins if pin not in told] == []
    assert (tree / ".venv" / ".requirements").exists()
    modules = [tree / "spear_server.py", *(path for room in ("spear", "admin") for path in (tree / room).rglob("*.py"))]
    assert [path for path in modules if not Path(cache_from_source(str(path))).exists()] == []


def test_a_second_make_build_installs_nothing_and_a_module_that_does_not_compile_fails_it(
    tree: Path, built: list[str]
) -> None:
    with making(tree, "build") as make:
        assert make.communicate(timeout=60) == ("", None)
        assert make.returncode == 0
    broken = tree / "spear" / "broken.py"
    broken.write_text("def\n")
    try:
        with making(tree, "build") as make:
            told, _ = make.communicate(timeout=60)
        assert make.returncode != 0 and "spear/broken.py" in told
    finally:
        broken.unlink()


def serves(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/ready", timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


@contextmanager
def serving(tree: Path, target: str, **flags: str) -> Iterator[None]:
    """A `make run-...` that is ready; at the end it is seen to stop in order."""
    words = " ".join(f"--{name.replace('_', '-')} {value}".strip() for name, value in flags.items())
    with making(tree, target, f"ARGS={words}") as make:
        eventually(lambda: serves(flags["http_addr"]) or make.poll() is not None, within_s=30)
        yield
        assert make.poll() is None
        os.killpg(make.pid, signal.SIGINT)
        told, _ = make.communicate(timeout=60)
        assert "stopping: SIGINT" in told and "stopped" in told, told


def somewhere() -> str:
    return f"127.0.0.1:{free_port()}"


def test_run_spearlet_joins_the_sms_of_run_sms(tree: Path, built: list[str]) -> None:
    sms = {"http_addr": somewhere(), "grpc_addr": somewhere(), "bus_addr": somewhere()}
    node = {"http_addr": somewhere(), "grpc_addr": somewhere(), "bus_addr": somewhere()}
    with serving(tree, "run-sms", **sms):
        nodes = f"http://{sms['http_addr']}/api/v1/nodes"
        assert requests.get(nodes, timeout=10).json()["nodes"] == []
        with serving(tree, "run-spearlet", **node, sms_addr=sms["grpc_addr"], auto_register=""):
            [found] = requests.get(nodes, timeout=10).json()["nodes"]
            assert (found["status"], found["port"]) == ("online", int(node["grpc_addr"].rpartition(":")[2]))
            assert (tree / "data" / "spearlet" / "spearlet.db").exists()
    assert (tree / "data" / "sms.db").exists()
