"""What clients of user streams talk to: one execution, or an endpoint whose executions share the streams."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator

from spear.errors import Overloaded, SpearError, TooLarge
from spear.ports import Bell
from spear.projections.executions import ExecutionRow
from spear.protocols import ssf
from spear.services.pipes import MOST_QUEUED_BYTES, Pipe
from spear.services.streams import MOST_STREAMS, Attachment, Streams

LOST = "UPSTREAM_WS_FAILED"
_MOST_BEHIND_BYTES = 2 * MOST_QUEUED_BYTES  # two of its streams, each as far behind as a stream may be


class _Conversation(ABC):
    """Frames for one client, who is left when it does not take them."""

    def __init__(self, bell: Bell) -> None:
        self._out, self._slow = Pipe(bell, most_bytes=_MOST_BEHIND_BYTES), False

    def take(self, frame: bytes) -> None:
        """A frame for the client."""
        if not self._out.put(frame) and not self._out.closed:
            self._slow = True
            self._out.close()

    def frames(self) -> Iterator[list[bytes]]:
        """What the client shall hear; raises `Overloaded` when it does not take it."""
        while (found := self._out.take()) is not None:
            yield found
            for frame in found:
                if attachment := self._attached(stream_id := ssf.read(frame).stream_id):
                    attachment.heard(stream_id, len(frame))
        if self._slow:
            raise Overloaded("the client does not read what the agent says")

    @abstractmethod
    def _attached(self, stream_id: int) -> Attachment | None:
        """Where the frames of this stream come from."""


class Session(_Conversation):
    """One client with one execution; over when that is."""

    def __init__(self, streams: Streams, row: ExecutionRow) -> None:
        super().__init__(streams.bell)
        self._attachment = streams.attach(row, self)

    def hear(self, frame: bytes) -> None:
        """A frame of the client's; raises `Malformed`, and what `Attachment.send` raises."""
        head = ssf.read(frame)
        self._attachment.send(head.stream_id, frame)
        if head.kind == ssf.Kind.CANCEL:
            self._attachment.release(head.stream_id)

    def _attached(self, stream_id: int) -> Attachment:
        return self._attachment

    def lost(self, execution_id: str) -> None:
        """The execution has ended."""
        self._out.close()

    def close(self) -> None:
        """The client is gone."""
        self._out.close()
        self._attachment.close()


class Switch(_Conversation):
    """One client with an endpoint: each new stream goes to the running execution that has the fewest of them."""

    def __init__(self, streams: Streams, running: Callable[[], list[ExecutionRow]]) -> None:
        super().__init__(streams.bell)
        self._streams, self._running = streams, running
        self._attachments: dict[str, Attachment] = {}
        self._bound: dict[int, str] = {}
        self._failed: set[str] = set()

    def hear(self, frame: bytes) -> None:
        """A frame of the client's; what cannot be done is told by an error frame. Raises `Malformed`."""
        head = ssf.read(frame)
        if head.kind == ssf.Kind.CANCEL and head.stream_id not in self._bound:
            self._refuse(head.stream_id, "STREAM_NOT_FOUND", "no such stream", retryable=False)
        elif head.stream_id in self._bound or self._bind(head.stream_id):
            self._forward(head, frame)

    def _bind(self, stream_id: int) -> bool:
        if len(self._bound) >= MOST_STREAMS:
            self._refuse(stream_id, "RATE_LIMITED", f"{MOST_STREAMS} streams are open", retryable=True)
            return False
        load = Counter(self._bound.values())
        fits = [row for row in self._running() if row.execution_id not in self._failed]
        if not fits:
            self._failed.clear()
            self._refuse(stream_id, "NO_EXECUTION_AVAILABLE", "no execution of this endpoint runs", retryable=True)
            return False
        chosen = min(fits, key=lambda row: (load[row.execution_id], row.execution_id))
        return self._attach(stream_id, chosen)

    def _attach(self, stream_id: int, row: ExecutionRow) -> bool:
        try:
            if row.execution_id not in self._attachments:
                self._attachments[row.execution_id] = self._streams.attach(row, self)
        except SpearError as error:
            self._failed.add(row.execution_id)  # the next stream goes elsewhere
            self._refuse(stream_id, LOST, error.message, retryable=True)
            return False
        self._bound[stream_id] = row.execution_id
        return True

    def _forward(self, head: ssf.Head, frame: bytes) -> None:
        attachment = self._attachments[self._bound[head.stream_id]]
        try:
            attachment.send(head.stream_id, frame)
        except TooLarge as error:
            self._refuse(head.stream_id, "FRAME_TOO_LARGE", error.message, retryable=False)
        except SpearError as error:
            self._refuse(head.stream_id, LOST, error.message, retryable=True)
        if head.kind == ssf.Kind.CANCEL:
            del self._bound[head.stream_id]
            attachment.release(head.stream_id)

    def _attached(self, stream_id: int) -> Attachment | None:
        return self._attachments.get(self._bound.get(stream_id, ""))

    def lost(self, execution_id: str) -> None:
        """One execution has ended: its streams have, the others go on."""
        self._attachments.pop(execution_id).close()
        self._failed.add(execution_id)  # until the views say that it ended
        for stream_id in [ident for ident, bound in self._bound.items() if bound == execution_id]:
            del self._bound[stream_id]
            self._refuse(stream_id, LOST, f"execution {execution_id} ended or cannot be reached", retryable=True)

    def _refuse(self, stream_id: int, code: str, message: str, *, retryable: bool) -> None:
        self.take(ssf.refusal(stream_id, code, message, retryable=retryable))

    def close(self) -> None:
        """The client is gone."""
        self._out.close()
        for attachment in self._attachments.values():
            attachment.close()
