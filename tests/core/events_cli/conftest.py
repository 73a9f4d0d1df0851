import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spear.events.record import Origin
from tests.core.events_cli._support import STEPS, WRITER, log_in, ok, recorded, started
from tests.crash._history import World


@pytest.fixture(scope="session")
def history(tmp_path_factory) -> Path:
    """A data directory with every noun in it; nobody may change it."""
    folder = tmp_path_factory.mktemp("history")
    with log_in(folder) as log:
        for number, events in enumerate(World(1).steps(STEPS)):
            log.commit(events, Origin("tester", f"request-{number}"))
    return folder


@pytest.fixture
def own(history, tmp_path) -> Path:
    """A copy of the history that a test may damage."""
    return Path(shutil.copytree(history, tmp_path / "data"))


@pytest.fixture(scope="session")
def facts(history) -> list[dict]:
    return [json.loads(line) for line in ok(history, "export").splitlines()]


@pytest.fixture
def server(tmp_path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock and the log; it records one event for each line that it is told."""
    with started(sys.executable, "-c", WRITER, str(tmp_path), stdin=subprocess.PIPE) as process:
        assert [recorded(process) for _ in range(3)] == [1, 2, 3]
        yield process
