"""Why a hostcall failed, as its guest is told."""

from enum import IntEnum


class Errno(IntEnum):
    """Linux error numbers, the same on every host; a failed hostcall returns one of them negated."""

    EPERM = 1
    ENOENT = 2
    EIO = 5
    EBADF = 9
    EAGAIN = 11
    ENOMEM = 12
    EACCES = 13
    EFAULT = 14
    EINVAL = 22
    ENOSPC = 28
    EPIPE = 32
    ENOSYS = 38
    ECONNRESET = 104
    ENOTCONN = 107
    ETIMEDOUT = 110


class Failed(Exception):
    """The hostcall failed, and the guest is told why by a number."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno
