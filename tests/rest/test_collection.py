"""Content is deleted when nothing live names it any more, and not before."""

import io
import os
from contextlib import closing

import pytest

from spear.adapters.storage.blobs import FileBlobStore
from spear.adapters.system import SystemIds
from spear.adapters.threads import InlineThreads
from spear.domain.execution import Execution
from spear.errors import NotFound
from spear.projections.views import reader_of
from spear.reactors.janitor import Collector
from spear.services.content import INLINE_BYTES, Contents
from spear.services.files import Files
from spear.services.objects import Objects
from spear.services.unit import Unit
from tests.crash._support import ORIGIN, SteadyClock, store

BYTES = b"x" * (INLINE_BYTES + 1)


class Kept:
    """The services of one process without the process, and a collector that waits for nothing."""

    def __init__(self, folder, log, reader) -> None:
        self.unit, self.blobs, self.ids = Unit(log), FileBlobStore(folder / "files", InlineThreads()), SystemIds()
        self.contents, self.clock = Contents(self.blobs), SteadyClock(1_800_000_000_000_000)
        self.objects = Objects(self.unit, reader, self.contents, max_object_size=10 * len(BYTES))
        self.files = Files(self.unit, reader, self.blobs, ids=self.ids, max_upload_bytes=10 * len(BYTES))
        self._reader, self._bookmark = reader, folder / "collected"

    def put(self, name, content=BYTES):
        return self.objects.put(ORIGIN, name, io.BytesIO(content), content_type="text/plain")

    def upload(self, content=BYTES):
        return self.files.upload(ORIGIN, io.BytesIO(content), name="f", content_type="text/plain").id

    def read(self, name):
        return self.contents.read(self.objects.content(self.objects.get(name)))

    def left(self, *, retention_s=0):
        """How many blobs are left once the collector has been."""
        bookmark = self._bookmark
        Collector(self._reader, self.blobs, clock=self.clock, bookmark=bookmark, retention_s=retention_s).collect()
        return len(list(self.blobs.list()))


@pytest.fixture
def kept(tmp_path):
    with store(tmp_path) as opened, closing(reader_of(opened.views, opened.log)) as reader:
        yield Kept(tmp_path, opened.log, reader)


def test_content_of_a_live_object_stays(kept):
    kept.put("a")
    assert kept.left() == 1


def test_content_of_a_deleted_object_goes(kept):
    kept.put("a")
    kept.objects.delete(ORIGIN, "a")
    assert kept.left() == 0


def test_content_of_an_overwritten_version_goes_and_the_new_one_stays(kept):
    kept.put("a")
    kept.put("a", BYTES + b"2")
    assert kept.left() == 1
    assert kept.read("a") == BYTES + b"2"


def test_content_stays_while_another_object_names_it(kept):
    kept.put("a")
    kept.put("b/c")
    kept.objects.delete(ORIGIN, "a")
    assert kept.left() == 1
    assert kept.read("b/c") == BYTES
    kept.objects.delete(ORIGIN, "b/c")
    assert kept.left() == 0


def test_content_stays_while_a_file_names_it(kept):
    kept.put("a")
    file_id = kept.upload()
    kept.objects.delete(ORIGIN, "a")
    assert kept.left() == 1
    kept.files.delete(ORIGIN, file_id, "done")
    assert kept.left() == 0


def test_content_stays_while_an_execution_has_it_as_its_input(kept):
    file_id = kept.upload()
    with kept.contents.keep_bytes(BYTES) as content:
        kept.unit.save(ORIGIN, Execution(
            id=kept.ids.new(), task_id="t", node_uuid="n", mode="sync", args=[], environment={}, timeout_ms=0,
            input_sha256=content.sha256, input_size=content.size, input_inline=content.inline, input_content_type="",
            fingerprint="",
        ))  # fmt: skip
    kept.files.delete(ORIGIN, file_id, "done")
    assert kept.left() == 1


def test_an_object_that_lost_its_last_reference_or_its_pin_lets_its_content_go(kept):
    kept.put("a")
    kept.objects.pin(ORIGIN, "a")
    kept.objects.remove_ref(ORIGIN, "a", 1)
    assert kept.left() == 1
    assert not kept.objects.unpin(ORIGIN, "a").present
    assert kept.left() == 0


def test_content_that_is_needed_again_in_time_stays(kept):
    kept.put("a")
    kept.objects.delete(ORIGIN, "a")
    kept.put("b")
    assert kept.left() == 1


def test_content_that_was_collected_can_be_stored_again(kept):
    for _ in range(2):
        kept.put("a")
        assert kept.read("a") == BYTES
        kept.objects.delete(ORIGIN, "a")
        assert kept.left() == 0


def test_content_is_retained_for_a_while_after_nothing_names_it(kept):
    kept.put("a")
    kept.objects.delete(ORIGIN, "a")
    kept.clock.time_us = 1_700_000_000_000_000
    assert kept.left(retention_s=3600) == 1
    kept.clock.time_us += 2 * 3600 * 1_000_000
    assert kept.left(retention_s=3600) == 0


def test_small_content_needs_no_collecting(kept):
    kept.put("a", BYTES[:-1])
    past = kept.objects.get("a")
    kept.objects.delete(ORIGIN, "a")
    assert kept.left() == 0
    assert kept.contents.read(kept.objects.content(past)) == BYTES[:-1]


def test_more_content_than_one_page_is_collected_whole(kept):
    for number in range(250):
        kept.put(f"n/{number}", os.urandom(INLINE_BYTES + 1))
    for number in range(250):
        kept.objects.delete(ORIGIN, f"n/{number}")
    assert kept.left() == 0


def test_past_content_says_that_it_was_collected(kept):
    kept.put("a")
    past = kept.objects.content(kept.objects.get("a"))
    kept.objects.delete(ORIGIN, "a")
    kept.left()
    with pytest.raises(NotFound, match="was collected"), kept.contents.open(past, live=False):
        pass
