"""The checked-in sample modules are what their sources compile to."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.build_samples import build_all

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "samples" / "wasm-c"
BUILT = ROOT / "samples" / "build"
needs_ziglang = pytest.mark.skipif(find_spec("ziglang") is None, reason="building samples needs the package ziglang")


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("*.wasm")}


def test_every_source_has_its_module_checked_in() -> None:
    assert {path.stem for path in SOURCES.glob("*.c")} == {path.stem for path in BUILT.glob("*.wasm")}


def test_every_source_is_short_enough_to_read_at_once() -> None:
    assert {path.name for path in SOURCES.glob("*.c") if len(path.read_text().splitlines()) > 30} == set()


def test_every_sample_is_told_of_in_the_readme() -> None:
    readme = (ROOT / "samples" / "README.md").read_text()
    assert [path.stem for path in SOURCES.glob("*.c") if f"`{path.stem}`" not in readme] == []


@needs_ziglang
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    build_all(tmp_path)
    assert digests(tmp_path) == digests(BUILT)
