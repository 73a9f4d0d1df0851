"""The suite where a package of requirements-dev.txt is not there: its tests are skipped, loudly."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("hypothesis", "requests", "schemathesis", "trustme", "websocket")
SUITES = ("rest", "rpc", "browser", "bus", "core/test_ssf.py")
RUNS_ALONE = {
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
    "PYTEST_XDIST_TESTRUNUID",
    "PYTEST_CURRENT_TEST",
    "CI",
}


@pytest.fixture
def without(tmp_path):
    """Run pytest where the named modules cannot be imported; gives the finished process."""

    def run(modules, *arguments, **environment):
        for module in modules:
            error = f"ModuleNotFoundError('No module named {module}', name='{module}')"
            (tmp_path / f"{module}.py").write_text(f"raise {error}\n")
        alone = {key: value for key, value in os.environ.items() if key not in RUNS_ALONE}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        settings = alone | {"PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment
        return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=120)

    return run


def imported(path):
    """The modules that a file imports, by their full names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_without_its_packages_the_suite_is_skipped_in_one_loud_line_each(without):
    done = without(ABSENT, "--collect-only", *(f"tests/{name}" for name in SUITES))
    assert "error" not in done.stdout.lower().split("not tested")[-1], done.stdout[-3000:]
    assert not re.search(r"^ERROR", done.stdout, re.MULTILINE), done.stdout[-3000:]
    for package in ("hypothesis", "requests", "schemathesis", "websocket-client"):
        assert re.search(rf"NOT TESTED \(\d+ skipped\): {package} is not installed", done.stdout), package


def test_a_test_whose_fixture_lacks_a_package_is_skipped(without):
    done = without(["requests"], "tests/browser", "tests/rest/test_foreign_pages.py")
    assert done.returncode in (0, 5), done.stdout[-3000:]
    assert "requests is not installed" in done.stdout


def test_a_missing_package_is_a_failure_in_ci(without):
    done = without(["trustme"], "--collect-only", "tests/rest/test_tls.py", CI="true")
    assert done.returncode != 0
    assert "skipped, which CI=true forbids: trustme is not installed" in done.stdout


@pytest.mark.parametrize("module", ["flask", "spear.nothing", "a_module_that_nobody_named"])
def test_a_missing_module_of_any_other_kind_stays_an_error(tmp_path, without, module):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(f"raise ModuleNotFoundError('absent', name={module!r})\n")
    done = without([], "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path / "test_it.py"))
    assert done.returncode == 2, done.stdout
    assert "1 error" in done.stdout


def test_every_package_that_a_test_imports_is_known_by_its_name_in_requirements_dev(pytestconfig):
    conftest = next(p for p in pytestconfig.pluginmanager.get_plugins() if hasattr(p, "absent_part"))
    wanted = (ROOT / "requirements-dev.txt").read_text()
    modules = {name for path in (ROOT / "tests").rglob("*.py") for name in imported(path)}
    homes = packages_distributions()
    found = {module: homes.get(module.partition(".")[0], []) for module in sorted(modules)}
    expected = {module: home for module in found for home in found[module] if f"\n{home}==" in wanted}
    assert {m: conftest.part_of(m) for m in expected} == expected
    assert all(conftest.part_of(module) for module in ABSENT)


def test_without_the_runner_make_test_says_so_in_one_line(tmp_path):
    (tmp_path / "xdist.py").write_text("raise ModuleNotFoundError('no xdist')\n")
    command = ["make", "-s", "test", f"VENV={sys.prefix}"]
    stamps = [f"--old-file={sys.prefix}/.requirements", f"--old-file={sys.prefix}/.requirements-dev"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MAKEFLAGS": ""}
    done = subprocess.run([*command, *stamps], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert (done.returncode, said) == (2, ["spear: no test runs without pytest and pytest-xdist; pip says why above"])
