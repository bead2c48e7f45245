from __future__ import annotations

import mimetypes
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.workflows.shared_server import BROWSER_SETTINGS, running_server
from tools.front_ends import NEWEST, static_files
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
    "--disable-component-update --disable-sync --disable-features=LocalNetworkAccessChecks"
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


@pytest.fixture(scope="package")
def newest_front_end() -> Path:
    """The files of the newest front-end."""
    folder = static_files(NEWEST, Path(os.environ.get("LTX2_FRONT_ENDS") or "none"))
    if not (folder / "index.html").is_file():
        pytest.skip(
            f"FRONT-END {NEWEST} IS NOT TESTED: run tools/front_ends.py and set LTX2_FRONT_ENDS to the folder it names"
        )
    return folder


def serve_from(page: Any, server: Server, folder: Path) -> None:
    """The page gets the front-end's files from ``folder``, as with --front-end-root, and the rest from the server."""

    def answer(route: Any) -> None:
        path = urlsplit(route.request.url).path.lstrip("/") or "index.html"
        file = folder / path
        if file.is_file() and folder in file.resolve().parents:
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(path=file, content_type=kind)
        else:
            route.continue_()

    page.route(f"{server.url}/**", answer)


@pytest.fixture(scope="package")
def newest_page(browser: Any, server: Server, newest_front_end: Path) -> Iterator[Any]:
    """The newest front-end with the running server behind it."""
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    serve_from(page, server, newest_front_end.resolve())
    page.goto(server.url, wait_until="commit", timeout=60_000)
    page.wait_for_function(READY, timeout=120_000)
    yield page
    page.close()


@pytest.fixture(params=["page", "newest_page"])
def either_page(request: pytest.FixtureRequest) -> Any:
    """The host's front-end and the newest one."""
    return request.getfixturevalue(request.param)


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
    newest = request.getfixturevalue("newest_front_end") if wanted.newest else None
    server.client.post("/settings", {"Comfy.VueNodes.Enabled": wanted.nodes_2})
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    if newest is not None:
        serve_from(page, server, newest.resolve())
    page.goto(server.url, wait_until="commit", timeout=60_000)
    page.wait_for_function(READY, timeout=120_000)
    yield Look(wanted.newest, wanted.nodes_2, page)
    page.close()
    server.client.post("/settings", BROWSER_SETTINGS)


@pytest.fixture(scope="package")
def given_files(server: Server) -> None:
    """The files that the graphs of the published models name, so that their pictures and films are seen."""
    demo, inputs = REPO / "models" / "demo" / "inputs", server.output.parent / "input"
    for name, source in GIVEN.items():
        if not (inputs / name).exists():
            shutil.copyfile(demo / source, inputs / name)


GIVEN = {"example.png": "demo-first.png", "source.mp4": "demo-bounce.mp4", "sound.wav": "demo-beeps.wav"}
