import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server import free_port

ROOT = Path(__file__).resolve().parents[2]
LAST_LINE = "Serving until Ctrl-C.\n"
OUTER_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
ENVIRONMENT = {key: os.environ[key] for key in os.environ.keys() - OUTER_MAKE}


@pytest.fixture
def options(tmp_path):
    """The command-line options of one platform that shares nothing with others on this machine."""
    keys = {"http-addr": f"127.0.0.1:{free_port()}", "web-admin-addr": f"127.0.0.1:{free_port()}"}
    keys |= {"grpc-addr": f"127.0.0.1:{free_port()}", "bus-addr": f"127.0.0.1:{free_port()}"}
    return keys | {"data-dir": str(tmp_path / "data")}


def make_run(options):
    """The command `make run` with these options, in the environment that the tests run in."""
    return ["make", "run", f"VENV={sys.prefix}", "ARGS=" + " ".join(f"--{key} {options[key]}" for key in options)]


def call(*command, **environment):
    """Run a command to its end in the repository; gives its exit status and what it printed."""
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=120)


def said(done):
    """The lines of a failed command, without those in which make repeats its exit status."""
    return [line for line in done.stderr.splitlines() if not line.startswith("make:")]


@contextmanager
def running(options) -> Iterator[str]:
    """A `make run` that serves; gives what it printed, then presses Ctrl-C and sees it end."""
    terminal = subprocess.Popen(
        make_run(options), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed = []
        for line in terminal.stdout:
            printed.append(line)
            if line == LAST_LINE:
                break
        yield "".join(printed)
    finally:
        os.killpg(terminal.pid, signal.SIGINT)
        terminal.wait(timeout=30)
        terminal.stdout.close()


def counts(printed):
    """The events and executions that the log holds, as `make run` tells them."""
    return tuple(int(number) for number in re.search(r"holds (\d+) events and (\d+) executions?", printed).groups())


def get(options, path):
    with urllib.request.urlopen(f"http://{options['http-addr']}{path}", timeout=10) as reply:
        return json.load(reply)


def executions(options):
    return {row["execution_id"]: row for row in get(options, "/api/v1/executions")["executions"]}


def test_make_alone_prints_help_for_every_target():
    printed = call("make").stdout
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    wanted = {"run", "test", "e2e", "check", "bench", "load", "samples", "build", "run-sms", "run-spearlet"}
    assert wanted <= set(targets)
    assert all(f"make {target} " in printed for target in targets)


def test_a_python_that_is_too_old_is_one_clear_line(tmp_path):
    old = tmp_path / "bin" / "python3"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 3.9.18\nexit 1\n")
    old.chmod(0o755)
    done = call(shutil.which("make"), "run", f"VENV={tmp_path}/venv", PATH=str(old.parent))
    assert done.returncode != 0
    assert len(said(done)) == 1 and "3.11 or newer" in said(done)[0] and "python3 is 3.9.18" in said(done)[0]
    assert not (tmp_path / "venv").exists()


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory):
    """A virtual environment with nothing but pip."""
    path = tmp_path_factory.mktemp("venv")
    venv.create(path, with_pip=True)
    return path


def install(bare_venv, requirements, *flags):
    """Run the installer without any package index."""
    return call(sys.executable, "scripts/install.py", str(bare_venv), str(requirements), *flags, PIP_NO_INDEX="1")


def test_an_optional_part_that_cannot_be_installed_is_one_loud_line(bare_venv, tmp_path):
    requirements = tmp_path / "extras.txt"
    requirements.write_text("no-such-part==1.0\n")
    done = install(bare_venv, requirements, "--optional")
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "NOT INSTALLED: no-such-part==1.0" in line]
    assert not (bare_venv / ".extras").exists()


def test_a_required_part_that_cannot_be_installed_stops_the_make(bare_venv, tmp_path):
    requirements = tmp_path / "needed.txt"
    requirements.write_text("no-such-part==1.0\n")
    done = install(bare_venv, requirements)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"spear: {requirements} could not be installed")


def test_a_complete_install_leaves_a_stamp(bare_venv, tmp_path):
    requirements = tmp_path / "complete.txt"
    requirements.write_text("# nothing is needed\n")
    assert install(bare_venv, requirements).returncode == 0
    assert (bare_venv / ".complete").exists()


def test_every_requirement_is_pinned():
    lines = [line for name in ("requirements.txt", "requirements-dev.txt") for line in (ROOT / name).open()]
    loose = [line for line in lines if line.strip() and not re.match(r"#|-r requirements.txt$|[\w.-]+==[\w.]+$", line)]
    assert loose == []


def run_a_skipping_suite(path, **environment):
    """Run a suite of one skipped test, under the same conftest as this one."""
    shutil.copy(ROOT / "tests" / "conftest.py", path)
    (path / "test_docker.py").write_text("import pytest\n\ndef test_it():\n    pytest.skip('docker is absent')\n")
    (path / "pytest.ini").write_text("[pytest]\n")
    return call(sys.executable, "-m", "pytest", "-q", "-c", str(path / "pytest.ini"), str(path), **environment)


def test_a_skip_is_one_loud_line(tmp_path):
    done = run_a_skipping_suite(tmp_path, CI="")
    assert done.returncode == 0
    assert "NOT TESTED (1 skipped): docker is absent" in done.stdout


def test_a_skip_fails_in_ci(tmp_path):
    done = run_a_skipping_suite(tmp_path, CI="true")
    assert done.returncode == 1
    assert "skipped, which CI=true forbids: docker is absent" in done.stdout


def test_make_run_runs_hello_and_says_what_to_try_next(options):
    with running(options) as printed:
        assert re.search(r"^starting http://\S+ \.* ready after \d+\.\d s$", printed, re.MULTILINE)
        assert "registered the sample agent hello" in printed
        assert re.search(r"\$ hello\n.*[Hh]ello", printed)
        for url in (f"http://{options['http-addr']}/swagger-ui/", f"http://{options['web-admin-addr']}/"):
            assert url in printed
            assert urllib.request.urlopen(url, timeout=10).status == 200
        assert "paths" in get(options, "/api/openapi.json")
        said, executions, events = (curl(line) for line in re.findall(r"^  curl .*$", printed, re.MULTILINE))
        assert said == "hi"
        assert {row["status"] for row in json.loads(executions)["executions"]} == {"completed"}
        assert events.startswith("retry: ") and "\nevent: TaskCreated\n" in events


def curl(line):
    """What one of the lines to try next gives, within two seconds of a stream."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    command = f"{line} --fail --silent --max-time 2"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize(
    ("fails", "asked"), [("", ["test", "check"]), ("check", ["test", "check"]), ("test", ["test"])]
)
def test_continuous_integration_is_make_test_and_then_make_check(tmp_path, fails, asked):
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ntest "$*" != "{fails}"\n')
    make.chmod(0o755)
    done = call(str(ROOT / ".ci" / "run"), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert ((tmp_path / "asked").read_text().splitlines(), done.returncode != 0) == (asked, bool(fails)), done.stderr


def test_a_second_make_run_shows_the_same_history(options):
    with running(options) as first:
        before = executions(options)
    with running(options) as second:
        after = executions(options)
    assert "registered" not in second
    assert before and before.items() <= after.items()
    assert counts(second)[1] == counts(first)[1] + 1
    assert counts(second)[0] > counts(first)[0]


def test_a_server_that_was_killed_is_one_clear_line(options, tmp_path):
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        make = subprocess.Popen(
            make_run(options), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        assert any(line == LAST_LINE for line in make.stdout)
        (owner,) = re.findall(r"pid (\d+)", (tmp_path / "data" / "lock").read_text())
        os.kill(int(owner), signal.SIGKILL)
        make.communicate(timeout=30)
    (line,) = (line for line in errors.read_text().splitlines() if not line.startswith("make:"))
    assert "the server was killed by SIGKILL" in line


@pytest.mark.parametrize("key", ["http-addr", "web-admin-addr"])
def test_a_taken_port_is_one_clear_line(options, key):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options[key] = f"127.0.0.1:{taken.getsockname()[1]}"
        done = call(*make_run(options))
    assert done.returncode != 0
    assert (
        len(said(done)) == 1
        and key.replace("-addr", ".addr").replace("-", "_") in said(done)[0]
        and options[key] in said(done)[0]
    )
