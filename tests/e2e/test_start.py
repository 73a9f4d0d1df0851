"""Starts that cannot succeed are one clear line and status 2; signals are obeyed at any time."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.server import Server, events_of, eventually

NODE = {"ip_address": "127.0.0.9", "port": 50052}
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
SMALL = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'


def refused(server: Server, *flags: str) -> str:
    """The one line that a start ends with."""
    done = subprocess.run([*server.command, *flags], capture_output=True, text=True, timeout=60)
    lines = [
        line for line in done.stderr.strip().splitlines() if "Traceback" in line or line.startswith("spear_server")
    ]
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    return lines[0]


def used(folder: Path) -> Path:
    """A data directory with something in it."""
    server = Server(folder).start()
    server.post("/api/v1/nodes", json=NODE)
    assert server.stop() == 0
    return folder


def inside(folder: Path, script: str) -> list[str]:
    """How to run a command with `folder` mounted another way; skips where that is not allowed."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(folder)]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("needs user namespaces to mount")
    return command


def test_a_start_tells_every_value_that_is_not_the_default_and_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("heartbeat_timeout = 77\n")
    monkeypatch.setenv("SMS_HEARTBEAT_TIMEOUT", "88")
    monkeypatch.setenv("SMS_CLEANUP_INTERVAL", "99")
    with Server(tmp_path / "data", "--config", str(tmp_path / "config.toml"), "--log-format", "compact") as server:
        (told,) = eventually(lambda: [line for line in server.output().splitlines() if "configured: " in line])
    assert f"heartbeat_timeout = 77 (--config file {tmp_path / 'config.toml'})" in told
    assert "cleanup_interval = 99 (environment SMS_CLEANUP_INTERVAL)" in told
    assert f'http.addr = "127.0.0.1:{server.port}" (flag --http-addr)' in told
    assert "SMS_HEARTBEAT_TIMEOUT" not in told
    assert "node_removal_after" not in told


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    assert str(tmp_path / "data") in refused(Server(tmp_path / "data"))


@pytest.mark.parametrize("taken", ["sms.db", "lock", "files", "snapshots", "views.db", "node_uuid", "as-of"])
def test_something_else_in_the_place_of_what_is_needed_is_one_line(tmp_path: Path, taken: str) -> None:
    place = tmp_path / taken
    if taken in ("files", "snapshots", "as-of"):
        place.write_text("in the way")
    else:
        (place / "in the way").mkdir(parents=True)
    assert str(tmp_path) in refused(Server(tmp_path))


def test_a_data_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    data = used(tmp_path / "data")
    assert "Read-only" in refused(Server(data, inside=inside(data, READ_ONLY)))


def test_a_data_directory_without_permission_is_one_line(tmp_path: Path) -> None:
    assert "/proc/spear/data" in refused(Server(Path("/proc/spear/data")))  # there, not even root may


def test_a_disk_without_any_room_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert str(data) in refused(Server(data, inside=inside(data, SMALL)))


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + bytes(4080)])
def test_a_log_that_is_no_database_is_one_line_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sms.db").write_bytes(content)
    assert "verify" in refused(Server(tmp_path))
    assert (tmp_path / "sms.db").read_bytes() == content


def test_damaged_views_are_made_again(tmp_path: Path) -> None:
    data = used(tmp_path / "data")
    content = bytearray((data / "views.db").read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    (data / "views.db").write_bytes(content)
    with Server(data) as server:
        addresses = [node["ip_address"] for node in server.get("/api/v1/nodes").json()["nodes"]]
        assert "127.0.0.9" in addresses


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (["--config"], "--config"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--http-addr", "nonsense"], "nonsense"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_it(tmp_path: Path, flags: list[str], told: str) -> None:
    assert told in refused(Server(tmp_path), *flags)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    data = used(tmp_path / "data")
    (data / "views.db").unlink()
    server = Server(data)
    with subprocess.Popen(server.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            eventually(lambda: str(process.pid) in (data / "lock").read_text(), within_s=60)
            process.send_signal(number)
            _, told = process.communicate(timeout=30)
        finally:
            process.kill()  # or a failed test would wait for it for ever
        assert process.returncode == 0, told.decode()
        assert b"Traceback" not in told


def test_a_second_signal_does_not_disturb_a_slow_stop(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    server.run(server.register("sleep", config={"limits.wall_ms": "1500"}), mode="async")
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: "stopping" in server.output())
    assert server.stop(signal.SIGINT) == 0
    with server:
        assert len(events_of(server, ["ExecutionTimedOut", "InstanceStopped"])) == 2


def test_callers_that_wait_in_the_queue_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    config = tmp_path / "one.toml"
    config.write_text("[executions]\nmax_concurrent = 1\ngrace_ms = 100\n")
    server = Server(tmp_path / "data", "--config", str(config)).start()
    task = server.register("loop")
    server.run(task, mode="async")
    eventually(lambda: events_of(server, ["ExecutionStarted"]))
    body = f'{{"task_id": "{task}"}}'
    ask = ["curl", "-s", "-d", body, "-H", "Content-Type: application/json", f"{server.url}/api/v1/executions"]
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with subprocess.Popen(ask, stdout=subprocess.DEVNULL):
        eventually(lambda: len(events_of(server, ["ExecutionRequested"])) == 2)
        assert server.stop() == 0
    with server:
        assert len(events_of(server, ["ExecutionCancelled"])) == 2


def test_a_log_that_is_gone_is_missed_and_no_new_one_is_begun(tmp_path: Path) -> None:
    server = Server(used(tmp_path / "data"))
    (server.data_dir / "sms.db").unlink()
    assert "is gone" in refused(server)
    assert not (server.data_dir / "sms.db").exists()
