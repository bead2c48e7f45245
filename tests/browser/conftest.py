from __future__ import annotations

import mimetypes
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.workflows.shared_server import BROWSER_SETTINGS, running_server
from tools.front_ends import newest_front_end
from tools.provision import REPO
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
    # Chromium takes a page that a test serves itself for a public one, and keeps it from the server on this machine.
    " --disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"
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


@dataclass(frozen=True)
class Look:
    """A front-end and one of its two renderings, in a window of the size that the graphs are made for."""

    newest: bool
    nodes_2: bool
    page: Any = None

    def __str__(self) -> str:
        return f"{'newest' if self.newest else 'host'}-{'nodes2' if self.nodes_2 else 'classic'}"


LOOKS = [Look(newest, nodes_2) for newest in (False, True) for nodes_2 in (False, True)]


@pytest.fixture(scope="package", params=LOOKS, ids=str)
def look(request: pytest.FixtureRequest, browser: Any, server: Server, given_files: None) -> Iterator[Look]:
    """The front-end of the running server or the newest one in its place, in one of its renderings."""
    wanted: Look = request.param
    if wanted.newest and not newest_front_end().is_dir():
        pytest.skip("THE NEWEST FRONT-END IS NOT TESTED: run tools/front_ends.py, which fetches it")
    server.client.post("/settings", {"Comfy.VueNodes.Enabled": wanted.nodes_2})
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    if wanted.newest:
        page.route("**/*", _newest)
    page.goto(server.url)
    page.wait_for_function(READY, timeout=60_000)
    yield Look(wanted.newest, wanted.nodes_2, page)
    page.close()
    server.client.post("/settings", BROWSER_SETTINGS)


def _newest(route: Any) -> None:
    """Answers with a file of the newest front-end where there is one; the server answers the rest."""
    root = newest_front_end()
    path = root / (unquote(urlsplit(route.request.url).path).lstrip("/") or "index.html")
    if route.request.method != "GET" or not path.is_file() or not path.resolve().is_relative_to(root):
        return route.continue_()
    return route.fulfill(path=path, content_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream")


@pytest.fixture(scope="package")
def given_files(server: Server) -> None:
    """The files that the graphs of the published models name, so that their pictures and films are seen."""
    demo, inputs = REPO / "models" / "demo" / "inputs", server.output.parent / "input"
    for name, source in GIVEN.items():
        if not (inputs / name).exists():
            shutil.copyfile(demo / source, inputs / name)


GIVEN = {"example.png": "demo-first.png", "source.mp4": "demo-bounce.mp4", "sound.wav": "demo-beeps.wav"}
