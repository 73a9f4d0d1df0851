"""User streams: frames between the clients of an execution and its guest, wherever that runs.

Each client counts its streams as it likes; towards the guest they get ids of their own, so that clients may share it.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from spear.domain.execution import FINAL, ExecutionStatus
from spear.errands import NodeAddress, StreamLinks
from spear.errors import Malformed, Overloaded, Refused, TooLarge, Unavailable
from spear.ports import Bell, RunSpec, StreamLink
from spear.projections.executions import ExecutionRow
from spear.projections.nodes import get_node
from spear.projections.reader import Reader
from spear.protocols import passes, ssf
from spear.services.channels import Channel, Notices
from spear.services.hubs import Hub
from spear.services.nodes import OwnNode
from spear.services.passes import Passes
from spear.services.pipes import Pipe

log = logging.getLogger(__name__)
MOST_STREAMS = 1024
_LOOK_S = 1.0
_PROBES = 1024


class Peer(Protocol):
    """Who hears the frames of an execution; neither call may block."""

    def take(self, frame: bytes) -> None:
        """A frame for one of its streams."""
        ...

    def lost(self, execution_id: str) -> None:
        """No more frames will come from this execution."""
        ...


class _Here:
    """The clients' side of a hub in this process; ends when the execution does."""

    def __init__(self, hub: Hub, bell: Bell, running: Callable[[], bool]) -> None:
        self._hub, self._bell, self._running = hub, bell, running
        self._out: Pipe | None = hub.begin()

    def send(self, frame: bytes) -> None:
        """Hand a frame to the guest; raises `Overloaded` when it does not read."""
        if not self._hub.put(frame):
            raise Overloaded("the agent does not read its streams; try again later")

    def leave(self, stream_id: int) -> None:
        """The client of this stream is gone."""
        self._hub.leave(stream_id)

    def heard(self, stream_id: int, size: int) -> None:
        """The client of this stream took a frame."""
        self._hub.heard(stream_id, size)

    def frames(self) -> Iterator[list[bytes]]:
        """What the guest writes, until it ends."""
        while (out := self._out) is not None:
            found = out.take(_LOOK_S)
            if not (found or self._running()):
                found = out.take(0)  # what was written just before the end
            if found:
                yield found
                self._bell.turn()  # a guest may write as fast as it is heard
            elif found is None or not self._running():
                return

    def close(self) -> None:
        """Nobody listens any more."""
        if self._out is not None:
            self._out = None
            self._hub.end()


class _Relay:
    """One link to a guest, shared by everybody who is attached to its execution."""

    def __init__(self, execution_id: str, link: StreamLink) -> None:
        self.execution_id, self.link = execution_id, link
        self.attached: set[Attachment] = set()
        self._owners: dict[int, tuple[Attachment, int]] = {}
        self._last = 0

    def carry(self) -> None:
        """Bring what the guest says to whom it belongs, until the link ends or carries what is no frame."""
        try:
            for frames in self.link.frames():
                for frame in frames:
                    self._bring(frame)
        except Malformed as error:
            log.warning("execution %s: its streams end: %s", self.execution_id, error.message)
        for attachment in tuple(self.attached):
            attachment.peer.lost(self.execution_id)

    def _bring(self, frame: bytes) -> None:
        owner, stream_id = self._owners.get(ssf.read(frame).stream_id, (None, 0))
        if owner is not None:
            owner.peer.take(ssf.on_stream(frame, stream_id))

    def bind(self, owner: "Attachment", stream_id: int) -> int:
        """An id that no other stream of this guest has."""
        for _ in range(_PROBES):
            self._last = self._last % ssf.LONGEST_ID + 1
            if self._last not in self._owners:
                self._owners[self._last] = owner, stream_id
                return self._last
        raise Overloaded("no stream id of this execution is free; try again later")

    def unbind(self, ours: int) -> None:
        """The stream is over."""
        self._owners.pop(ours, None)

    def leave(self, ours: int) -> None:
        """The stream's client is gone; who leaves last need not say so, as the link's end does."""
        self.unbind(ours)
        if self.attached:
            self.link.leave(ours)


class Attachment:
    """One client's streams with one execution."""

    def __init__(self, relay: _Relay, peer: Peer, left: Callable[[], None]) -> None:
        self._relay, self.peer, self._left = relay, peer, left
        self._ids: dict[int, int] = {}
        relay.attached.add(self)

    def send(self, stream_id: int, frame: bytes) -> None:
        """Bring a frame to the guest; raises `TooLarge`, `Overloaded` or `Unavailable`."""
        if len(frame) > ssf.MOST_BYTES:
            raise TooLarge(f"a frame has {len(frame)} bytes, which is more than {ssf.MOST_BYTES}")
        if stream_id not in self._ids:
            if len(self._ids) >= MOST_STREAMS:
                raise Overloaded(f"{MOST_STREAMS} streams are open, which is the limit")
            self._ids[stream_id] = self._relay.bind(self, stream_id)
        self._relay.link.send(ssf.on_stream(frame, self._ids[stream_id]))

    def heard(self, stream_id: int, size: int) -> None:
        """The client took a frame of this stream, so that there is room for another."""
        if ours := self._ids.get(stream_id):
            self._relay.link.heard(ours, size)

    def release(self, stream_id: int) -> None:
        """The stream is over: its id is free."""
        if ours := self._ids.pop(stream_id, 0):
            self._relay.unbind(ours)

    def close(self) -> None:
        """Leave; who leaves last ends the guest's session. May be called twice."""
        self._relay.attached.discard(self)
        while self._ids:
            self._relay.leave(self._ids.popitem()[1])
        self._left()


class Streams:
    """The way to the user streams of any execution; `spawn` runs what carries frames."""

    def __init__(
        self,
        reader: Reader,
        *,
        bell: Bell,
        node: OwnNode,
        links: StreamLinks,
        passes: Passes,
        running: Callable[[str], bool],
        spawn: Callable[[Callable[[], None]], None],
    ) -> None:
        self._reader, self.bell, self._node, self._links = reader, bell, node, links
        self._passes = passes
        self._running, self._spawn = running, spawn
        self._hubs: dict[str, Hub] = {}
        self._relays: dict[str, _Relay] = {}

    def hub(self, execution_id: str) -> Hub:
        """Where the streams of an execution that runs here meet."""
        for known in tuple(self._hubs):
            if not self._running(known):
                del self._hubs[known]
        return self._hubs.setdefault(execution_id, Hub(self.bell))

    def open(self, by: RunSpec, stream_id: int, *, wake: Callable[[], None]) -> Channel:
        """A stream for its guest; raises `Overloaded` when no more fit."""
        return self._hub_of(by, wake).open(stream_id)

    def listen(self, by: RunSpec, *, wake: Callable[[], None]) -> Notices:
        """What happens to the streams, for their guest."""
        return self._hub_of(by, wake).listen()

    def _hub_of(self, by: RunSpec, wake: Callable[[], None]) -> Hub:
        hub = self.hub(by.execution_id)
        hub.wake = wake
        return hub

    def attach(self, row: ExecutionRow, peer: Peer) -> Attachment:
        """Join an execution; raises `Refused` when it has ended, `Unavailable` when its node cannot be reached."""
        if ExecutionStatus(row.status) in FINAL:
            text = f"execution {row.execution_id} has ended: {row.status}"
            raise Refused(text, code="EXECUTION_ENDED", details={"status": row.status})
        relay = self._relays.get(row.execution_id) or self._new(row.execution_id, self._link(row))
        return Attachment(relay, peer, lambda: self._left(relay))

    def _link(self, row: ExecutionRow) -> StreamLink:
        if row.node_uuid and row.node_uuid == self._node.uuid:
            ident = row.execution_id
            return _Here(self.hub(ident), self.bell, lambda: self._running(ident))
        node = get_node(self._reader, row.node_uuid)
        if node is None:
            raise Unavailable(f"execution {row.execution_id}: its node is not known", code="UPSTREAM_WS_FAILED")
        token = self._passes.issue(node.uuid, passes.SMS)
        return self._links.open(NodeAddress(node.uuid, node.ip_address, node.http_port, token), row.execution_id)

    def _new(self, execution_id: str, link: StreamLink) -> _Relay:
        if earlier := self._relays.get(execution_id):  # of somebody who came while this one was opened
            link.close()
            return earlier
        relay = self._relays[execution_id] = _Relay(execution_id, link)
        self._spawn(lambda: self._carry(relay))
        return relay

    def _carry(self, relay: _Relay) -> None:
        try:
            relay.carry()
        finally:
            self._drop(relay)

    def _left(self, relay: _Relay) -> None:
        if not relay.attached:
            self._drop(relay)

    def _drop(self, relay: _Relay) -> None:
        if self._relays.get(relay.execution_id) is relay:
            del self._relays[relay.execution_id]
        relay.link.close()
