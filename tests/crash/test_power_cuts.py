from collections import Counter
from pathlib import Path
from random import Random

import pytest

from spear.events import observed
from spear.projections.views import open_views
from tests.crash._disk import MODES, Acknowledged, Disk
from tests.crash._process import in_own_process, memory_directory
from tests.crash._recording import Recording, record
from tests.crash._support import VIEWS, differences_from_rebuilt, make_log

IMAGES = 5000
VIEWS_EVERY = 50


@pytest.fixture(scope="module")
def recording() -> Recording:
    with memory_directory() as folder:
        return in_own_process(record, Path(folder), sessions=3, committers=4, commits=5)


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    """Make the directory hold exactly these files."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def check(folder: Path, recording: Recording, *, acknowledged: int, views: bool) -> int:
    """Open what the power cut left; returns how many events it holds."""
    with make_log(folder) as log:
        hashes = [fact.hash for fact in log.since(0, limit=10_000)]
        assert len(hashes) == log.head >= acknowledged, "acknowledged events are lost"
        assert hashes == recording.hashes[: len(hashes)], "events are not those that were recorded"
        assert log.recorder.value(observed.NOT_INDEXED) is None, "an observation is not found in its stream"
        if views:
            (folder / VIEWS).write_bytes(recording.views)
            open_views(folder / VIEWS, log).close()
            assert differences_from_rebuilt(folder, log) == {}
        return log.head


def test_after_a_power_cut_at_any_moment_no_acknowledged_event_is_lost_or_changed(recording, capsys):
    random, disk, acknowledged, images = Random(7), Disk(), 0, 0
    heads, each = Counter(), -(-IMAGES // len(recording.steps))
    with memory_directory() as folder:
        for number, step in enumerate(recording.steps):
            disk.apply(step)
            acknowledged = max(acknowledged, step.position) if isinstance(step, Acknowledged) else acknowledged
            for mode in random.choices(MODES, k=each):
                lay_out(Path(folder), disk.image(random, mode))
                views = images % VIEWS_EVERY == 0
                try:
                    heads[check(Path(folder), recording, acknowledged=acknowledged, views=views)] += 1
                except Exception as error:
                    error.add_note(f"after step {number} of {len(recording.steps)}, {mode.__name__}, {acknowledged=}")
                    raise
                images += 1
    with capsys.disabled():
        print(f" {images} images of {len(recording.steps)} steps, heads from {min(heads)} to {max(heads)}", end=" ")
    assert images >= 2000
    assert max(heads) == len(recording.hashes)
