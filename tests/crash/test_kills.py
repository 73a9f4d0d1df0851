from pathlib import Path

from tests.crash._committers import kill_often
from tests.crash._process import memory_directory
from tests.crash._support import LOG, check_after_crash

KILLS, COMMITTERS = 50, 8


def test_what_was_acknowledged_survives_fifty_kills_in_a_row(capsys):
    in_wal = 0
    with memory_directory() as name:
        folder = Path(name)
        for acknowledged in kill_often(folder, times=KILLS, committers=COMMITTERS):
            in_wal += (folder / f"{LOG}-wal").exists()
            head = check_after_crash(folder, acknowledged)
    with capsys.disabled():
        print(f" {len(acknowledged)} events acknowledged, {head} recorded, {in_wal} of {KILLS} left a -wal", end=" ")
    assert len(acknowledged) > KILLS
    assert in_wal > KILLS / 2
