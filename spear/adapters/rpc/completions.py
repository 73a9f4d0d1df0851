"""How grpc waits on gevent's hub: it looks there first whether something is done, and else waits on native threads of its own."""

from _queue import SimpleQueue  # the C queue blocks natively, patched or not
from collections.abc import Callable
from typing import Any

import gevent
from gevent.util import wrap_errors
from grpc._cython import cygrpc

from spear.adapters.hub import HubBell
from spear.adapters.threads import start_new_thread
from spear.ports import Ticket

_LOOKS = 2
_IN_A_ROW = 32
_POLL = cygrpc.CompletionQueue._internal_poll
_NOTHING = cygrpc.CompletionType.queue_timeout


class _Wait:
    """Something that blocks a native thread, and the greenlet that wants what comes of it."""

    __slots__ = ("args", "found", "ticket", "work")

    def __init__(self, work: Callable[..., Any], args: tuple[Any, ...], ticket: Ticket) -> None:
        self.work, self.args, self.ticket = work, args, ticket
        self.found: Any = None


class Completions:
    """What grpc takes for the hub's thread pool: that one has ten threads for everybody, which a few calls would take.

    A server's queue is looked into on the hub as long as it has something: that costs no change of threads.
    """

    def __init__(self, bell: HubBell) -> None:
        self._bell = bell
        self._waits: SimpleQueue[_Wait] = SimpleQueue()
        self._idle: list[None] = []  # one for each thread that has nothing to wait for
        self._in_a_row = 0

    def apply(self, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """What `work` returns or raises; blocks only the calling greenlet."""
        if work is _POLL and (event := self._look(args[0])) is not None:
            return event
        if self._idle:
            self._idle.pop()
        else:
            start_new_thread(self._serve, ())
        wait = _Wait(wrap_errors(Exception, work), args, self._bell.ticket())
        self._waits.put(wait)
        wait.ticket.wait()
        if isinstance(wait.found, Exception):
            raise wait.found
        return wait.found

    def _look(self, queue: Any) -> Any:
        """What is done by now, or once everybody else had a turn; None for nothing."""
        if self._in_a_row >= _IN_A_ROW:
            self._in_a_row = 0
            self._bell.turn()
        for _ in range(_LOOKS):
            event = _POLL(queue, 0.0)
            if event.completion_type != _NOTHING:
                self._in_a_row += 1
                return event
            gevent.sleep(0)
        return None

    def _serve(self) -> None:
        while True:
            wait = self._waits.get()
            wait.found = wait.work(*wait.args)
            self._idle.append(None)
            self._bell.ring([wait.ticket])
