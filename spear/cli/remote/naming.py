"""Small words of the command line: KEY=VALUE pairs, and files that are named or piped."""

import os
import stat
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from spear.cli.remote.endings import Ended, Exit

PIPE = "-"


def named(text: str) -> str:
    """A name or an id, which is never empty."""
    if not text:
        raise ArgumentTypeError("got '', expected a name or an id")
    return text


def pair(text: str) -> tuple[str, str]:
    """KEY=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"got {text[:120]!r}, expected KEY=VALUE")
    return name, value


def seconds(text: str) -> int:
    """Seconds, with a fraction if need be, as milliseconds."""
    try:
        found = round(float(text) * 1000)
    except (ValueError, OverflowError):
        found = 0
    if found < 1:
        raise ArgumentTypeError(f"got {text[:40]!r}, expected seconds such as 30 or 0.5")
    return found


def pairs(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The pairs by key; the last one of a key counts."""
    return dict(given)


def no_such(what: str, path: str, error: OSError) -> Ended:
    """The error for a local file that cannot be used."""
    return Ended(f"{what}: cannot use {path!r}: {error.strerror or error}", Exit.USAGE)


def is_plain_file(path: Path) -> bool:
    """Whether a download may go into a file beside `path` first: nothing is there, or a regular file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def opened(file: str, *, named: str = "FILE") -> AbstractContextManager[BinaryIO]:
    """A file to read, or what is piped in for `-`; raises `Ended` when there is none."""
    try:
        return nullcontext(_standard_input()) if file == PIPE else open(file, "rb")
    except OSError as error:
        raise no_such(named, file, error) from None


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise Ended("standard input is closed; name a file", Exit.USAGE)
    return sys.stdin.buffer
