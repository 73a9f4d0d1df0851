"""A real Docker Engine for tests, in namespaces of its own, with images that no registry knows; ended by its pid."""

import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Self
from urllib.parse import urlencode

import pytest

SHELL = "spear/shell"  # an image whose entrypoint is sh
NEEDED = ("dockerd", "setpriv", "unshare", "nsenter", "tini", "iptables", "busybox")
_ALONE = (
    *("setpriv", "--pdeathsig", "KILL"),  # whoever is killed leaves no engine behind
    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--propagation"),
)
_PARTS = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
_APPLETS = ("sh", "cat", "echo", "sleep", "yes", "dd", "env", "kill", "id", "ls", "wget", "touch", "ip", "seq")


def skip_without_an_engine() -> None:
    """Skip the test where no engine can be started."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        why = f"{', '.join(missing)} missing" if missing else "not root"
        pytest.skip(f"no Docker Engine ({why}): scripts/install_engine.sh installs one where it may")


class Engine:
    """dockerd on a data directory of its own; may be killed and started again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="spear-"))  # short: sockets lie under it
        self.socket = self.folder / "docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What `containers.host` has to be."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start and wait until it answers."""
        where = [f"--{name}={self.folder / part}" for name, part in _PARTS.items()]
        daemon = ["dockerd", "-H", self.host, *where, "--storage-driver=overlay2"]
        for stale in ("docker.pid", "exec/containerd/containerd.pid"):
            (self.folder / stale).unlink(missing_ok=True)
        alone = [*_ALONE, "private", "sh", "-c", 'ip link set lo up; exec tini -- "$@"', "_", *daemon]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(alone, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()[
                -3000:
            ]
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/_ping") == b"OK"
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, with everything that it runs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon itself."""
        assert self.process is not None
        os.kill(_first_child(_first_child(self.process.pid)), number)

    def inside(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a command where the engine's 127.0.0.1 is."""
        assert self.process is not None
        where = ["nsenter", f"--target={_first_child(self.process.pid)}", "--net"]
        return subprocess.Popen([*where, *command], stdout=subprocess.PIPE)

    def ask(self, method: str, path: str, *, body: bytes = b"", **query: str) -> bytes:
        """One call of its API."""
        with closing(HTTPConnection("localhost", timeout=30)) as connection:
            connection.sock = socket(AF_UNIX)
            connection.sock.connect(str(self.socket))
            whole = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, whole, body=body or None, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status < 400, said
            return said

    def add_image(self, name: str, *changes: str, files: dict[str, str] | None = None) -> None:
        """Make an image of busybox and these files, with lines of a Dockerfile as changes."""
        query = urlencode([("fromSrc", "-"), ("repo", name), *(("changes", change) for change in changes)])
        self.ask("POST", f"/images/create?{query}", body=_root(files or {}))

    def __enter__(self) -> Self:
        self.start()
        self.add_image(SHELL, 'ENTRYPOINT ["sh"]')
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _root(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(str(shutil.which("busybox")), "bin/busybox")
        for name in _APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        shared = tarfile.TarInfo("tmp")
        shared.type, shared.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(shared)
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()
