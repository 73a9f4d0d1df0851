"""What can be said of a command, a program or an environment without running anything."""

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from spear.adapters.runtimes._sandbox import PATH
from spear.errors import InvalidConfiguration

_ELF, _SHEBANG = b"\x7fELF", b"#!"
_HEAD = 4096
_MACHINE = slice(18, 20)  # in the header of an ELF file
_MACHINES = {3: "x86", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V"}
_INTERPRETER = re.compile(rb"#![ \t]*([^ \t\n]+)")


def found(command: str, *, roots: Sequence[Path]) -> str:
    """The path of a command of this node, by its path or its name; raise `InvalidConfiguration` when it can never run.

    Where there are `roots`, it must lie in one of them.
    """
    path = _path_of(command)
    if not _seen(path, roots):
        raise _bad(command, f"a command in one of {_listed(roots)}, which are what a sandbox shows")
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise _bad(command, f"a command that this node can read; {path}: {error.strerror}") from None
    check_head(head, roots, what=f"the command {path}")
    return path


def _seen(path: str, roots: Sequence[Path]) -> bool:
    real = Path(path).resolve()
    return not roots or any(real.is_relative_to(root.resolve()) for root in roots)


def _listed(roots: Sequence[Path]) -> str:
    return ", ".join(map(str, roots))


def _path_of(command: str) -> str:
    if not command or "\0" in command or ("/" in command and not command.startswith("/")):
        raise _bad(command, "the name of a command, or its path from / on")
    paths = [command] if "/" in command else [f"{folder}/{command}" for folder in PATH.split(":")]
    there = [path for path in paths if os.path.isfile(path)]
    if not there:
        raise _bad(command, "a command that is on this node" + ("" if "/" in command else f", in {PATH}"))
    for path in there:
        if os.stat(path).st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
            return path
    raise _bad(command, f"a command that may be executed; {there[0]} may not")


def _bad(command: str, expected: str) -> InvalidConfiguration:
    shown = command if len(command) <= 120 else command[:117] + "..."
    return InvalidConfiguration(f"executable uri: got {shown!r}, expected {expected}")


def check_head(head: bytes, roots: Sequence[Path], *, what: str) -> None:
    """Refuse what is neither a program for this machine nor a script, by its first bytes."""
    if head.startswith(_SHEBANG):
        check_script(head, roots, what=what)
    else:
        check_binary(head, roots, what=what)


def check_script(head: bytes, roots: Sequence[Path], *, what: str) -> None:
    """Refuse what names no interpreter that is here, in one of the `roots` if there are any."""
    named = _INTERPRETER.match(head)
    if named is None:
        raise InvalidConfiguration(f"{what} starts with {head[:8]!r}, expected #! and the path of an interpreter")
    interpreter = os.fsdecode(named[1])
    if not os.path.isfile(interpreter):
        raise InvalidConfiguration(f"{what} asks for the interpreter {interpreter!r}, which is not on this node")
    if not _seen(interpreter, roots):
        raise InvalidConfiguration(f"{what} asks for the interpreter {interpreter!r}, expected one in {_listed(roots)}")


def check_binary(head: bytes, roots: Sequence[Path], *, what: str) -> None:
    """Refuse what is no ELF program for this machine; it needs none of the `roots`."""
    if not head.startswith(_ELF) or len(head) < _MACHINE.stop:
        raise InvalidConfiguration(f"{what} starts with {head[:8]!r}, expected {_ELF!r}")
    here, there = _machine(_own_head()), _machine(head)
    if here != there:
        raise InvalidConfiguration(f"{what} is for {_named(there)} machines, expected {_named(here)}")


def _own_head() -> bytes:
    with open(sys.executable, "rb") as file:
        return file.read(_MACHINE.stop)


def _machine(head: bytes) -> int:
    return int.from_bytes(head[_MACHINE], "big" if head[5] == 2 else "little")


def _named(machine: int) -> str:
    return _MACHINES.get(machine, f"ELF machine {machine}")


def environment_of(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, if a process can have them; raise `InvalidConfiguration` for one that it cannot."""
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidConfiguration(f"environment: got the variable {name!r}, expected a name without =, and no NUL")
    return dict(variables)
