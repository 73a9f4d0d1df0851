"""The standard streams of one run: its input as a file in memory, its output by pipes that the hub reads."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import gevent
from gevent.os import make_nonblocking, nb_read

Take = Callable[[bytes], None]
_OUTPUT_PIECE, _LOG_PIECE = 65536, 4096  # many short log lines cost more than their bytes
_LAST_WORDS_S = 1.0  # what a dead process wrote is there at once; one that outlived its keeper may never stop


class Pipes:
    """Three descriptors for a process, and the near ends of two; used in a `with` that closes what is still open.

    After each piece that was read, `turn` gives everybody else theirs: who writes without end keeps nobody waiting.
    """

    def __init__(self, data: bytes, turn: Callable[[], None]) -> None:
        self._turn, self._open = turn, set[int]()
        try:
            self._input = self._kept(_file(data))
            self._output, self._out = map(self._kept, os.pipe())
            self._complaints, self._err = map(self._kept, os.pipe())
        except OSError:
            self._close(*self._open)
            raise

    def _kept(self, fd: int) -> int:
        self._open.add(fd)
        return fd

    @property
    def theirs(self) -> tuple[int, int, int]:
        """What a process gets as its stdin, stdout and stderr."""
        return self._input, self._out, self._err

    @contextmanager
    def read_by(self, output: Take, complaints: Take) -> Iterator[None]:
        """The process has its ends: take what it writes, and on leaving everything that it wrote, once it is dead."""
        self._close(*self.theirs)
        readers = [
            gevent.spawn(self._drain, self._output, output, _OUTPUT_PIECE),
            gevent.spawn(self._drain, self._complaints, complaints, _LOG_PIECE),
        ]
        try:
            yield
            gevent.joinall(readers, timeout=_LAST_WORDS_S, raise_error=True)
        finally:
            gevent.killall(readers)

    def _drain(self, fd: int, take: Take, piece: int) -> None:
        make_nonblocking(fd)
        while data := nb_read(fd, piece):
            take(data)
            self._turn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close(*self._open)

    def _close(self, *fds: int) -> None:
        for fd in fds:
            self._open.discard(fd)
            os.close(fd)


def _file(data: bytes) -> int:
    fd = os.memfd_create("stdin")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(fd)
