import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO, RawIOBase
from pathlib import Path

import pytest

from spear.adapters.storage.blobs import FileBlobStore, MemoryBlobStore
from spear.adapters.threads import InlineThreads
from spear.errors import Corrupt, NotFound, StartupError, TooLarge, Unavailable
from spear.ports import Blob, BlobStore
from tests.contract._disk import files_no_larger_than

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1_000_000

BLOB_STORES: dict[str, Callable[[Path], BlobStore]] = {
    "file": lambda root: FileBlobStore(root, InlineThreads()),
    "memory": lambda root: MemoryBlobStore(),
}


@pytest.fixture(params=BLOB_STORES)
def store(request, tmp_path):
    return BLOB_STORES[request.param](tmp_path)


@pytest.fixture
def files(tmp_path):
    return FileBlobStore(tmp_path, InlineThreads())


def put(store: BlobStore, content: bytes) -> str:
    return store.put(BytesIO(content), limit=LIMIT).sha256


def read(store: BlobStore, sha256: str) -> bytes:
    with store.open(sha256) as file:
        return file.read()


def place(root: Path, sha256: str) -> Path:
    return root / sha256[:2] / sha256


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def eventually(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.005)


class Trickle(RawIOBase):
    """A source that hands out one byte at a time, then ends or breaks."""

    def __init__(self, content: bytes, *, then: Exception | None = None) -> None:
        self.rest = list(content)
        self.then = then

    def read(self, size: int = -1) -> bytes:
        if self.rest:
            return bytes([self.rest.pop(0)])
        if self.then:
            raise self.then
        return b""


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_what_was_put_is_named_by_its_hash_and_reads_back(store, size, no_leaked_files):
    content = os.urandom(size)
    blob = store.put(BytesIO(content), limit=LIMIT)
    assert blob == Blob(hashlib.sha256(content).hexdigest(), size)
    assert read(store, blob.sha256) == content


def test_a_source_may_hand_out_less_than_it_was_asked_for(store):
    assert read(store, store.put(Trickle(b"slowly"), limit=LIMIT).sha256) == b"slowly"


def test_a_reader_can_seek(store):
    with store.open(put(store, b"0123456789")) as file:
        file.seek(4)
        assert file.read(3) == b"456"


def test_a_reader_is_closed_with_its_context(store):
    with store.open(put(store, b"content")) as file:
        pass
    assert file.closed


def test_the_same_content_is_kept_once(store):
    assert put(store, b"twice") == put(store, b"twice")
    assert len(list(store.list())) == 1


def test_content_of_exactly_the_limit_is_kept(store):
    assert store.put(BytesIO(b"x" * 70_000), limit=70_000).size == 70_000


def test_content_over_the_limit_is_refused_and_nothing_is_kept(store, no_leaked_files):
    with pytest.raises(TooLarge, match="70000 bytes") as caught:
        store.put(BytesIO(b"x" * 70_001), limit=70_000)
    assert caught.value.details == {"limit": 70_000}
    assert list(store.list()) == []


def test_an_error_of_the_source_passes_through_and_nothing_is_kept(store, tmp_path, no_leaked_files):
    with pytest.raises(ConnectionResetError):
        store.put(Trickle(b"half", then=ConnectionResetError("the client went away")), limit=LIMIT)
    assert list(store.list()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_unknown_content_is_not_found(store):
    with pytest.raises(NotFound) as caught, store.open("0" * 64):
        pass
    assert caught.value.code == "BLOB_NOT_FOUND"


@pytest.mark.parametrize("name", ["", "abc", "A" * 64, "0" * 63 + "\n", "0" * 64 + "\n", "../" * 21 + "x", "tmp"])
def test_a_name_that_is_no_hash_is_never_there(store, name):
    with pytest.raises(NotFound), store.open(name):
        pass
    assert not store.delete(name)


def test_deleted_content_is_gone_and_may_come_back(store):
    sha256 = put(store, b"content")
    assert store.delete(sha256)
    assert not store.delete(sha256)
    with pytest.raises(NotFound), store.open(sha256):
        pass
    assert put(store, b"content") == sha256
    assert read(store, sha256) == b"content"


def test_hashes_are_listed_in_order(store):
    stored = {put(store, bytes([number])) for number in range(50)}
    assert list(store.list()) == sorted(stored)


def test_a_reopened_store_has_what_was_put(tmp_path):
    sha256 = put(FileBlobStore(tmp_path, InlineThreads()), b"content")
    assert read(FileBlobStore(tmp_path, InlineThreads()), sha256) == b"content"


def test_a_damaged_byte_is_reported_with_hash_and_place_at_every_read(files, tmp_path, no_leaked_files):
    sha256 = put(files, b"content")
    flip_a_byte(place(tmp_path, sha256))
    for _ in range(2):
        with pytest.raises(Corrupt, match=sha256) as caught, files.open(sha256):
            pass
        assert caught.value.details == {"sha256": sha256, "file": f"{sha256[:2]}/{sha256}"}


def test_a_cut_file_is_corrupt(files, tmp_path):
    sha256 = put(files, b"content")
    os.truncate(place(tmp_path, sha256), 3)
    with pytest.raises(Corrupt), files.open(sha256):
        pass


def test_damage_after_a_checked_read_is_found(files, tmp_path):
    sha256 = put(files, b"content")
    assert read(files, sha256) == b"content"
    flip_a_byte(place(tmp_path, sha256))
    with pytest.raises(Corrupt), files.open(sha256):
        pass


def test_an_unchanged_file_is_checked_once_per_process(files, tmp_path):
    sha256 = put(files, b"content")
    assert read(files, sha256) == b"content"
    state = place(tmp_path, sha256).stat()
    flip_a_byte(place(tmp_path, sha256))
    os.utime(place(tmp_path, sha256), ns=(state.st_atime_ns, state.st_mtime_ns))
    assert read(files, sha256) != b"content"
    with pytest.raises(Corrupt), FileBlobStore(tmp_path, InlineThreads()).open(sha256):
        pass


def test_putting_damaged_content_again_repairs_it(files, tmp_path):
    sha256 = put(files, b"content")
    flip_a_byte(place(tmp_path, sha256))
    assert put(files, b"content") == sha256
    assert read(files, sha256) == b"content"


def test_content_that_is_there_is_not_written_again(files, tmp_path):
    sha256 = put(files, b"content")
    before = place(tmp_path, sha256).stat()
    put(files, b"content")
    after = place(tmp_path, sha256).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_foreign_files_in_the_store_are_not_listed(files, tmp_path):
    sha256 = put(files, b"content")
    (tmp_path / "notes.txt").touch()
    place(tmp_path, sha256).with_suffix(".bak").touch()
    assert list(files.list()) == [sha256]


def test_a_root_that_cannot_be_a_directory_stops_the_start(tmp_path):
    (tmp_path / "blobs").touch()
    with pytest.raises(StartupError, match="blobs"):
        FileBlobStore(tmp_path / "blobs", InlineThreads())


def test_a_store_without_its_scratch_directory_is_unavailable(files, tmp_path):
    (tmp_path / "tmp").rmdir()
    with pytest.raises(Unavailable, match="store content"):
        put(files, b"content")


PUT_STDIN = """
import sys
from pathlib import Path
from spear.adapters.storage.blobs import FileBlobStore
from spear.adapters.threads import InlineThreads
FileBlobStore(Path(sys.argv[1]), InlineThreads()).put(sys.stdin.buffer, limit=10_000_000)
"""


@pytest.mark.parametrize("there_already", [False, True])
def test_content_and_its_name_are_synced_in_this_order_before_put_returns(files, tmp_path, monkeypatch, there_already):
    steps, sync, move = [], os.fsync, os.replace
    if there_already:
        put(files, b"content")

    def synced(file):
        number = file if isinstance(file, int) else file.fileno()
        steps.append(("sync", os.readlink(f"/proc/self/fd/{number}"), os.fstat(number).st_size))
        sync(file)

    def moved(source, target):
        steps.append(("move", str(source), str(target)))
        move(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    there = place(tmp_path, put(files, b"content"))
    directories = [("sync", str(there.parent)), ("sync", str(tmp_path))]
    assert [step[:2] for step in steps[-2:]] == directories
    if there_already:
        assert steps[:-2] == []  # what is there was synced when it was written
    else:
        (_, scratch, size), move = steps[:-2]
        assert (size, move) == (len(b"content"), ("move", scratch, str(there)))


def test_what_a_killed_process_left_half_written_is_removed_at_the_next_start(tmp_path):
    command = [sys.executable, "-c", PUT_STDIN, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        process.stdin.write(b"x" * 200_000)
        process.stdin.flush()
        eventually(lambda: any(path.stat().st_size for path in (tmp_path / "tmp").glob("*")))
        process.send_signal(signal.SIGKILL)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    store = FileBlobStore(tmp_path, InlineThreads())
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(store.list()) == []


def test_a_disk_that_refuses_keeps_nothing_and_takes_the_next_that_fits(files, tmp_path, no_leaked_files):
    with files_no_larger_than(70_000):
        with pytest.raises(Unavailable, match="the disk refused to store content: File too large"):
            put(files, b"x" * 80_000)
        assert list(files.list()) == list((tmp_path / "tmp").iterdir()) == []
        assert read(files, put(files, b"small")) == b"small"


ON_A_HUB = """
from gevent import monkey; monkey.patch_all()
import gc, sys, gevent.hub
from io import BytesIO
from pathlib import Path
from gevent.threadpool import ThreadPool
from spear.adapters.storage.blobs import FileBlobStore
from spear.adapters.threads import GeventThreads
from spear.errors import Corrupt
root = Path(sys.argv[1])
pool = ThreadPool(2)
threads = GeventThreads(pool)
store = FileBlobStore(root, threads)
turns = 0
def count():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)
other = gevent.spawn(count)
content = b"x" * 10_000_000
blob = store.put(BytesIO(content), limit=len(content))
put_turns = turns
with store.open(blob.sha256) as file:
    print(file.read() == content, put_turns > 5, turns > put_turns)
path = root / blob.sha256[:2] / blob.sha256
path.write_bytes(b"damaged")
try:
    store.open(blob.sha256).__enter__()
except Corrupt:
    print("corrupt")
hubs = lambda: sum(isinstance(thing, gevent.hub.Hub) for thing in gc.get_objects())
print(threads.call(lambda: threads.call(hubs)))
other.kill()
pool.kill()
"""


def test_a_hub_turns_while_content_is_stored_and_checked_and_native_threads_get_no_hub(tmp_path):
    command = [sys.executable, "-c", ON_A_HUB, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "True True True\ncorrupt\n1\n"
