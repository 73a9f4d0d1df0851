"""The execution's log."""

from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno
from spear.ports import Level

LONGEST_MESSAGE = 16 * 1024
_LEVELS = (Level.TRACE, Level.DEBUG, Level.INFO, Level.WARN, Level.ERROR)


def log(context: HostContext, level: int, pointer: int, length: int) -> int:
    """Append one line of at most 16 KiB; an unknown level counts as info, broken UTF-8 is replaced."""
    if not 0 <= length <= LONGEST_MESSAGE:
        return -Errno.EINVAL
    message = context.read(pointer, length).decode(errors="replace")
    context.log(_LEVELS[level] if 0 <= level < len(_LEVELS) else Level.INFO, message)
    return 0
