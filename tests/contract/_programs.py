"""The programs that the contract suite runs on each runtime, in a language that the runtime speaks."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spear.ports import Artifact, Stream
from tests.engine import SHELL

BUILD = Path(__file__).resolve().parents[2] / "samples" / "build"


def artifact(content: bytes, **named: str) -> Artifact:
    return Artifact(lambda: (content, hashlib.sha256(content).hexdigest()), **named)


@dataclass(frozen=True)
class Programs:
    """What one runtime runs: hello log echo env_args exit3 trap loop sleep grow output_flood log_flood.

    `named` gives a program by its name, with the arguments that come before a test's own. The rest is what runtimes say in
    words of their own: the stream of `log`, a crash's kind, what a program did last, and why `broken` can never run.
    """

    named: Callable[[str], tuple[Artifact, tuple[str, ...]]]
    broken: Artifact
    why_broken: str
    spoken: Stream = Stream.STDERR
    crash: str = "SIGILL"
    crash_code: int | None = 132
    environment: tuple[str, ...] = ()  # beside what the spec says
    last: Callable[[str], str] = lambda action: "running"
    own_time_s: float = 0.0  # what an engine of its own may take to start and to end a program


SCRIPTS = {
    "hello": "echo 'Hello from SPEAR!'",
    "log": "echo 'Hello from SPEAR!'; echo 'hello was here' >&2",
    "echo": "exec cat",
    "env_args": r"""
        for one in "$0" "$@"; do echo "argument $one"; done
        tr '\0' '\n' < /proc/$$/environ | sed 's/^/environment /'
        """,
    "exit3": "echo 'giving up' >&2; exit 3",
    "trap": "kill -ILL $$",
    "loop": "while :; do :; done",
    "sleep": 'exec sleep "$(( ${1:-3600000} / 1000 )).$(printf %03d $(( ${1:-3600000} % 1000 )))"',
    "grow": 'tail /dev/zero && exit; if [ "$1" = survive ]; then echo survived; else exit 1; fi',
    "output_flood": "exec yes 'more and more and more'",
    "log_flood": "exec yes 'more and more and more' >&2",
}

_OWN = "PATH=*|HOSTNAME=*|HOME=*|PWD=*|OLDPWD=*|SHLVL=*|_=*"  # what the engine and its shell set themselves
IN_A_CONTAINER = SCRIPTS | {
    "env_args": f"""for one in "$0" "$@"; do echo "argument $one"; done
        env | while read -r one; do case "$one" in {_OWN}) ;; *) echo "environment $one";; esac; done""",
    "grow": '[ "$1" = survive ] || exec dd if=/dev/zero of=/dev/null bs=64M; dd if=/dev/zero of=/dev/null bs=64M; echo survived',
}

PROGRAMS = {
    "wasm": Programs(
        named=lambda name: (artifact((BUILD / f"{name}.wasm").read_bytes()), ()),
        broken=artifact(b"just text"),
        why_broken="starts with b'just",
        spoken=Stream.LOG,
        crash="unreachable",
        crash_code=None,
        last=str,
    ),
    "process": Programs(
        named=lambda name: (artifact(b"", uri="sh", kind="process"), ("-c", SCRIPTS[name], "agent")),
        broken=artifact(b"", uri="no-such-command", kind="process"),
        why_broken="got 'no-such-command', expected a command that is on this node",
        environment=("environment PWD=/tmp",),
    ),
    "container": Programs(
        named=lambda name: (
            artifact(b"", uri=f"docker://{SHELL}", kind="container"),
            ("-c", IN_A_CONTAINER[name], "agent"),
        ),
        broken=artifact(b"", uri="docker://no/such-image:1", kind="container"),
        why_broken="has no image no/such-image:1",
        own_time_s=2.0,
    ),
}
