"""A real Chromium, and a real server with a history to look at."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a conftest may not skip while it is imported; the test module does
    from playwright.sync_api import Browser, Page

    from tests.server import Server

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One headless browser for all tests; they are skipped where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on PATH: scripts/install_browser.sh installs it where it may")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Server"]:
    """A server on which the task `hello` ran once."""
    from tests.server import Server

    with Server(tmp_path_factory.mktemp("admin")) as running:
        assert running.run(running.register("hello", endpoint="hello")).json()["status"] == "completed"
        yield running


@pytest.fixture
def admin(server: "Server") -> str:
    """Where the admin is."""
    return f"http://127.0.0.1:{server.admin_port}"


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """A fresh page that fails the test when the browser complains about anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    fresh = context.new_page()
    complaints: list[str] = []
    fresh.on("pageerror", lambda error: complaints.append(str(error)))
    fresh.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield fresh
    context.close()
    assert not complaints
