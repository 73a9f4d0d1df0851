"""Generate the Python of proto/ into spear/adapters/rpc/generated; `--check` only says whether it is current."""

import argparse
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GENERATED = ROOT / "spear" / "adapters" / "rpc" / "generated"


def main() -> int:
    """Write the generated files, or with --check compare them; 1 when they are not what proto/ says."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is not current")
    only_check = arguments.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
    if only_check:
        return report(stale(fresh))
    for name, content in fresh.items():
        (GENERATED / name).parent.mkdir(parents=True, exist_ok=True)
        (GENERATED / name).write_bytes(content)
    return 0


def generate(folder: Path) -> dict[str, bytes]:
    """What every .proto becomes: modules and their type stubs, by name; raises SystemExit when protoc refuses."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    bundled = Path(protoc.__file__).parent / "_proto"
    options = [f"-I{PROTO}", f"-I{bundled}", f"--python_out={folder}", f"--pyi_out={folder}"]
    status = protoc.main(["protoc", *options, *sources])
    if status:
        sys.exit(status)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.py*"))}


def stale(fresh: dict[str, bytes]) -> list[str]:
    """The names of generated files that are missing, different, or left over."""
    there = {str(path.relative_to(GENERATED)): path.read_bytes() for path in GENERATED.rglob("*_pb2.py*")}
    return sorted(name for name in fresh.keys() | there.keys() if fresh.get(name) != there.get(name))


def report(names: list[str]) -> int:
    """Name what is not current; the exit status."""
    for name in names:
        print(f"not current: {GENERATED.relative_to(ROOT)}/{name}; run `make proto`", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
