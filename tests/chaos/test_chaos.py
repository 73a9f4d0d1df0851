"""Fifty followers over every transport, cut off at random and some of them slow, while the server is killed again and again.

CHAOS_EVENTS says how many events each of them has to hear (`make chaos`: a million), CHAOS_SEED repeats a run.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import requests

from tests.chaos import _log
from tests.chaos._transports import TRANSPORTS
from tests.server import ROOT, Server, eventually

EVENTS = int(os.environ.get("CHAOS_EVENTS", "1000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or Random().randrange(1, 2**32)
LIVE = min(EVENTS // 5, 5000)
KILLS, WRITERS = 3, 2
PAUSE_S, LAST_PAUSE_S = EVENTS / 2_000_000, 0.1
PATIENCE_S = 60 + EVENTS * 0.02


class Writers:
    """Take nodes out of work and put them back, one request after the other: who waits for the end, hears what is after it."""

    def __init__(self, server: Server, nodes: list[UUID]) -> None:
        self.written, self.pause_s, self._over, self._url = [0] * WRITERS, PAUSE_S, threading.Event(), server.url
        self._threads = [threading.Thread(target=self._write, args=(n, nodes[n])) for n in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int, node: UUID) -> None:
        while not self._over.wait(self.pause_s):
            for verb in ("drain", "undrain"):
                with suppress(requests.RequestException):
                    answer = requests.post(f"{self._url}/api/v1/nodes/{node}/{verb}", json={}, timeout=10)
                    self.written[number] += answer.ok

    def stop(self) -> None:
        """No more."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def followers(stack: ExitStack, server: Server, name: str) -> "subprocess.Popen[bytes]":
    """A process of followers over one transport."""
    doors = (server.port, server.grpc_port, server.bus_port)
    numbers = (TRANSPORTS[name].of_fifty, *doors, max(EVENTS // 2, 10), SEED)
    command = [sys.executable, "-m", "tests.chaos._follower", name, *map(str, numbers)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0)
    stack.callback(_end, process)
    return process


def asked(process: "subprocess.Popen[bytes]", line: str) -> int:
    """What followers answer to a line."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{line}\n".encode())
    process.stdin.flush()
    return int(process.stdout.readline())


def heard(crowd: "dict[str, subprocess.Popen[bytes]]") -> dict[str, int]:
    """How many events the followers of each transport heard by now."""
    return {name: asked(process, "how many?") for name, process in crowd.items()}


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_every_follower_ends_with_every_event_once_in_order_or_an_explicit_gap(tmp_path: Path) -> None:
    missing, began = EVENTS // 10, time.monotonic()
    to_hear = (EVENTS - LIVE - missing) * sum(transport.of_fifty for transport in TRANSPORTS.values())
    nodes = _log.write(tmp_path / "data", events=EVENTS - LIVE, without=missing)
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "data", "--heartbeat-timeout", "1000000", role="sms"))
        floor = _first_position(server)
        crowd = {name: followers(stack, server, name) for name in TRANSPORTS}
        writers = Writers(server, nodes)
        stack.callback(writers.stop)
        for kill in range(1, KILLS + 1):
            part = kill / (KILLS + 1)
            eventually(lambda part=part: sum(writers.written) >= part * LIVE, within_s=PATIENCE_S)
            eventually(lambda part=part: sum(heard(crowd).values()) >= part * to_hear, within_s=PATIENCE_S)
            print(f"\nafter {time.monotonic() - began:.0f} s, killed; heard {heard(crowd)}", flush=True)
            server.stop(signal.SIGKILL)
            server.start(ready_within_s=PATIENCE_S)
        eventually(lambda: sum(writers.written) >= LIVE, within_s=PATIENCE_S)
        end = int(server.get("/ready").json()["head"])
        writers.pause_s = max(PAUSE_S, LAST_PAUSE_S)
        for process in crowd.values():
            asked(process, str(end))
        accounts = {name: _accounts(process, within_s=PATIENCE_S) for name, process in crowd.items()}
    _tell(accounts, end, time.monotonic() - began)
    for name, told in accounts.items():
        assert len(told) == TRANSPORTS[name].of_fifty
        for account in told:
            assert account["broken"] == "", f"{name}, CHAOS_SEED={SEED}: {account}"
            assert account["gaps"] == [[1, floor - 1]], f"{name}, CHAOS_SEED={SEED}: {account}"
            assert account["first"] == floor and account["last"] >= end
            assert account["count"] == account["last"] - floor + 1


def _first_position(server: Server) -> int:
    return int(server.get("/api/v1/events").json()["details"]["missing_to"]) + 1


def _accounts(process: "subprocess.Popen[bytes]", *, within_s: float) -> list[dict[str, Any]]:
    out, _ = process.communicate(timeout=within_s)
    return [json.loads(line) for line in out.splitlines()]


def _tell(accounts: dict[str, list[dict[str, Any]]], end: int, took_s: float) -> None:
    cuts = {name: sum(account["cuts"] for account in told) for name, told in accounts.items()}
    heard = sum(account["count"] for told in accounts.values() for account in told)
    who = sum(map(len, accounts.values()))
    print(
        f"\n{who} followers heard {heard:,} of {end:,} events each to the end in {took_s:.0f} s; {KILLS} kills; cut off {cuts}"
    )
