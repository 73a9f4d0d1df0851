"""Tidies up: idle instances, content that nothing names any more, snapshots to look back from."""

from pathlib import Path

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
    for task_id in instances.idle(before_us=clock.now_us() - idle_s * _S):
        instances.stop(ORIGIN, task_id, f"idle for {idle_s} s")


class Collector:
    """Deletes stored content some time after the last live thing that named it went; keeps only a bookmark."""

    def __init__(self, reader: Reader, blobs: BlobStore, *, clock: Clock, bookmark: Path, retention_s: int) -> None:
        self._reader, self._blobs, self._clock = reader, blobs, clock
        self._bookmark, self._retention_s = bookmark, retention_s

    def collect(self) -> None:
        """Delete what is due; content that came into use again is left alone."""
        until = self._clock.now_us() - self._retention_s * _S
        while due := objects.unused_blobs(self._reader, after_us=self._read(), until_us=until):
            for row in due:
                if objects.blob_uses(self._reader, row.sha256) == 0:
                    self._blobs.delete(row.sha256)
            self._write(due[-1].unused_since_us)

    def _read(self) -> int:
        try:
            return int(self._bookmark.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _write(self, position_us: int) -> None:
        unfinished = self._bookmark.with_suffix(".new")
        unfinished.write_text(str(position_us))
        unfinished.rename(self._bookmark)


class Snapshotter:
    """Takes a snapshot of the views every so many events."""

    def __init__(self, log: EventLog, snapshots: Snapshots, *, views: Path, every: int, threads: Threads) -> None:
        self._log, self._snapshots, self._views = log, snapshots, views
        self._every, self._threads = every, threads

    def look(self) -> None:
        """Take one if the log has grown enough since the last."""
        last = max(self._snapshots.positions(), default=0)
        if self._log.head - last >= self._every:
            self._threads.call(lambda: self._snapshots.take(self._views))
