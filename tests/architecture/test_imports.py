import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 400
Sized = tuple[int, str]


def sources() -> list[Path]:
    """Every Python file of the product."""
    return [ROOT / "spear_server.py", *(path for part in ("spear", "admin") for path in (ROOT / part).rglob("*.py"))]


def files() -> list[Sized]:
    """Lines and name of each file, longest first."""
    return sorted(
        ((len(path.read_text().splitlines()), str(path.relative_to(ROOT))) for path in sources()), reverse=True
    )


def functions() -> list[Sized]:
    """Lines and name of each function, longest first."""
    return sorted((found for path in sources() for found in functions_in(path)), reverse=True)


def functions_in(path: Path) -> Iterator[Sized]:
    """Lines and name of each function of one file, decorators not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def tail(title: str, sized: list[Sized]) -> str:
    """The median, the 95th percentile and the five longest, for a person to read."""
    lengths = [length for length, _ in sized]
    head = (
        f"{title}: {len(sized)}, median {lengths[len(sized) // 2]} lines, 95th percentile {lengths[len(sized) // 20]}"
    )
    return "\n".join([head, *(f"  {length:4} {name}" for length, name in sized[:5])])


def test_imports_only_point_down():
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    command = [
        Path(sys.executable).with_name("lint-imports"),
        "--no-cache",
        "--no-logo",
    ]  # in-process, it ends all logs
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_outgrows_a_reader(capsys):
    with capsys.disabled():
        print("", tail("files", files()), tail("functions", functions()), sep="\n")
    assert [file for file in files() if file[0] > LONGEST_FILE] == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_says_what_it_is(path):
    tree = ast.parse(path.read_text())
    described = ast.AsyncFunctionDef | ast.FunctionDef | ast.ClassDef
    public = [node for node in tree.body if isinstance(node, described) and not node.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
