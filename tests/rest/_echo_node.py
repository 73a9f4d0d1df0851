"""`spear_server.py` with stand-ins for guests: each execution that runs here answers what its user streams bring.

The data of a frame says what to do: `bad` answers with what is no frame, `flood` with more than anybody may leave unread (and
meanwhile others are answered); anything else comes back with the first letters of the execution's id.
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
from gevent.event import Event

import spear_server
from spear.bootstrap import serving
from spear.config import Config
from spear.domain.execution import Execution
from spear.protocols import ssf
from spear.roles.loops import Loops, loops
from spear.services.channels import Channel
from spear.services.hubs import Notice
from spear.services.platform import Platform

LOOK_S = 0.2
FLOOD = 150


def answer(channel: Channel, execution_id: str, frame: bytes) -> None:
    """What a guest writes for one frame."""
    stream_id, data = ssf.read(frame).stream_id, ssf.data_of(frame)
    if data == b"bad":
        channel.write(b"bad")
    elif data == b"flood":
        gevent.spawn(flood, channel)
    else:
        told = execution_id[:8].encode() + data
        say(channel, ssf.make(ssf.Kind.DATA, stream_id, meta=b'{"from":"guest"}', data=told))


def flood(channel: Channel) -> None:
    """Say more than anybody may leave unread."""
    for _ in range(FLOOD):
        say(channel, ssf.make(ssf.Kind.DATA, channel.stream_id, data=bytes(200_000)))


def say(channel: Channel, frame: bytes) -> None:
    """Write a frame, when there is room for it."""
    while not channel.write(frame) and not channel.closed:
        gevent.sleep(0.001)


def guest(platform: Platform, execution_id: str) -> None:
    """Whatever its clients open is read to its end, until the execution ends."""
    hub, rung = platform.streams.hub(execution_id), Event()
    hub.wake = rung.set
    notices, channels = hub.listen(), set[Channel]()
    while platform.runs.has(execution_id):
        rung.wait(LOOK_S)
        rung.clear()
        while notice := notices.take():
            if notice[1] == Notice.STREAM_CONNECTED:
                channels.add(hub.open(notice[0]))
        for channel in tuple(channels):
            while frame := channel.first():
                channel.drop_first()
                answer(channel, execution_id, frame)
            if channel.closed:
                channels.remove(channel)
                channel.close()


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
