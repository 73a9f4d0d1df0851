"""Copies of the views at earlier positions, so that looking back folds a little and not everything."""

from pathlib import Path

import apsw

from spear.errors import Unavailable
from spear.projections.registry import fingerprint

KEPT = 24


class Snapshots:
    """A bounded set of views files, dense near the present and sparse in the past."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def positions(self) -> list[int]:
        """The positions that there are snapshots of, oldest first."""
        return sorted(self.position_of(path) for path in self._folder.glob("views-*.db"))

    @staticmethod
    def position_of(snapshot: Path | None) -> int:
        """The position that a snapshot's name tells; 0 for none."""
        return int(snapshot.stem.partition("-")[2]) if snapshot else 0

    def nearest(self, position: int) -> Path | None:
        """The newest snapshot at or before `position`, made by this code."""
        for found in reversed(self.positions()):
            path = self._path(found)
            if found <= position and _made_by(path) == fingerprint():
                return path
        return None

    def take(self, views: Path) -> int:
        """Copy the live views as they are now; returns their position. Blocks for the copy, writers go on.

        Raises `Unavailable` when the disk refuses.
        """
        unfinished = self._folder / "taking.db"
        try:
            unfinished.unlink(missing_ok=True)
            _copy(views, unfinished)
            position = _checkpoint(unfinished)
            unfinished.rename(self._path(position))
            self._thin()
        except (apsw.Error, OSError) as error:
            unfinished.unlink(missing_ok=True)
            raise Unavailable(f"no snapshot could be taken: {error}") from error
        return position

    def _thin(self) -> None:
        positions = self.positions()
        while len(positions) > KEPT:
            trios = zip(positions, positions[1:], positions[2:], strict=False)
            gaps = [(after - before) / (positions[-1] - at + 1) for before, at, after in trios]
            self._path(positions.pop(gaps.index(min(gaps)) + 1)).unlink(missing_ok=True)

    def _path(self, position: int) -> Path:
        return self._folder / f"views-{position}.db"


def _copy(views: Path, target: Path) -> None:
    db = apsw.Connection(str(views), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix")
    try:
        db.execute("VACUUM INTO ?", (str(target),))
    finally:
        db.close()


def _value(path: Path, column: str) -> object:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix")
    try:
        return db.execute(f"SELECT {column} FROM checkpoint").get
    finally:
        db.close()


def _made_by(path: Path) -> str:
    try:
        return str(_value(path, "fingerprint"))
    except apsw.Error:
        return ""


def _checkpoint(path: Path) -> int:
    found = _value(path, "position")
    assert isinstance(found, int)
    return found
