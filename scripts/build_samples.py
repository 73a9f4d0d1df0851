"""Build the sample agents: every samples/wasm-c/NAME.c becomes samples/build/NAME.wasm."""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_COMPILER = (
    *(sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-s"),
    # Without it every guest would start with a stack of 16 MiB.
    "-Wl,-z,stack-size=65536",
    *("-Wall", "-Wextra", "-Werror", "-I", "sdk/c/include"),
)


def build(source: Path, target: Path) -> None:
    """Compile one C file into one module; raise `CalledProcessError` when the compiler refuses."""
    exports = ("-Wl,--export-table",) if "sp_cchat_write_fn" in source.read_text() else ()  # else nobody could call it
    command = (*_COMPILER, *exports, str(source.relative_to(_ROOT)), "-o", str(target.resolve()))
    subprocess.run(command, check=True, cwd=_ROOT)
    target.chmod(0o644)


def build_all(target: Path) -> list[Path]:
    """Compile every sample into the directory `target` and name what was written."""
    target.mkdir(parents=True, exist_ok=True)
    built = []
    for source in sorted((_ROOT / "samples" / "wasm-c").glob("*.c")):
        built.append(target / f"{source.stem}.wasm")
        build(source, built[-1])
    return built


def main() -> None:
    """Build into samples/build, or into the directory named by --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=_ROOT / "samples" / "build", help="where the modules go")
    if find_spec("ziglang") is None:
        sys.exit("spear: the samples need the package ziglang; requirements-dev.txt names its version")
    for module in build_all(parser.parse_args().out):
        print(f"{module} {module.stat().st_size} bytes")


if __name__ == "__main__":
    main()
