"""Rebuilding the views from a log against reading and decoding its events alone."""

from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter

from loadtests.bench._common import alternate, child, disk, show_fact, show_rates
from spear.events.mapper import MAPPER, payloads_of
from spear.events.recorder import ApswRecorder
from spear.projections.views import rebuild, remove_views

EVENTS = 200_000
CHUNK = 10_000


def main() -> None:
    """Print one line with a target and one without."""
    with disk("fold") as folder:
        child("_fill.py", folder / "log.db", EVENTS)
        with closing(ApswRecorder(folder / "log.db")) as recorder:
            pair = alternate(lambda: _folded(recorder, folder / "views.db"), lambda: _decoded(recorder), rounds=5)
            library = median(_mapped(recorder) for _ in range(3))
    show_rates("events folded on replay", pair, against="read and decoded alone", at_least=0.4)
    show_fact("read and decoded by the library's recorder and mapper", f"{library:,.0f}/s, {pair.ours / library:.2f}x")


def _folded(recorder: ApswRecorder, views: Path) -> float:
    began = perf_counter()
    rebuild(views, recorder, until=EVENTS)
    taken = perf_counter() - began
    remove_views(views)
    return EVENTS / taken


def _decoded(recorder: ApswRecorder) -> float:
    began = perf_counter()
    for position in range(0, EVENTS, CHUNK):
        for fact in recorder.query("WHERE position > ? ORDER BY position LIMIT ?", (position, CHUNK)):
            payloads_of(fact.topic)(fact)
    return EVENTS / (perf_counter() - began)


def _mapped(recorder: ApswRecorder) -> float:
    began = perf_counter()
    for position in range(0, EVENTS, CHUNK):
        for notification in recorder.select_notifications(position, CHUNK, inclusive_of_start=False):
            MAPPER.to_domain_event(notification)
    return EVENTS / (perf_counter() - began)


if __name__ == "__main__":
    main()
