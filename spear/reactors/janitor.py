"""Tidies up: idle instances, content that nothing names any more, snapshots to look back from."""

from pathlib import Path

from spear.errors import Refused, Unavailable
from spear.events.log import EventLog
from spear.events.record import Origin
from spear.ports import BlobStore, Clock, Threads
from spear.projections import objects
from spear.projections.reader import Reader
from spear.projections.snapshots import Snapshots
from spear.services.instances import Instances

ORIGIN = Origin("janitor")
_S = 1_000_000


def stop_idle(instances: Instances, *, clock: Clock, idle_s: int) -> None:
    """Stop instances that had no run for `idle_s` seconds."""
    while idle := instances.idle(before_us=clock.now_us() - idle_s * _S):
        instances.stop(ORIGIN, idle[0], f"idle for {idle_s} s")


class Collector:
    """Deletes stored content some time after the last live thing that named it went; keeps only a bookmark."""

    def __init__(self, reader: Reader, blobs: BlobStore, *, clock: Clock, bookmark: Path, retention_s: int) -> None:
        self._reader, self._blobs, self._clock = reader, blobs, clock
        self._bookmark, self._retention_s = bookmark, retention_s

    def collect(self) -> None:
        """Delete what is due; content that came into use again is left alone. Raises `Unavailable`.

        At content that is about to be named again it stops until the next time.
        """
        until = self._clock.now_us() - self._retention_s * _S
        while due := objects.unused_blobs(self._reader, after=self._read(), until_us=until):
            if not all(self._let_go(row.sha256) for row in due):
                return
            self._write(f"{due[-1].unused_since_us} {due[-1].sha256}")

    def _let_go(self, sha256: str) -> bool:
        try:
            if objects.blob_uses(self._reader, sha256) == 0:
                self._blobs.delete(sha256)
        except Refused:
            return False
        return True

    def _read(self) -> tuple[int, str]:
        try:
            time_us, _, sha256 = self._bookmark.read_text().partition(" ")
            return int(time_us), sha256
        except (OSError, ValueError):
            return 0, ""

    def _write(self, bookmark: str) -> None:
        unfinished = self._bookmark.with_suffix(".new")
        try:
            unfinished.write_text(bookmark)
            unfinished.rename(self._bookmark)
        except OSError as error:
            raise Unavailable(f"{self._bookmark}: cannot write the bookmark: {error.strerror}") from error


class Snapshotter:
    """Takes a snapshot of the views every so many events, and more rarely as they grow: the work stays a constant share."""

    def __init__(self, log: EventLog, snapshots: Snapshots, *, views: Path, every: int, threads: Threads) -> None:
        self._log, self._snapshots, self._views = log, snapshots, views
        self._every, self._threads = every, threads

    def look(self) -> None:
        """Take one if the log has grown enough since the last."""
        last = max(self._snapshots.positions(), default=0)
        if self._log.head - last >= max(self._every, last // 10):
            self._threads.call(lambda: self._snapshots.take(self._views))
