"""Executables on their way from an SMS to a node: resumed, checked, kept once."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from spear.adapters.storage.artifacts import SmsFiles
from spear.adapters.storage.downloads import Kept
from spear.errors import InvalidConfiguration, Unavailable
from tests.e2e._cut import Between
from tests.e2e.test_node_link import near
from tests.server import SAMPLES, Server

CONTENT = Random(1).randbytes(400_000)


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("artifacts") / "sms", role="sms") as found:
        yield found


def files(between: Between, folder: Path | None = None) -> SmsFiles:
    return SmsFiles(between.url.removeprefix("http://"), kept=Kept(folder) if folder else None)


def ranges(between: Between) -> list[str]:
    """Where each request began."""
    return [found[1] if (found := re.search(r"Range: bytes=(\d+)-", one)) else "" for one in between.requests]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(sms: Server) -> None:
    uri = sms.upload(CONTENT)["uri"]
    with Between(sms.port, 150_000, 100_000, None) as between:
        assert files(between).fetch(uri)[0] == CONTENT
    first, second, third = ranges(between)
    assert first == "" and 0 < int(second) < 150_000 < int(third) < 250_000
    assert all("If-Range:" in one for one in between.requests[1:])


def test_what_was_fetched_before_the_server_went_is_not_fetched_again(sms: Server) -> None:
    uri = sms.upload(CONTENT)["uri"]
    with Between(sms.port, 150_000, 0, None) as between:
        wanted = files(between)
        with pytest.raises(Unavailable):
            wanted.fetch(uri)
        assert wanted.fetch(uri)[0] == CONTENT
    assert int(ranges(between)[2]) > 100_000


def test_bytes_that_were_changed_on_the_way_are_noticed(sms: Server) -> None:
    uri = sms.upload(CONTENT)["uri"]
    with Between(sms.port, flip=True) as between, pytest.raises(Unavailable, match="SHA-256"):
        files(between).fetch(uri)


def test_content_that_is_kept_is_not_sent_again_and_is_there_without_the_sms(sms: Server, tmp_path: Path) -> None:
    uri, again = sms.upload(CONTENT)["uri"], sms.upload(CONTENT)["uri"]
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with Between(sms.port, None, 1000, None, 0) as between:
        for asked in (uri, uri, again):
            assert files(between, tmp_path).fetch(asked) == (CONTENT, sha256)
        assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".ref")] == [sha256]
        assert files(between, tmp_path).fetch(uri)[0] == CONTENT  # nobody answers
        assert files(between, tmp_path).fetch("sms+file://" + "0" * 32, checksum_sha256=sha256)[0] == CONTENT
        assert len(between.requests) == 4


def test_a_file_that_was_deleted_is_missing_although_its_content_is_kept(sms: Server, tmp_path: Path) -> None:
    made = sms.upload(CONTENT)
    with Between(sms.port) as between:
        files(between, tmp_path).fetch(made["uri"])
        sms.call("DELETE", f"/api/v1/files/{made['id']}")
        with pytest.raises(InvalidConfiguration, match="404"):
            files(between, tmp_path).fetch(made["uri"])


def test_kept_content_that_was_damaged_is_fetched_again(sms: Server, tmp_path: Path) -> None:
    uri = sms.upload(CONTENT)["uri"]
    with Between(sms.port) as between:
        _, sha256 = files(between, tmp_path).fetch(uri)
        (tmp_path / sha256).write_bytes(b"\0" + CONTENT[1:])
        assert files(between, tmp_path).fetch(uri)[0] == CONTENT
        assert (tmp_path / sha256).read_bytes() == CONTENT


def test_the_least_recently_used_content_makes_room(tmp_path: Path) -> None:
    kept, hashes = Kept(tmp_path, most_bytes=250), []
    for number in range(4):
        content = bytes([number]) * 100
        hashes.append(hashlib.sha256(content).hexdigest())
        kept.put(str(number), content, hashes[-1])
        kept.get(hashes[0])
    assert [kept.get(one) is not None for one in hashes] == [True, False, False, True]
    assert [kept.sha256_of(str(number)) for number in range(4)] == [hashes[0], "", "", hashes[3]]


def test_a_node_keeps_no_more_than_it_is_told_to(sms: Server, tmp_path: Path) -> None:
    node = near(tmp_path, sms)
    config = tmp_path / "spearlet.toml"
    config.write_text(f"{config.read_text()}\n[spearlet.storage]\nmax_cache_size_mb = 0\n")
    with node:
        for sample, output in (("hello", "Hello from SPEAR!\n"), ("echo", "hi")):
            assert node.run(sms.register(sample), input="hi").json()["output"] == output
            cache = node.data_dir / "cache"
            assert len(list((cache / "wasm").glob("*.cwasm"))) == 1  # the newest stays in any case
            assert len([path for path in (cache / "artifacts").iterdir() if path.suffix != ".ref"]) == 1


def test_a_node_runs_what_it_got_in_pieces(sms: Server, tmp_path: Path) -> None:
    padding = b"\0" + bytes([0x84, 0x80, 0x08]) + b"\3pad" + bytes(0x20000)  # a custom section of 128 KiB and 4 bytes
    uri = sms.upload((SAMPLES / "echo.wasm").read_bytes() + padding)["uri"]
    body = {"name": "n", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    task = sms.post("/api/v1/tasks", json=body).json()["task_id"]
    with Between(sms.port, 70_000) as between:
        node = near(tmp_path, sms)
        config = tmp_path / "spearlet.toml"
        config.write_text(config.read_text().replace(f'"127.0.0.1:{sms.port}"', f'"{between.url[7:]}"'))
        with node:
            answer = node.run(task, input="hi").json()
            assert answer["output"] == "hi", answer
        assert len(between.requests) == 2
