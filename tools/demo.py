"""Text to video with sound on a fresh machine, with a small trained model that comes with the pack.

    python3 tools/demo.py "a red circle moves to the left while a low tone plays"
    python3 tools/demo.py --workflow image-to-video
    python3 tools/demo.py --serve

The first call provisions a ComfyUI (see provision.py), which takes minutes; later calls start at once. The model knows
a coloured shape on a plain ground that moves, rests, grows or bounces, and three tones (docs/demo-model.md); put the
real files in place (README) for anything else. ``--model 2.3`` and ``--model 2.0`` take random weights: noise.

With the trained model, ``--workflow NAME`` takes the graph ``demo-NAME``, which has everything it needs.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.graphs.tiny import VERSIONS, with_tiny_models
from tools.provision import REPO, Host, ProvisionError, continue_inside, provision
from tools.server import Event, Prompt, PromptRejected, Server, ServerError

DEFAULT_WORKFLOW = "text-to-video"
DEMO, DEMO_PREFIX = "demo", "demo-"
TINY_SIZE = {"width": 64, "height": 64, "length": 17}
TINY_STEPS = 10
BAR_WIDTH = 30
# Sound is generated in steps of 40 ms, of which the decoder leaves out the last 30 ms; more than both is an error.
DURATION_TOLERANCE = 0.06


def main() -> int:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us with & has it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped on the way out
    try:
        host = provision()
        if not host.is_current:  # aiohttp and PyAV live there
            return continue_inside(host)
        print(host)
        return _demo(host, arguments)
    except (ProvisionError, ServerError, PromptRejected, DemoError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130


class DemoError(Exception):
    """The run failed, or its video is not what it should be."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("prompt", nargs="?", help="what to show and to sound; the graph's own words if not given")
    parser.add_argument(
        "--serve", action="store_true", help="keep the server running and say where to open the browser"
    )
    parser.add_argument("--workflow", default=DEFAULT_WORKFLOW, help="a graph of workflows/api, or the path of one")
    parser.add_argument(
        "--model", choices=(DEMO, *VERSIONS), default=DEMO, help="the trained model, or random weights of a version"
    )
    for name, meaning in (
        ("width", "pixels, a multiple of 32"),
        ("height", "pixels, a multiple of 32"),
        ("length", "frames, 8k + 1"),
        ("steps", "denoising steps (graphs with a scheduler)"),
    ):
        parser.add_argument(f"--{name}", type=int, help=f"{meaning}; small if not given")
    parser.add_argument("--seed", type=int, help="of the noise; the graph's own if not given")
    parser.add_argument("--port", type=int, help="of the server; a free one if not given, 8188 with --serve")
    parser.add_argument("--gpu", action="store_true", help="run on the graphics card instead of the CPU")
    return parser


def _demo(host: Host, arguments: argparse.Namespace) -> int:
    port = arguments.port or (8188 if arguments.serve and _is_free(8188) else None)
    server = Server(host, port=port, cpu=not arguments.gpu)
    print("starting the ComfyUI server ...", flush=True)
    with server:
        if arguments.prompt or not arguments.serve:
            print(_generate(server, prompt_of(arguments)))
        if arguments.serve:
            print(f"\nComfyUI runs at {server.url} - open it in a browser and drag a file of {REPO / 'workflows'} into")
            print("the window. Ctrl-C stops the server.", flush=True)
            while server.running:
                time.sleep(0.5)
            raise ServerError(f"The server ended. Its last lines:\n{server.log_tail()}")
    return 0


def prompt_of(arguments: argparse.Namespace) -> Prompt:
    """The API graph that the command line asks for. Raises DemoError for one that is not there."""
    prompt = json.loads(_graph_file(arguments.workflow, arguments.model).read_text("utf-8"))
    size = {name: getattr(arguments, name) for name in ("width", "height", "length")}
    size = {name: value for name, value in size.items() if value is not None}
    if arguments.model != DEMO:
        prompt = with_tiny_models(prompt, arguments.model, **TINY_SIZE | size, steps=arguments.steps or TINY_STEPS)
    else:
        _change(prompt, "LTX2EmptyLatents", **size)
        _change(prompt, "LTX2Scheduler", steps=arguments.steps)
    for node in prompt.values():
        if "seed" in node["inputs"] and arguments.seed is not None:
            node["inputs"]["seed"] = arguments.seed
    if arguments.prompt is not None:
        _positive(prompt, arguments.workflow)["prompt"] = arguments.prompt
    return prompt


def _change(prompt: Prompt, type: str, **values: int | None) -> None:
    """Puts values that are not None into the nodes of a type; what comes over a wire stays on it."""
    for inputs in (node["inputs"] for node in prompt.values() if node["class_type"] == type):
        given = {name: value for name, value in values.items() if value is not None}
        inputs |= {name: value for name, value in given.items() if not isinstance(inputs.get(name), list)}


def _graph_file(workflow: str, model: str) -> Path:
    if workflow.endswith(".json"):
        path = Path(workflow)
        if not path.is_file():
            raise DemoError(f"There is no file {path}.")
        return path
    folder = REPO / "workflows" / "api"
    name = workflow.removeprefix(DEMO_PREFIX)
    path = folder / f"{DEMO_PREFIX if model == DEMO else ''}{name}.json"
    if path.is_file():
        return path
    known = sorted(file.stem for file in folder.glob("*.json"))
    fitting = [one.removeprefix(DEMO_PREFIX) for one in known if one.startswith(DEMO_PREFIX) == (model == DEMO)]
    reason = "it needs what the trained model does not have" if name in known else "it is not there"
    raise DemoError(f"No graph {name} for this model: {reason}. Known: {', '.join(fitting)}.")


def _positive(prompt: Prompt, workflow: str) -> dict[str, Any]:
    """The inputs of the node that holds the positive prompt."""
    links = (node["inputs"].get("positive") for node in prompt.values())
    key = next((link[0] for link in links if isinstance(link, list)), None)
    if key is None or "prompt" not in prompt[key]["inputs"]:
        raise DemoError(f"{workflow} has no node with a positive prompt: nowhere to put the text.")
    return prompt[key]["inputs"]


def _generate(server: Server, prompt: Prompt) -> Path:
    progress = Progress(prompt)
    started = time.monotonic()
    result = server.client.run(prompt, on_event=progress)
    progress.end()
    if result.status != "success":
        raise DemoError(result.error or "The run was interrupted.")
    seconds = f"done in {time.monotonic() - started:.1f} s"
    for file in result.files:
        if file.suffix in CHECKS:
            print(f"{seconds}: {CHECKS[file.suffix](file)}")
            return file
    raise DemoError("The graph ended without an MP4 or a FLAC; it needs a Save Video or Save Audio node.")


def check_video(path: Path) -> str:
    """Decodes an MP4 and describes it. Raises DemoError unless it is H.264 with an audio track of the same duration."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.video or not container.streams.audio:
            raise DemoError(f"{path} lacks a video or an audio track.")
        video, audio = container.streams.video[0], container.streams.audio[0]
        fps = float(video.average_rate)
        frames = sum(1 for _ in container.decode(video))
        container.seek(0)
        samples = sum(frame.samples for frame in container.decode(audio))
        seconds, audio_seconds = frames / fps, float(audio.duration * audio.time_base)
        if video.codec_context.name != "h264" or not samples:
            raise DemoError(
                f"{path} is {video.codec_context.name} with {samples} audio samples; H.264 and sound expected."
            )
        if abs(seconds - audio_seconds) > DURATION_TOLERANCE:
            raise DemoError(f"{path} has {seconds:.3f} s of video but {audio_seconds:.3f} s of audio.")
        return (
            f"{frames} frames of {video.width}x{video.height} at {fps:g} fps (H.264), "
            f"{audio_seconds:.2f} s of sound at {audio.rate} Hz ({audio.codec_context.name.upper()})"
        )


def check_sound(path: Path) -> str:
    """Decodes a sound file and describes it. Raises DemoError when nothing is in it."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        if not samples:
            raise DemoError(f"{path} holds no sound.")
        return f"{samples / stream.rate:.2f} s of sound at {stream.rate} Hz ({stream.codec_context.name.upper()})"


CHECKS = {".mp4": check_video, ".flac": check_sound}


class Progress:
    """Draws the server's messages as one line that updates; where the output is no terminal, a line per node."""

    def __init__(self, prompt: Prompt) -> None:
        self._titles = {key: node.get("_meta", {}).get("title", node["class_type"]) for key, node in prompt.items()}
        self._seen: set[str] = set()
        self._live = sys.stdout.isatty()

    def __call__(self, event: Event) -> None:
        if event["type"] != "progress_state":
            return
        for key, state in event["data"]["nodes"].items():
            if state["state"] != "running":
                self._seen.add(key)
                continue
            share = state["value"] / state["max"] if state["max"] else 0.0
            self._draw(key, min(max(share, 0.0), 1.0), state)

    def _draw(self, key: str, share: float, state: Event) -> None:
        title = self._titles.get(key, key)
        count = f"{len(self._seen) + 1}/{len(self._titles)}"
        if self._live:
            filled = round(share * BAR_WIDTH)
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            steps = f"{state['value']:g}/{state['max']:g}" if state["max"] > 1 else ""
            print(f"\r\x1b[K[{bar}] node {count} {title} {steps}", end="", flush=True)
        elif key not in self._seen:
            self._seen.add(key)
            print(f"node {len(self._seen)}/{len(self._titles)} {title}", flush=True)

    def end(self) -> None:
        """Leaves the line that updates."""
        if self._live:
            print()


def _is_free(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    sys.exit(main())
