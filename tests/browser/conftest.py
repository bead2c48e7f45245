from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.workflows.shared_server import running_server
from tools.server import Server


@pytest.fixture(scope="session")
def server() -> Server:
    return running_server()


@pytest.fixture(scope="session")
def object_info(server: Server) -> dict[str, Any]:
    return server.client.object_info()


FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
READY = "window.app?.graph && window.app.extensionManager && document.querySelector('#graph-canvas')"


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Closed before other tests run: while it is open, Playwright's event loop occupies the thread."""
    path = os.environ.get("LTX2_CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("needs Chromium: install it, or set LTX2_CHROMIUM to its path")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The front-end of the running server, ready for a graph."""
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.goto(server.url)
    page.wait_for_function(READY, timeout=60_000)
    yield page
    page.close()
