"""How command lines are read: a wrong word is one line on standard error."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any, NoReturn


class Parser(ArgumentParser):
    """A parser without abbreviations whose errors are one line and the exit status `wrong_usage`."""

    wrong_usage = 2

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """End with the one line."""
        self.exit(self.wrong_usage, f"error: {' '.join(message.splitlines())} (see {self.prog} --help)\n")


def whole(text: str) -> int:
    """A whole number of at most 18 digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ArgumentTypeError(f"got {text[:40]!r}, expected a whole number")
    return int(text)


def at_least_one(text: str) -> int:
    """A whole number above 0."""
    if not (number := whole(text)):
        raise ArgumentTypeError("got 0, expected at least 1")
    return number
