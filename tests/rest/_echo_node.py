"""`spear_server.py` with stand-ins for guests: each execution that runs here answers what its user streams bring.

The data of a frame says what to do: `bad` answers with what is no frame, `flood` with more than anybody may leave unread;
anything else comes back with the first letters of the execution's id.
"""

from gevent import monkey

monkey.patch_all()

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import gevent

import spear_server
from spear.bootstrap import serving
from spear.config import Config
from spear.domain.execution import Execution
from spear.protocols import ssf
from spear.roles.loops import Loops, loops
from spear.services.platform import Platform
from spear.services.streams import Hub

LOOK_S = 0.2
FLOOD = 150


def answer(hub: Hub, execution_id: str, frame: bytes) -> None:
    """What a guest writes for one frame."""
    stream_id, data = ssf.read(frame).stream_id, ssf.data_of(frame)
    if data == b"bad":
        hub.to_clients.put(b"bad")
    elif data == b"flood":
        for _ in range(FLOOD):
            say(hub, ssf.make(ssf.Kind.DATA, stream_id, data=bytes(200_000)))
    else:
        say(hub, ssf.make(ssf.Kind.DATA, stream_id, meta=b'{"from":"guest"}', data=execution_id[:8].encode() + data))


def say(hub: Hub, frame: bytes) -> None:
    """Write a frame, when there is room for it."""
    while not hub.to_clients.put(frame) and not hub.to_clients.closed:
        gevent.sleep(0.001)


def guest(platform: Platform, execution_id: str) -> None:
    """One session after another, until the execution ends."""
    while platform.runs.has(execution_id):
        hub = platform.streams.hub(execution_id)
        while platform.runs.has(execution_id) and (frames := hub.to_guest.take(LOOK_S)) is not None:
            for frame in frames:
                answer(hub, execution_id, frame)


def attend(platform: Platform, running: Loops) -> None:
    """A guest for each execution that starts."""
    for facts in platform.log.follow(platform.log.head, idle_s=60, topics=[Execution.ExecutionStarted.TOPIC]):
        for fact in facts:
            running.spawn(lambda ident=fact.originator_id: guest(platform, ident))


@contextmanager
def attended(config: Config, **options: Any) -> Iterator[Platform]:
    """The platform with its guests."""
    with serving(config, **options) as platform, loops(options["failed"]) as running:
        running.spawn(lambda: attend(platform, running))
        yield platform


spear_server.serving = attended

if __name__ == "__main__":
    sys.exit(spear_server.main())
