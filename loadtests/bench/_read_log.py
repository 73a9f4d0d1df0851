"""Prints how many events a second are read from a log's file, from the first, a thousand at once: `PATH`."""

import sys
from contextlib import closing
from pathlib import Path
from time import perf_counter

from spear.events.recorder import ApswRecorder
from spear.projections.views import pages


def main(path: Path) -> None:
    """Measure once."""
    with closing(ApswRecorder(path, read_only=True)) as recorder:
        began, count = perf_counter(), 0
        for facts in pages(recorder, after=0, until=recorder.position):
            count += len(facts)
        print(count / (perf_counter() - began))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
