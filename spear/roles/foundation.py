"""What every role stands on: the data directory, the log in it, its views, and how to wait."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from spear.adapters.hub import HubBell
from spear.adapters.storage.blobs import FileBlobStore
from spear.adapters.system import SystemClock, SystemIds
from spear.adapters.threads import GeventThreads, native_threads
from spear.config import Config
from spear.errors import StartupError
from spear.events.lock import DirectoryLock
from spear.events.log import EventLog
from spear.projections.fleet import Fleet
from spear.projections.reader import Reader
from spear.projections.snapshots import Snapshots
from spear.projections.views import Progress, open_views, reader_of
from spear.roles.doors import passes_of
from spear.roles.standby import Link
from spear.scheduling.placement import LeastUsed
from spear.services.passes import Gate, Passes
from spear.services.unit import Unit


@dataclass(frozen=True)
class Foundation:
    """What everything else stands on: the log, its views, and how to wait."""

    data: Path
    log: EventLog
    views: Path
    reader: Reader
    fleet: Fleet
    unit: Unit
    blobs: FileBlobStore
    snapshots: Snapshots
    clock: SystemClock
    ids: SystemIds
    bell: HubBell
    threads: GeventThreads
    passes: Passes
    gate: Gate


@contextmanager
def foundation(
    config: Config, *, failed: Callable[[str], None], progress: Progress, link: Link | None
) -> Iterator[Foundation]:
    """The data directory, locked; the log, whole; the views, caught up. With a `link`, the log takes only copies."""
    with ExitStack() as stack:
        data = data_dir(config)
        stack.enter_context(DirectoryLock(data / "lock", holder=f"spear_server.py --role {config.role}"))
        clock, bell, threads = SystemClock(), stack.enter_context(HubBell()), native_threads(4)
        identity = link.identity if link else None
        log = EventLog(
            config.log_path, clock=clock, bell=bell, threads=threads, died=failed, reserve=True, identity=identity
        )
        stack.callback(log.close)
        views = open_views(data / "views.db", log, progress=progress)
        stack.callback(views.close)
        reader = stack.enter_context(closing(reader_of(views, log)))
        fleet = Fleet(reader, LeastUsed(config.heartbeat_timeout), now_us=clock.now_us())
        fleet.follow(views)
        if link is None:
            log.start(views)
        else:
            log.start_copying(views, refusal=link.following.refusal)
        stack.callback(log.close)
        blobs = FileBlobStore(data / "files", threads)
        snapshots = Snapshots(data / "snapshots")
        unit, ids, passes = Unit(log), SystemIds(), passes_of(config, data, clock)
        yield Foundation(
            data, log, views.path, reader, fleet, unit, blobs, snapshots, clock, ids, bell, threads, passes, Gate()
        )


def data_dir(config: Config) -> Path:
    """The data directory, made if it was not there; raises `StartupError`."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        config.log_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"data_dir: cannot make {config.data_dir}: {error.strerror}") from None
    return config.data_dir
