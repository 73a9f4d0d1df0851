"""How a command ends: the exit statuses that scripts can trust, and the errors that carry them."""

from collections.abc import Mapping
from enum import IntEnum

from spear.errors import Detail, SpearError

RUN_OFFSET = 100


class Exit(IntEnum):
    """What an exit status says; `spear run` adds `RUN_OFFSET` so that the agent's own stay apart."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    REFUSED = 5
    TIMEOUT = 6
    BUSY = 7
    FORBIDDEN = 8
    INTERRUPTED = 130


_BY_HTTP = {
    401: Exit.FORBIDDEN,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    408: Exit.TIMEOUT,
    429: Exit.BUSY,
    503: Exit.BUSY,
    504: Exit.TIMEOUT,
}


class Ended(SpearError):
    """Why a command could not do its work, with its exit status."""

    code = "COMMAND_FAILED"

    def __init__(
        self,
        message: str,
        exit: Exit = Exit.FAILED,
        *,
        code: str | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        super().__init__(message, code=code or exit.name, details=details)
        self.exit = exit


class Lost(Ended):
    """The server cannot be reached, or the connection broke before the answer was whole."""

    def __init__(self, message: str, exit: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(message, exit)


def exit_for(http_status: int) -> Exit:
    """The exit status for an answer that is not a success."""
    return _BY_HTTP.get(http_status, Exit.REFUSED if 400 <= http_status < 500 else Exit.FAILED)


def exit_of_run(exit_code: int) -> int:
    """An agent's own exit code as this process can repeat it: 0 to 255, beyond that 255."""
    return exit_code if 0 <= exit_code <= 255 else 255
