"""A read-only standby's duties: to find its SMS, to follow it, and to remember on the disk what it is."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import gevent
import zmq.green as zmq

from spear.adapters.credentials import token_of
from spear.client import Bus
from spear.config import Config, Credentials, Role
from spear.errors import SpearError, StartupError
from spear.events.log import EventLog
from spear.ports import BlobStore
from spear.projections.reader import Reader
from spear.projections.views import Progress
from spear.reactors.fetcher import Fetcher
from spear.reactors.standby import Standby, log_id
from spear.roles.loops import Loops
from spear.services.following import Following

log = logging.getLogger(__name__)
_PATIENCE_S = 2.0
_FETCH_S = 0.5
_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Link:
    """The way to the SMS that a standby follows; `identity` is for a log that has not begun."""

    following: Following
    leader: Bus
    contents: Bus
    identity: bytes | None

    def caught_up(self, events: EventLog, progress: Progress) -> Standby:
        """A standby that copied what its SMS has, if that answers; raises `StartupError` when `events` is no copy."""
        standby = Standby(events, self.leader, self.following)
        standby.catch_up(progress)
        return standby

    def fetcher(self, events: EventLog, reader: Reader, blobs: BlobStore, data: Path) -> Fetcher:
        """Who brings the content that the copied log names."""
        return Fetcher(events, reader, blobs, self.contents, self.following, bookmark=data / "fetched")


@contextmanager
def linked(config: Config) -> Iterator[Link | None]:
    """The link that the configuration asks for; raises `StartupError` when there is no log yet and no SMS answers."""
    if config.follow is None:
        yield None
        return
    if config.role is not Role.SMS:
        raise config.setting("follow").refused("nothing, or --role sms")
    with closing(_bus(config)) as leader, closing(_bus(config)) as contents:
        identity = None if config.log_path.exists() else _identity(leader)
        yield Link(Following(f"tcp://{config.follow}"), leader, contents, identity)


def _bus(config: Config) -> Bus:
    token = token_of(Credentials(token_path=config.follow_token_path), "follow_")
    return Bus(str(config.follow), key=config.follow_key, token=token, patience_s=_PATIENCE_S, context=zmq.Context())


def _identity(leader: Bus) -> bytes:
    try:
        return log_id(leader)
    except SpearError as error:
        raise StartupError(f"follow: a new standby needs its SMS: {error.message}") from error


def start(standby: Standby, fetcher: Fetcher, loops: Loops, failed: Callable[[str], None]) -> None:
    """Follow, and bring content behind it, for as long as the process lives.

    `failed` is told when its log turns out to be no copy of the SMS's.
    """

    def main() -> None:
        try:
            while True:
                if not standby.follow():
                    gevent.sleep(_AGAIN_S)
        except SpearError as error:
            failed(f"follow: {error.message}")

    loops.spawn(main)
    loops.every(_FETCH_S, fetcher.fetch, at_once=True)


def remember(config: Config, *, head: int) -> None:
    """Mark the data directory as a standby's; the first start of another kind promotes it."""
    marker = _marker(config)
    if config.follow is not None:
        marker.write_text(f"tcp://{config.follow}\n")
    elif marker.exists() and config.role is not Role.SPEARLET:
        log.warning("promoted at position %d: no longer a standby of %s", head, marker.read_text().strip())
        marker.unlink()


def refuse_a_standbys(config: Config) -> None:
    """Raise `StartupError` for the data directory of a standby, which only its SMS may write to."""
    marker = _marker(config)
    if marker.exists():
        leader = marker.read_text().strip()
        raise StartupError(f"data_dir: {config.data_dir} is that of a standby of {leader}; ask that SMS for tokens")


def _marker(config: Config) -> Path:
    return config.data_dir / "standby"
