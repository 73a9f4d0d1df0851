"""What a command is: its words, its arguments, and what it does."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple

from spear.cli.remote.output import Output
from spear.cli.remote.server import Server

Does = Callable[[Namespace, Server, Output], int | None]


class Command(NamedTuple):
    """One command; `does` returns an exit status or None for 0, and its docstring is the command's description."""

    words: str
    does: Does
    arguments: Callable[[ArgumentParser], None] = lambda parser: None
