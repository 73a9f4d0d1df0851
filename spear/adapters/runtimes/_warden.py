"""The server's side of the warden: a process of its own that starts agents' processes, made when it is first needed."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import gevent
from gevent import monkey, socket

from spear.adapters.runtimes import _keeper
from spear.errors import Unavailable

_posix_spawn, _waitpid = monkey.get_original("os", ["posix_spawn", "waitpid"])  # nobody else reaps what these see
_DOOR = 3
_LONGEST_END = 65536
_GONE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a keeper starts: `options` are the sandbox's, `user` is who runs it instead of the server's own user."""

    argv: Sequence[str]
    environment: dict[str, str]
    options: Sequence[str]
    folder: str
    memory: int
    user: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run's processes ended, none of which lives any more.

    `code` is the agent's exit code, 128 + N for signal N, None when it never began; `error` says why, if anybody knows;
    `memory` is the most that one of them had resident, in bytes.
    """

    code: int | None
    error: str
    memory: int


class Kept:
    """One run with its keeper, whose end ends the run; used in a `with`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()

    def wait(self, timeout_s: float) -> Ended | None:
        """Block this greenlet until everything of the run ended; None when it takes longer."""
        self._control.settimeout(timeout_s)
        try:
            return self.end()
        except TimeoutError:
            self._control.settimeout(None)
            return None

    def end(self) -> Ended:
        """Block this greenlet until everything of the run ended."""
        try:
            told = self._control.recv(_LONGEST_END)
        except ConnectionError:
            told = b""
        return Ended(**json.loads(told)) if told else Ended(None, "its keeper died", 0)

    def stop(self) -> None:
        """Have everything of it killed; `wait` says when that is done."""
        try:
            self._control.shutdown(socket.SHUT_WR)
        except OSError:  # it ended by itself
            pass


class Warden:
    """Starts runs in keepers; a warden that died is replaced by the next start."""

    def __init__(self) -> None:
        self._door: socket.socket | None = None
        self._pid = 0

    def start(self, order: Order, stdio: tuple[int, int, int], *, program: int | None = None) -> Kept:
        """Start one run; it has these descriptors from now on, and the caller still has its own.

        Raises `Unavailable` when the machine has no room for a process.
        """
        control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        described = os.memfd_create("order")
        try:
            with open(described, "wb", closefd=False) as file:
                file.write(json.dumps(asdict(order)).encode())
            os.lseek(described, 0, os.SEEK_SET)
            self._send([far.fileno(), described, *stdio, *([] if program is None else [program])])
        except BaseException:  # a killed caller too leaves nothing open; it goes on up
            control.close()
            raise
        finally:
            far.close()
            os.close(described)
        return Kept(control)

    def _send(self, fds: list[int]) -> None:
        for attempt in (1, 2):
            try:
                door = self._door or self._open()
                socket.send_fds(door, [b"r"], fds)
                return
            except OSError as error:
                self.close()
                if attempt == 2:
                    raise Unavailable(f"no process can be started: {error.strerror}") from error

    def _open(self) -> socket.socket:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, nothing, 1)]
            actions += [(os.POSIX_SPAWN_DUP2, far.fileno(), _DOOR)]
            command = [sys.executable, "-I", "-S", str(Path(_keeper.__file__)), str(_DOOR)]
            self._pid = _posix_spawn(sys.executable, command, {}, file_actions=actions)
        finally:
            os.close(nothing)
            far.close()
        self._door = near
        return near

    def close(self) -> None:
        """Let the warden go, and wait until it went; runs go on until theirs are closed. May be called twice."""
        door, pid, self._door, self._pid = self._door, self._pid, None, 0
        if door is not None:
            door.close()
        with gevent.Timeout(_GONE_WITHIN_S, False):
            while pid and not _gone(pid):
                gevent.sleep(0.001)


def _gone(pid: int) -> bool:
    try:
        return bool(_waitpid(pid, os.WNOHANG)[0] == pid)
    except ChildProcessError:  # somebody else in this process heard of it first
        return True
