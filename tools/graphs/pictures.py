"""Makes ``workflows/NAME.jpg``, which ComfyUI's template browser shows beside the name of a graph.

    .host/venv/bin/python tools/graphs/pictures.py             # those that are missing, or older than their graph
    .host/venv/bin/python tools/graphs/pictures.py NAME ...    # these
    .host/venv/bin/python tools/graphs/pictures.py --all
    .host/venv/bin/python tools/graphs/pictures.py --check     # make none; fail where one is missing or older

A graph of the demo model is run and shows four frames of what it made; what makes sound alone, its spectrum over time.
A graph of the published models shows itself: the boxes that it opens with, as the newest front-end draws them; that
needs Chromium (``LTX2_CHROMIUM``) and playwright, which tools/provision.py installs for the tests.

The template browser takes JPEG and nothing else from a node pack: front-end 1.32.9 and 1.58.1 both ask for NAME.jpg.
It runs in the host's Python, which has PyAV, numpy and Pillow. A picture's comment says which graph it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
import numpy as np
from PIL import Image

from tools.front_ends import NEWEST, install, static_files
from tools.graphs.demo import PREFIX
from tools.provision import REPO, Host, ProvisionError, demo_inputs, provision
from tools.published_files import PUBLISHED_FILES
from tools.server import Server, ServerError

WORKFLOWS = REPO / "workflows"
README_PICTURE = ("text-to-video", REPO / "docs" / "images" / "text-to-video.png")
WINDOW = (1600, 900)
GRAPH_WIDTH, FRAME_SIDE = 840, 192
"""Pixels: a graph's picture, and one of the four frames of a clip."""
QUALITY = 72
GIVEN = {"example.png": "demo-first.png", "source.mp4": "demo-bounce.mp4", "sound.wav": "demo-beeps.wav"}
"""What stands for the files that the graphs of the published models name, so that their boxes show something."""
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.UseNewMenu": "Disabled",
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.VueNodes.Enabled": True,
    "Comfy.Workflow.Persist": False,
}
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync".split()
READY = "window.app?.graph && window.app.extensionManager && document.querySelector('#graph-canvas')"
OPEN = """async ([graph, [width, height]]) => {
  await app.loadGraphData(graph, true, true, null, {openSource: "template"});
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const boxes = app.graph.nodes.map(node => node.boundingRect);
  const [left, top] = [0, 1].map(side => Math.min(...boxes.map(box => box[side])) - 20);
  const [right, bottom] = [0, 1].map(side => Math.max(...boxes.map(box => box[side] + box[2 + side])) + 20);
  const scale = Math.min(width / (right - left), height / (bottom - top));
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [-left, -top];
  app.canvas.setDirty(true, true);
  return [scale * (right - left), scale * (bottom - top)].map(Math.round);
}"""
BARE = """
  body * { visibility: hidden }
  #graph-canvas, [data-node-id], [data-node-id] * { visibility: visible }
"""


def source_of(graph: Path) -> str:
    """What the comment of an up-to-date picture says: of a demo graph only what it runs matters, not how it looks."""
    shown = queued(graph) if graph.stem.startswith(PREFIX) else graph
    return f"{graph.stem} {hashlib.sha256(shown.read_bytes()).hexdigest()}"


def queued(graph: Path) -> Path:
    """The API prompt of a graph."""
    return graph.parent / "api" / graph.name


def is_current(graph: Path) -> bool:
    picture = graph.with_suffix(".jpg")
    if not picture.is_file():
        return False
    with Image.open(picture) as image:
        return image.info.get("comment", b"").decode(errors="replace") == source_of(graph)


def save(graph: Path, image: Image.Image) -> None:
    target = graph.with_suffix(".jpg")
    image.convert("RGB").save(target, quality=QUALITY, optimize=True, progressive=True, comment=source_of(graph))
    print(f"{target.relative_to(REPO)}: {target.stat().st_size / 1000:.0f} kB")


# --- What the demo model makes ----------------------------------------------------------------------------------------


def result_picture(server: Server, graph: Path) -> Image.Image:
    """Runs a graph: four frames of its film, two by two, or the spectrum of its sound. Raises ServerError."""
    prompt = json.loads(queued(graph).read_text("utf-8"))
    result = server.client.run(prompt)
    if result.status != "success" or not result.files:
        raise ServerError(f"{graph.stem} did not run: {result.error or 'no file came out'}")
    for file in result.files:
        frames = frames_of(file)
        if frames:
            return contact_sheet(frames)
    return spectrum(samples_of(result.files[0]))


def frames_of(file: Path) -> list[Image.Image]:
    """All frames of a film; none where there is sound alone."""
    with av.open(str(file)) as container:
        return [frame.to_image() for frame in container.decode(video=0)] if container.streams.video else []


def samples_of(file: Path) -> np.ndarray:
    """The samples of a sound file, [samples], its channels averaged."""
    with av.open(str(file)) as container:
        planes = [frame.to_ndarray() for frame in container.decode(audio=0)]
        if not container.streams.audio[0].format.is_planar:
            channels = container.streams.audio[0].channels
            planes = [plane.reshape(-1, channels).T for plane in planes]
    return np.concatenate(planes, axis=1).astype(np.float64).mean(0)


def contact_sheet(frames: Sequence[Image.Image]) -> Image.Image:
    """The first frame, two on the way and the last one, in reading order."""
    places = np.linspace(0, len(frames) - 1, 4).round().astype(int)
    shown = [frames[place].resize((FRAME_SIDE, FRAME_SIDE), Image.Resampling.LANCZOS) for place in places]
    sheet = Image.new("RGB", (2 * FRAME_SIDE + 4, 2 * FRAME_SIDE + 4), "#202020")
    for number, frame in enumerate(shown):
        sheet.paste(frame, ((number % 2) * (FRAME_SIDE + 4), (number // 2) * (FRAME_SIDE + 4)))
    return sheet


def spectrum(samples: np.ndarray, window: int = 1024) -> Image.Image:
    """Loudness by time (to the right) and pitch (upwards), 60 dB from black to white."""
    if len(samples) < window:
        samples = np.pad(samples, (0, window - len(samples)))
    starts = range(0, len(samples) - window + 1, window // 4)
    pieces = np.stack([samples[start : start + window] for start in starts]) * np.hanning(window)
    level = 20 * np.log10(np.abs(np.fft.rfft(pieces)) + 1e-9)[:, : window // 8]
    grey = np.clip((level - level.max() + 60) / 60, 0, 1)
    image = Image.fromarray((255 * grey.T[::-1]).astype(np.uint8))
    side = 2 * FRAME_SIDE + 4
    return image.resize((side, side), Image.Resampling.BICUBIC)


# --- What a graph looks like ------------------------------------------------------------------------------------------


@contextmanager
def browser_page(url: str) -> Iterator[Any]:
    """The front-end, ready for a graph. Raises ServerError without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ServerError("Pictures of graphs need playwright: pip install playwright.") from None
    path = os.environ.get("LTX2_CHROMIUM") or shutil.which("chromium")
    if not path:
        raise ServerError("Pictures of graphs need Chromium: install it, or set LTX2_CHROMIUM to its path.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        page.goto(url, wait_until="commit", timeout=60_000)
        page.wait_for_function(READY, timeout=120_000)
        yield page
        browser.close()


def graph_picture(page: Any, graph: Path) -> Image.Image:
    """The boxes of a graph, without menus."""
    width, height = page.evaluate(OPEN, [json.loads(graph.read_text("utf-8")), WINDOW])
    style = page.add_style_tag(content=BARE)
    page.wait_for_timeout(1500)  # pictures and films have sizes when they are loaded
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "page.png"
        page.screenshot(path=target, clip={"x": 0, "y": 0, "width": width, "height": height})
        image = Image.open(target).convert("RGB")
    style.evaluate("element => element.remove()")
    return image


def save_graph_picture(graph: Path, image: Image.Image) -> None:
    name, target = README_PICTURE
    if graph.stem == name:
        image.quantize(128).save(target, optimize=True)
    save(graph, image.resize((GRAPH_WIDTH, GRAPH_WIDTH * image.height // image.width), Image.Resampling.LANCZOS))


# --- The command ------------------------------------------------------------------------------------------------------


def prepare(folder: Path) -> list[str]:
    """Fills the folders of a server: settings, inputs, and empty files in place of the published ones; its options."""
    settings = folder / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS))
    inputs = folder / "input"
    inputs.mkdir()
    sources = {source.name: source for source in demo_inputs()}
    for name, source in [*((name, name) for name in sources), *GIVEN.items()]:
        shutil.copyfile(sources[source], inputs / name)
    models = folder / "models"
    kinds = sorted({file.directory for file in PUBLISHED_FILES.values()})
    for file in PUBLISHED_FILES.values():
        (models / file.directory).mkdir(parents=True, exist_ok=True)
        (models / file.directory / file.name).touch()
    config = folder / "extra_model_paths.yaml"
    config.write_text(
        f"published:\n  base_path: {json.dumps(str(models))}\n" + "".join(f"  {kind}: {kind}\n" for kind in kinds)
    )
    return ["--extra-model-paths-config", str(config)]


def make(host: Host, graphs: Sequence[Path]) -> int:
    """Makes the pictures of these graphs; how many could not be made."""
    demos = [graph for graph in graphs if graph.stem.startswith(PREFIX)]
    published = [graph for graph in graphs if graph not in demos]
    options = []
    if published:
        if install(host.python) is None:
            raise ProvisionError(f"pip could not install front-end {NEWEST}.")
        options = ["--front-end-root", str(static_files(NEWEST))]
    failed = 0

    def one(graph: Path, picture: Callable[[], Image.Image], keep: Callable[[Path, Image.Image], None]) -> None:
        nonlocal failed
        try:
            keep(graph, picture())
        except Exception as error:  # the others are made all the same
            failed += 1
            print(f"{graph.stem}: {error}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Server(host, folder=folder, options=[*prepare(folder), *options]) as server:
            for graph in demos:
                one(graph, lambda graph=graph: result_picture(server, graph), save)
            if published:
                with browser_page(server.url) as page:
                    for graph in published:
                        one(graph, lambda graph=graph: graph_picture(page, graph), save_graph_picture)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="graphs; without any, what is missing or older")
    parser.add_argument("--all", action="store_true", help="the pictures of all graphs")
    parser.add_argument("--check", action="store_true", help="make none; fail where one is missing or older")
    arguments = parser.parse_args()
    every = {path.stem: path for path in sorted(WORKFLOWS.glob("*.json"))}
    unknown = [name for name in arguments.names if name not in every]
    if unknown:
        parser.error(f"no such graph in workflows/: {', '.join(unknown)}")
    chosen = [every[name] for name in arguments.names] or list(every.values())
    if arguments.check or not (arguments.all or arguments.names):
        chosen = [graph for graph in chosen if not is_current(graph)]
    if arguments.check:
        if chosen:
            print(f"missing, or older than their graphs: {', '.join(graph.stem for graph in chosen)}", file=sys.stderr)
        return 1 if chosen else 0
    for left_over in sorted(set(WORKFLOWS.glob("*.jpg")) - {graph.with_suffix(".jpg") for graph in every.values()}):
        print(f"{left_over.relative_to(REPO)}: removed, it has no graph")
        left_over.unlink()
    try:
        return 1 if chosen and make(provision(), chosen) else 0
    except (ProvisionError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
