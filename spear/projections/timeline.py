"""Time travel: the same queries over the views as they were at a position."""

import shutil
from collections import OrderedDict
from functools import partial
from itertools import count
from pathlib import Path

from spear.errors import Invalid
from spear.events.log import EventLog
from spear.events.recorder import ApswRecorder
from spear.ports import Threads
from spear.projections.reader import Reader
from spear.projections.snapshots import Snapshots
from spear.projections.views import Progress, Views, quiet, rebuild

KEPT = 8
_unique = count()


def make_views(
    path: Path, recorder: ApswRecorder, *, until: int, start: Path | None, progress: Progress = quiet
) -> None:
    """Make a private views file as of position `until`, from the earlier views `start` or, without any, from nothing."""
    if start is None:
        rebuild(path, recorder, until=until, progress=progress)
        return
    shutil.copyfile(start, path)
    views = Views(path, pragmas=("journal_mode=OFF", "synchronous=OFF"))
    try:
        views.catch_up(recorder, until=until, progress=progress)
    finally:
        views.close()


class Timeline:
    """Readers over the past, each a private views file; the last `KEPT` are remembered."""

    def __init__(self, log: EventLog, *, snapshots: Snapshots, folder: Path, threads: Threads) -> None:
        self._log, self._snapshots, self._threads = log, snapshots, threads
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._readers: OrderedDict[int, Reader] = OrderedDict()

    def at(self, position: int) -> Reader:
        """The views as of `position`; blocks this caller while they are made. Raises `Invalid` beyond the head."""
        head = self._log.head
        if not 0 <= position <= head:
            raise Invalid.field("as_of", position, f"a position from 0 to {head}")
        if position not in self._readers:
            earlier = max((p for p in self._readers if p < position), default=0)
            made = Reader(self._threads.call(partial(self._make, position, self._readers.get(earlier))))
            if self._readers.setdefault(position, made) is not made:
                made.remove()  # somebody else asked for the same moment and was quicker
            self._forget_oldest()
        self._readers.move_to_end(position)
        return self._readers[position]

    def _make(self, position: int, earlier: Reader | None) -> Path:
        path = self._folder / f"{position}-{next(_unique)}.db"
        start = self._snapshots.nearest(position)
        if earlier is not None and earlier.position > Snapshots.position_of(start):
            start = self._folder / f"from-{path.name}"
            earlier.copy_to(start)
        make_views(path, self._log.recorder, until=position, start=start)
        if start is not None and start.parent == self._folder:
            start.unlink()
        return path

    def _forget_oldest(self) -> None:
        while len(self._readers) > KEPT:
            _, reader = self._readers.popitem(last=False)
            reader.remove()

    def close(self) -> None:
        """Forget everything made; may be called twice."""
        while self._readers:
            self._readers.popitem()[1].remove()
