"""A program of its own beside the server, with nothing but the standard library: it starts and ends agents' processes.

The *warden* waits for runs on a socket and forks a *keeper* for each. The keeper starts the agent, adopts whatever the agent
leaves behind, and tells the server how it ended once nothing of it lives any more. A keeper whose server says stop, or is
gone, ends everything it has. One thread and no gevent, so that Python between fork and exec is safe.
"""

import ctypes
import json
import os
import re
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from time import sleep
from typing import Any

MOST_FDS = 6  # control, order, stdin, stdout, stderr and perhaps the program
OPTIONS_FD, PROGRAM_FD, STATUS_FD, GO_FD = 40, 41, 42, 43  # what the sandbox finds under which number
MOST_PROCESSES = 256
_DEATH_SIGNAL, _ADOPT = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
_COUNTS_BY_SANDBOX = (5, 14)  # before this kernel the limit on processes counts everything else of the user too
_DIES_FIRST = "500"  # when the machine is out of memory, an agent goes before the server
_libc = ctypes.CDLL(None, use_errno=True)


def serve(door: socket.socket) -> None:
    """Fork a keeper for every run that comes through the door, until the server is gone."""
    door.setblocking(True)
    while True:
        word, fds, _, _ = socket.recv_fds(door, 1, MOST_FDS)
        if not word:
            return
        for fd in fds:
            os.set_inheritable(fd, False)  # an agent gets three, and the rest is nothing to it
        if os.fork() == 0:
            door.close()
            Keeper(*fds).keep()
            os._exit(0)
        for fd in fds:
            os.close(fd)


class Keeper:
    """Keeps one run's processes together."""

    def __init__(self, control: int, order: int, stdin: int, stdout: int, stderr: int, program: int = -1) -> None:
        self._control = socket.socket(fileno=control)
        self._control.setblocking(True)
        with open(order, "rb") as file:
            self._order: dict[str, Any] = json.load(file)
        self._stdio, self._program = (stdin, stdout, stderr), program
        self._main = 0
        self._status: int | None = None
        self._memory = 0
        self._began = False

    def keep(self) -> None:
        """Start the agent, wait for its end or the server's word, end what is left, and tell."""
        code, error = None, ""
        try:
            told, broken = self._begin()
            self._end_everything()
            error = broken.read().decode(errors="replace")
            code = None if error else self._code(told.read())
        except OSError as refused:  # the machine has no room for another process
            error = refused.strerror or str(refused)
            self._end_everything()
        ended = {"code": code, "error": error, "memory": self._memory}
        with suppress(OSError):  # a server that is gone asks no more
            self._control.sendall(json.dumps(ended).encode())

    def _begin(self) -> tuple[Any, Any]:
        """Start, and wait until it is time to end: what the sandbox tells, and why nothing could be started."""
        _libc.prctl(_ADOPT, 1, 0, 0, 0)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(_DIES_FIRST)
        _become(self._order["user"])
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        heard = self._start()
        self._wait(woken)
        return heard

    def _code(self, told: bytes) -> int | None:
        """The agent's exit code, 128 + N for signal N as shells have it; None when it never began."""
        facts: dict[str, int] = {}
        for line in told.splitlines():
            facts |= json.loads(line)
        code = os.waitstatus_to_exitcode(self._status or 0)
        code = code if code >= 0 else 128 - code
        if not self._order["options"]:
            return code
        killed = self._began and self._status is not None and os.WIFSIGNALED(self._status)
        return facts.get("exit-code", code if killed else None)  # a sandbox that ends by itself without a word failed

    def _start(self) -> tuple[Any, Any]:
        """Fork and exec; what the sandbox tells, and why it could not be started."""
        (told, telling), (broken, breaking), (go, going) = os.pipe(), os.pipe(), os.pipe()
        self._main = os.fork()
        if self._main == 0:
            self._exec(telling, breaking, go)
        for fd in (telling, breaking, go, *self._stdio):
            os.close(fd)
        status = open(told, "rb", buffering=0)  # noqa: SIM115
        if self._order["options"]:
            self._began = _limit_processes(status)
        with suppress(OSError):
            os.write(going, b"1")
        os.close(going)
        return status, open(broken, "rb")

    def _exec(self, telling: int, breaking: int, go: int) -> None:
        try:
            self._prepare(telling, go)
            os.execve(self._order["argv"][0], self._order["argv"], self._order["environment"])
        except (OSError, ValueError, OverflowError) as error:
            os.write(breaking, (getattr(error, "strerror", None) or str(error)).encode())
        finally:
            os._exit(127)

    def _prepare(self, telling: int, go: int) -> None:
        signal.set_wakeup_fd(-1)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        os.setsid()
        _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        passed = dict(enumerate(self._stdio))
        if self._order["options"]:
            passed |= {OPTIONS_FD: _options(self._order["options"]), STATUS_FD: telling, GO_FD: go}
            passed |= {PROGRAM_FD: self._program} if self._program >= 0 else {}
        for number, fd in passed.items():
            os.dup2(fd, number)
        os.chdir(self._order["folder"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _lower(resource.RLIMIT_AS, self._order["memory"])

    def _wait(self, woken: int) -> None:
        """Until the agent's first process ended, or the server wants the end."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while self._status is None:
            if any(fd == self._control.fileno() for fd, _ in poll.poll()):
                return
            with suppress(BlockingIOError):
                os.read(woken, 4096)
            while self._reap():
                pass

    def _reap(self) -> bool:
        """Whether a process of the run was found dead."""
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        self._memory = max(self._memory, usage.ru_maxrss * 1024)
        if pid == self._main:
            self._status = status
        return pid != 0

    def _end_everything(self) -> None:
        while any_left():
            for pid in descendants(os.getpid()) + ([self._main] if self._main and self._status is None else []):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            while self._reap():
                pass
            sleep(0.0005)


def any_left() -> bool:
    """Whether this process has children, dead ones included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(pid: int) -> list[int]:
    """Every process below this one, as far as they can be seen in one look."""
    found, looked = [pid], 0
    while looked < len(found):
        found += _children(found[looked])
        looked += 1
    return found[1:]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    return found


def _become(user: int | None) -> None:
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def _options(words: list[str]) -> int:
    fd = os.memfd_create("options")
    os.write(fd, b"".join(os.fsencode(word) + b"\0" for word in words))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _lower(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _limit_processes(status: Any) -> bool:
    """Limit the first process of the sandbox, which waits for our word and has no child yet; False when there is none."""
    kernel = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    first = json.loads(status.readline() or b"{}").get("child-pid")
    if first and kernel >= _COUNTS_BY_SANDBOX:
        with suppress(OSError, ValueError):
            resource.prlimit(first, resource.RLIMIT_NPROC, (MOST_PROCESSES, MOST_PROCESSES))
    return first is not None


if __name__ == "__main__":
    os.closerange(4, 65536)
    os.setsid()
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(_number, signal.SIG_IGN)  # a server that stops gives its runs their grace first
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a keeper ended
    with suppress(OSError):
        serve(socket.socket(fileno=int(sys.argv[1])))
