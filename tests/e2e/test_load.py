import os
import re
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "loadtests.run"]
ROW = re.compile(r"^(\S.*?) +(\d+) +(\d+) +\d+ +\d+ +\d+ +[\d.]+$", re.MULTILINE)

pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="locust is absent")


def load(seconds, **environment):
    """Run the command of `make load` to its end."""
    variables = {**os.environ, "LOAD_SECONDS": str(seconds), **environment}
    return subprocess.run(COMMAND, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)


def failures(done):
    """How often each operation of the table failed."""
    return {name: int(failed) for name, _, failed in ROW.findall(done.stdout)}


def test_a_short_load_finds_nothing_wrong():
    done = load(3)
    assert done.returncode == 0, done.stdout + done.stderr
    found = failures(done)
    agents = {"POST /api/v1/nodes", "POST /api/v1/nodes/UUID/heartbeat"}
    others = {"POST /e/hello", "POST /e/echo", "GET /api/v1/events?after"}
    assert not (agents | others | {"all"}) - found.keys() and not any(found.values()), found
    assert re.search(r"^name +requests +failures +p50 +p95 +p99 +req/s$", done.stdout, re.MULTILINE)
    assert re.search(r"^ok: \d+ events, chain whole, views match$", done.stdout, re.MULTILINE)


def test_calls_of_an_agent_that_does_not_exist_fail_the_load():
    done = load(1, LOAD_ECHO="nowhere")
    assert done.returncode == 1
    assert failures(done)["POST /e/nowhere"] > 0 and failures(done)["POST /e/hello"] == 0
    assert "POST /e/nowhere: status 404, expected 200" in done.stderr


def test_an_answer_with_wrong_content_fails_the_load():
    done = load(1, LOAD_ECHO="hello")
    assert done.returncode == 1
    assert "POST /e/hello: wrong content: Hello from SPEAR!" in done.stderr


def test_ctrl_c_ends_the_load_and_its_server():
    terminal = subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with terminal:
        port = int(re.search(r"http://127.0.0.1:(\d+)", terminal.stdout.readline()).group(1))
        os.killpg(terminal.pid, signal.SIGINT)
        assert terminal.wait(timeout=60) == 130
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
