"""The example graphs in a real ComfyUI server, with the tiny models: to the end, interrupted, and with wrong values."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ltx_core_impl.presets import LTX_2_3_PRESET
from tools.demo import check_video
from tools.graphs.parts import NEGATIVE
from tools.graphs.text_to_video import GRAPHS
from tools.graphs.tiny import VERSIONS, with_tiny_models
from tools.graphs.workflows import all_graphs, differences, files
from tools.provision import REPO
from tools.server import Event, Prompt, PromptRejected, RunResult, Server

NAMES = [graph.name for graph in GRAPHS]
SAMPLE_RATES = {"2.0": 24_000, "2.3": 48_000}
SIZE = {"width": 96, "height": 64, "length": 17}


def load(name: str, version: str = "2.3", **size: int) -> Prompt:
    return with_tiny_models(
        json.loads((REPO / "workflows" / "api" / f"{name}.json").read_text()), version, **SIZE | size
    )


def changed(prompt: Prompt, type: str, **inputs: Any) -> Prompt:
    """A copy with other inputs on the nodes of a type."""
    result = copy.deepcopy(prompt)
    touched = [node["inputs"].update(inputs) for node in result.values() if node["class_type"] == type]
    assert touched, f"no {type} in the graph"
    return result


def run(server: Server, prompt: Prompt, **options: Any) -> RunResult:
    result = server.client.run(prompt, **options)
    assert result.status == "success", f"{result.error}\n{server.log_tail()}"
    return result


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_files_are_what_the_descriptions_give(object_info: dict[str, Any]) -> None:
    assert differences(files(all_graphs(), object_info)) == [], "run: python3 tools/graphs/workflows.py"


def test_no_graph_uses_a_node_that_comfyui_gives_up(object_info: dict[str, Any]) -> None:
    old = {name for name, info in object_info.items() if info.get("deprecated")}
    assert old, "ComfyUI no longer says which nodes are deprecated"
    for path in sorted((REPO / "workflows" / "api").glob("*.json")):
        used = {node["class_type"] for node in json.loads(path.read_text("utf-8")).values()}
        assert used & old == set(), path.name


def test_negative_prompt_is_the_preset_of_the_version() -> None:
    assert NEGATIVE == LTX_2_3_PRESET.negative_prompt


def test_every_node_and_socket_is_explained(object_info: dict[str, Any]) -> None:
    ours = {name: info for name, info in object_info.items() if name.startswith("LTX2")}
    assert len(ours) >= 21
    unexplained = [name for name, info in ours.items() if not info["description"]]
    for name, info in ours.items():
        assert info["category"].startswith("LTX-2/"), name
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        unexplained += [f"{name}.{key}" for key, spec in inputs.items() if not [*spec, {}][1].get("tooltip")]
        tips = info.get("output_tooltips") or [None] * len(info["output"])
        pairs = zip(info["output_name"], tips, strict=True)
        unexplained += [f"{name} -> {key}" for key, tip in pairs if not tip]
    assert unexplained == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_graph_writes_a_video_with_sound(server: Server, name: str, version: str) -> None:
    prompt = changed(load(name, version), "LTX2EmptyLatents", frame_rate=25.0)
    [path] = run(server, prompt).files
    check_video(path)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", 96, 64)
        assert video.average_rate == 25
        assert audio.codec_context.sample_rate == SAMPLE_RATES[version]
        assert audio.codec_context.layout.name == "stereo"
        # 17 audio latent frames (25 per second) decode to 4 * 17 - 3 spectrogram frames of 10 ms.
        assert float(audio.duration * audio.time_base) == pytest.approx(0.65, abs=1e-3)
    assert decode(path).shape == (17, 64, 96, 3)


def test_a_seed_repeats_and_another_differs(server: Server) -> None:
    prompt = load("text-to-video-distilled")
    videos = []
    for seed in (1, 2, 1):
        server.client.free()
        [path] = run(server, changed(prompt, "LTX2LatentNoise", seed=seed)).files
        videos.append(decode(path))
    assert np.array_equal(videos[0], videos[2])
    assert not np.array_equal(videos[0], videos[1])


def test_long_jobs_show_progress(server: Server) -> None:
    prompt = load("text-to-video", steps=5)
    steps: dict[str, set[float]] = {}
    phases: list[dict[str, Any]] = []
    bars: list[tuple[str, float, float]] = []

    def note(event: Event) -> None:
        if event["type"] == "ltx2.phase":
            phases.append(event["data"])
        if event["type"] == "progress" and phases and phases[-1]["node"] == event["data"]["node"]:
            bars.append((phases[-1]["phase"], event["data"]["value"], event["data"]["max"]))
        if event["type"] == "progress_state":
            for key, state in event["data"]["nodes"].items():
                if state["max"] > 1:
                    steps.setdefault(prompt[key]["class_type"], set()).add(state["value"])

    server.client.free()
    run(server, changed(prompt, "LTX2LatentNoise", seed=time.time_ns() % 10_000), on_event=note)
    assert len(steps["LTX2Sampler"]) >= 5
    sampler = [event["phase"] for event in phases if prompt[event["node"]]["class_type"] == "LTX2Sampler"]
    # Weights are read under their own name, and what is over in a moment (the preview's colours) has no bar at all.
    assert sorted(set(sampler)) == ["Reading the transformer", "Sampling"]
    assert sampler == sorted(sampler)
    last = [event for event in phases if event["phase"] == "Sampling"][-1]
    assert (last["unit"], last["done"], last["total"]) == ("step", 5, 5)
    assert {"Reading the text encoder", "Decoding"} <= {event["phase"] for event in phases}
    # A bar that is full is a node that is done: reading fills the half.
    reading = [value / limit for phase, value, limit in bars if phase == "Reading the transformer"]
    assert reading and max(reading) <= 0.5
    assert "LTX-2 Sampling: 100%" in server.log
    assert len(steps["LTX2VideoVAEDecode"]) >= 1


def test_an_interrupted_run_stops_soon_and_the_next_one_works(server: Server) -> None:
    prompt = load("text-to-video", steps=900)
    sampler = next(key for key, node in prompt.items() if node["class_type"] == "LTX2Sampler")
    interrupted: list[float] = []

    def interrupt(event: Event) -> None:
        state = event["data"].get("nodes", {}).get(sampler, {}) if event["type"] == "progress_state" else {}
        if not interrupted and state.get("state") == "running" and state["value"] >= 1:
            interrupted.append(time.monotonic())
            server.client.interrupt()

    result = server.client.run(prompt, on_event=interrupt)
    assert (result.status, result.node_id) == ("interrupted", sampler)
    assert time.monotonic() - interrupted[0] < 5
    assert run(server, load("text-to-video")).files


@pytest.mark.parametrize(
    ("type", "inputs", "words"),
    [
        ("LTX2EmptyLatents", {"width": 100}, ["width", "100", "96 or 128"]),
        ("LTX2EmptyLatents", {"height": 0}, ["height"]),
        ("LTX2EmptyLatents", {"length": 100}, ["length", "100", "97 or 105"]),
        ("LTX2EmptyLatents", {"frame_rate": 0.0}, ["frame_rate"]),
        ("LTX2EmptyLatents", {"frame_rate": -24.0}, ["frame_rate"]),
        ("LTX2CheckpointLoader", {"checkpoint": "no-such-file.safetensors"}, ["checkpoint", "no-such-file"]),
        ("LTX2CheckpointLoader", {"checkpoint": "truncated.safetensors"}, ["truncated.safetensors"]),
        ("LTX2CheckpointLoader", {"checkpoint": "empty.safetensors"}, ["empty"]),
        ("LTX2CheckpointLoader", {"checkpoint": "html.safetensors"}, ["HTML"]),
        ("LTX2CheckpointLoader", {"checkpoint": "lfs-pointer.safetensors"}, ["LFS"]),
        ("LTX2CheckpointLoader", {"checkpoint": "pickle.safetensors"}, ["pickle"]),
        ("LTX2CheckpointLoader", {"precision": "fp4"}, ["precision"]),
        ("LTX2TextEncoderLoader", {"text_encoder": "no-such-folder"}, ["no-such-folder"]),
        ("LTX2GuidanceParameters", {"stg_blocks": "two"}, ["stg_blocks", "two"]),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_a_wrong_value_is_refused_when_queued(
    server: Server, type: str, inputs: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(PromptRejected) as refusal:
        server.client.queue(changed(load("text-to-video"), type, **inputs))
    missing = [word for word in words if word.lower() not in str(refusal.value).lower()]
    assert missing == [], str(refusal.value)
    types = {node["class_type"] for node in refusal.value.node_errors.values()}
    assert types == {type}


@pytest.mark.parametrize(
    ("source", "input_name", "words"),
    [
        ({"class_type": "PrimitiveInt", "inputs": {"value": 100}}, "width", ["width", "100", "96 or 128"]),
        ({"class_type": "PrimitiveInt", "inputs": {"value": 100}}, "length", ["length", "100", "97 or 105"]),
        ({"class_type": "PrimitiveFloat", "inputs": {"value": 0.0}}, "frame_rate", ["frame_rate"]),
    ],
    ids=["width", "length", "frame_rate"],
)
def test_a_wrong_value_on_a_wire_is_refused_before_anything_is_loaded(
    server: Server, source: dict[str, Any], input_name: str, words: list[str]
) -> None:
    prompt = changed(load("text-to-video"), "LTX2EmptyLatents", **{input_name: ["wire", 0]}) | {"wire": source}
    result = server.client.run(prompt)
    assert result.status == "error"
    assert prompt[result.node_id]["class_type"] == "LTX2EmptyLatents"
    assert all(word in result.error for word in words), result.error


@pytest.mark.parametrize(
    ("type", "inputs", "words"),
    [
        ("LTX2Guider", {"negative": None}, ["negative", "cfg"]),
        ("LTX2Sampler", {"swap": True}, ["latent"]),
    ],
    ids=["no negative prompt", "latents swapped"],
)
def test_wrong_wiring_is_refused(server: Server, type: str, inputs: dict[str, Any], words: list[str]) -> None:
    prompt = load("text-to-video")
    node = next(node["inputs"] for node in prompt.values() if node["class_type"] == type)
    if "swap" in inputs:
        node["video_latent"], node["audio_latent"] = node["audio_latent"], node["video_latent"]
    else:
        for name in inputs:
            del node[name]
    result = server.client.run(prompt)
    assert result.status == "error"
    assert prompt[result.node_id]["class_type"] == type
    assert all(word in result.error for word in words), result.error
