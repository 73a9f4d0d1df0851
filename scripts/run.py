"""Serve everything in one process and show a first-time visitor around; speaks public REST only."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from spear._config_kinds import Address
from spear.config import Config, load
from spear.errors import StartupError

SAMPLES = ("hello", "echo")
BUILT = Path("samples/build")
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DIRECT = build_opener(ProxyHandler({}))
RAW = {"content-type": "application/octet-stream"}
JSON = {"content-type": "application/json"}


class Rest:
    """The REST interface of one server, as a visitor uses it."""

    def __init__(self, base: str) -> None:
        self.base = base

    def send(self, path: str, body: bytes | None = None, *, headers: Mapping[str, str] = RAW) -> bytes:
        """POST `body`, or GET without one; raises `OSError` with the server's own words when it refuses."""
        try:
            with DIRECT.open(Request(self.base + path, data=body, headers=dict(headers)), timeout=60) as reply:
                return bytes(reply.read())
        except HTTPError as error:
            raise OSError(f"{path}: {error.code} {error.read().decode(errors='replace')[:500]}") from error

    def json(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The same with JSON in and out."""
        content = None if body is None else json.dumps(body).encode()
        return json.loads(self.send(path, content, headers=JSON))

    def ready(self) -> bool:
        """Whether the server says that it can work."""
        try:
            with DIRECT.open(f"{self.base}/ready", timeout=2):
                return True
        except (URLError, HTTPException, TimeoutError, ConnectionError):
            return False


def main(argv: list[str]) -> int:
    """Run until the server ends; its exit status is ours."""
    try:
        config = load(["--role", "all", *argv], environ=os.environ, home=Path.home())
        if config.print_config:
            print(config.explained())
            return 0
        refuse_what_cannot_be_shown(config)
        refuse_a_taken_port(config.setting("http_addr").key.name, config.http_addr)
        log = server_log(config.data_dir)
    except StartupError as error:
        print(f"spear: {error.message}", file=sys.stderr)
        return 2
    status = serve(config, argv, log=log)
    if status < 0:
        print(f"spear: the server was killed by {signal.Signals(-status).name}; {log} ends there", file=sys.stderr)
        return 128 - status
    if status:
        print(f"spear: {last_line(log).removeprefix('spear: ')}", file=sys.stderr)
    return status


def serve(config: Config, argv: list[str], *, log: Path) -> int:
    """Start the server, wait until it is ready, show the visitor around, and wait for its end."""
    rest = Rest(f"http://{reachable(config.http_addr)}")
    with child(argv, log=log) as server:
        if wait_until_ready(rest, server):
            show_around(rest, config, log=log)
        return server.wait()


def refuse_what_cannot_be_shown(config: Config) -> None:
    """Raise `StartupError` for settings under which the first run could not find its own server."""
    if config.http_addr.port == 0:
        raise StartupError(
            "http.addr: got port 0, expected a port that can be named; run spear_server.py for any free one"
        )
    if not (config.http_addr.loopback or config.insecure):
        raise StartupError(
            f"http.addr: got {config.http_addr}, expected a loopback address, or --insecure, for the first run;"
            " run spear_server.py with tokens"
        )
    if config.http_tls.enabled:
        raise StartupError("http.enable_tls: got true, expected false for the first run; run spear_server.py for TLS")


def refuse_a_taken_port(key: str, address: Address) -> None:
    """Raise `StartupError` when somebody else listens there; their answer must not be taken for ours."""
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise StartupError(
                f"{key}: cannot listen on {address}: {error.strerror}; choose another address"
            ) from error


def server_log(data_dir: Path) -> Path:
    """The file that takes what the server says, made if absent; raises `StartupError` when it cannot be written."""
    log = data_dir / "server.log"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError as error:
        raise StartupError(f"data_dir: cannot write {log}: {error.strerror}") from error
    return log


def reachable(address: Address) -> str:
    """Where a client on this machine finds a server that listens on `address`."""
    return f"localhost:{address.port}" if address.host in ("0.0.0.0", "::") else str(address)


@contextmanager
def child(argv: list[str], *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server in a process group of its own, so that Ctrl-C reaches it once: through us."""
    command = [sys.executable, "spear_server.py", "--role", "all", *argv]
    with log.open("ab") as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0)
    for number in FORWARDED:
        signal.signal(number, lambda received, _: server.send_signal(received))
    try:
        yield server
    finally:
        server.terminate()
        server.wait()


def wait_until_ready(rest: Rest, server: subprocess.Popen[bytes]) -> bool:
    """Show a dot for every half second until the server is ready; False when it ended instead."""
    print(f"starting {rest.base} ", end="", flush=True)
    started = time.monotonic()
    while not rest.ready():
        try:
            server.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            print(".", end="", flush=True)
        else:
            print(flush=True)
            return False
    print(f" ready after {time.monotonic() - started:.1f} s", flush=True)
    return True


def show_around(rest: Rest, config: Config, *, log: Path) -> None:
    """Register the samples in an empty log, run one, and print what to look at next."""
    try:
        if rest.json("/api/v1/tasks?limit=1")["total_count"] == 0:
            for name in SAMPLES:
                register(rest, name)
        print(f"\n$ hello\n{rest.send('/e/hello', b'').decode(errors='replace').rstrip()}\n")
        print(history(rest, config))
    except OSError as error:
        print(f"spear: {error}", file=sys.stderr)
    print(directions(rest.base, config, log=log), flush=True)


def register(rest: Rest, name: str) -> None:
    """Upload one sample agent and register it as a task of the same name."""
    content = (BUILT / f"{name}.wasm").read_bytes()
    uri = json.loads(rest.send("/api/v1/files", content, headers={**RAW, "x-file-name": f"{name}.wasm"}))["uri"]
    executable = {"type": "wasm", "uri": uri, "checksum_sha256": hashlib.sha256(content).hexdigest()}
    rest.json("/api/v1/tasks", {"name": name, "endpoint": name, "version": "1.0.0", "executable": executable})
    print(f"registered the sample agent {name}", flush=True)


def history(rest: Rest, config: Config) -> str:
    """How much the log holds, in one line."""
    events = rest.json("/api/v1/events?limit=1")["head"]
    executions = rest.json("/api/v1/executions?limit=1")["total_count"]
    return f"The log in {config.data_dir} holds {events} events and {counted(executions, 'execution')}."


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def directions(base: str, config: Config, *, log: Path) -> str:
    """Where everything is, and three lines to try."""
    return f"""
  REST       {base}/api/v1
  Swagger UI {base}/swagger-ui/
  OpenAPI    {base}/api/openapi.json
  Web admin  http://{reachable(config.web_admin_addr)}/
  Server log {log}

Try next:
  curl -d hi {base}/e/echo
  curl {base}/api/v1/executions
  curl -N -H 'Accept: text/event-stream' '{base}/api/v1/events'

Serving until Ctrl-C."""


def last_line(log: Path) -> str:
    """The last thing that the server said."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the server ended without a word"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
