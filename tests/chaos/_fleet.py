"""An SMS and its SPEARlets as real processes that start again whenever they end, on wires that can be spoiled."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import requests

from tests.chaos._wires import Wire
from tests.server import Server, eventually

NODES = ("one", "two", "three")
_LOOK_S, _AGAIN_S, _VOUCH_S = 0.05, 0.2, 0.5


class Kept:
    """A server that somebody starts again whenever it ends, also when it ends by itself because its SMS is away."""

    def __init__(self, server: Server) -> None:
        self.server, self.kills, self.ended = server, 0, Counter[int]()
        self.served = False  # since it was started last
        self._wanted, self._over = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep)
        self._wanted.set()
        self._thread.start()

    def _keep(self) -> None:
        while self._wanted.wait() and not self._over.is_set():
            self.served, self._process = False, self.server.spawn()
            while (status := self._process.poll()) is None:
                self.served = self.served or self.server.is_ready()
                time.sleep(_LOOK_S)
            self.ended[status] += 1
            if status > 0:
                self._over.wait(_AGAIN_S)

    def kill(self) -> None:
        """End it at once; it stays away until `mend`."""
        self._wanted.clear()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
            self.kills += 1

    def freeze(self) -> None:
        """It does nothing any more, and its connections stay open, until `mend`."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        """As before."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
        self._wanted.set()

    def stop(self) -> int:
        """Let it end in order; its exit status."""
        self._over.set()
        self.mend()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self._thread.join(30)
        assert self._process is not None and not self._thread.is_alive(), f"{self.server.data_dir} does not end"
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        while self._thread.is_alive():  # it may be about to start it
            self.kill()
            self._wanted.set()
            self._thread.join(0.1)


@dataclass(frozen=True)
class Fleet:
    """What stands while a fleet runs: the servers by name, first the SMS, and every wire by what it joins."""

    kept: Mapping[str, Kept]
    wires: Mapping[str, Wire]

    @property
    def servers(self) -> dict[str, Server]:
        """The servers."""
        return {name: kept.server for name, kept in self.kept.items()}

    def uuid(self, name: str) -> str:
        """The uuid that a node keeps."""
        return (self.kept[name].server.data_dir / "node_uuid").read_text()

    @contextmanager
    def vouched_for(self) -> Iterator[None]:
        """Within the `with` somebody tells the SMS again and again that its nodes do well; penalties would keep all out for minutes."""
        over = threading.Event()
        thread = threading.Thread(target=self._vouch, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _vouch(self, over: threading.Event) -> None:
        named = {"decision_id": "d", "request_id": "r", "task_id": "t", "outcome_class": "success"}
        url = f"{self.kept['sms'].server.url}/api/v1/placement/invocations/report-outcome"
        while not over.wait(_VOUCH_S):
            for name in NODES:
                with suppress(requests.RequestException):
                    requests.post(url, json={**named, "node_uuid": self.uuid(name)}, timeout=1)


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """An SMS and three SPEARlets, each of which reaches the SMS, and is reached, over wires of its own."""
    with ExitStack() as stack:
        config = folder / "sms.toml"
        config.write_text("[executions]\ngrace_ms = 100\nwall_ms = 10000\n")
        kept = {"sms": stack.enter_context(Kept(Server(folder / "sms", "--config", str(config), role="sms")))}
        sms = kept["sms"].server
        eventually(sms.is_ready, within_s=30)
        wires = {"clients > sms": stack.enter_context(Wire(sms.port))}
        for number, name in enumerate(NODES):
            wires[f"{name} > sms"] = to_sms = stack.enter_context(Wire(sms.grpc_port))
            wires[f"{name} > files"] = files = stack.enter_context(Wire(sms.port))
            node = _node(folder, name, f"127.0.0.{number + 2}", to_sms.port, files.port)
            into = Wire(node.grpc_port, host=f"127.0.0.{number + 2}", port=node.grpc_port)
            wires[f"others > {name}"] = stack.enter_context(into)
            kept[name] = stack.enter_context(Kept(node))
        for name in NODES:
            eventually(kept[name].server.is_ready, within_s=30)
        eventually(lambda: len(sms.get("/api/v1/nodes").json()["nodes"]) == len(NODES))
        yield Fleet(kept, wires)


def _node(folder: Path, name: str, reached_at: str, sms_port: int, files_port: int) -> Server:
    """A SPEARlet with room for little, so that calls are sent on; others find it at an address of its own."""
    config = folder / f"{name}.toml"
    config.write_text(
        f"[spearlet]\nheartbeat_interval = 1\nsms_connect_retry_ms = 50\nsms_connect_timeout_ms = 5000\n"
        f"sms_http_addr = '127.0.0.1:{files_port}'\nadvertise_ip = '{reached_at}'\n"
        "[executions]\nmax_concurrent = 3\nqueue_limit = 8\nwall_ms = 10000\ngrace_ms = 100\n"
    )
    flags = ["--config", str(config), "--sms-addr", f"127.0.0.1:{sms_port}", "--auto-register", "--node-name", name]
    return Server(folder / name, *flags, role="spearlet")


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name this folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(f"{pid}: {line}")
    return found
