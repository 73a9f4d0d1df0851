"""Install one pinned requirements file into a virtual environment and leave a stamp; needs only the standard library."""

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Install the file named on the command line; the stamp `VENV/.<name>` appears only when every line is in."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("venv", type=Path)
    arguments.add_argument("requirements", type=Path)
    arguments.add_argument("--optional", action="store_true", help="go on without the lines that cannot be installed")
    args = arguments.parse_args()
    python = ensure_venv(args.venv)
    print(f"installing {args.requirements} into {args.venv}", flush=True)
    if pip_install(python, "-r", str(args.requirements)):
        (args.venv / f".{args.requirements.stem}").touch()
        return 0
    if not args.optional:
        print(f"spear: {args.requirements} could not be installed; pip says why above", file=sys.stderr)
        return 1
    install_one_by_one(python, args.requirements)
    return 0


def ensure_venv(venv: Path) -> Path:
    """The environment's Python; makes the environment when it is absent or has no working pip."""
    python = venv / "bin" / "python"
    if not has_pip(python):
        print(f"creating {venv} with Python {sys.version.split()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    return python


def has_pip(python: Path) -> bool:
    """Whether this Python starts and can install packages."""
    pip = [str(python), "-m", "pip", "--version"]
    return python.exists() and subprocess.run(pip, capture_output=True, check=False).returncode == 0


def pip_install(python: Path, *arguments: str) -> bool:
    """Whether pip installed it; pip's own progress is shown."""
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    return subprocess.run([*pip, *arguments], check=False).returncode == 0


def install_one_by_one(python: Path, requirements: Path) -> None:
    """Install each pinned line alone, so that one that cannot be had costs only itself."""
    pins = [line for line in requirements.read_text().splitlines() if "==" in line]
    for pin in pins:
        if not pip_install(python, "--quiet", "--retries", "0", "--no-deps", pin):
            print(f"NOT INSTALLED: {pin}; the tests that need it will be skipped", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"spear: no virtual environment: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
