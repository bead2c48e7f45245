"""The README's first command asserts meaning: what the trained demo model shows and sounds like in a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tools.demo_model.measure import Picture, Sound, measure_picture, measure_sound
from tools.provision import REPO
from tools.server import Server
from tools.tiny import with_demo_model

SEED = 10
Shown = tuple[Picture, Sound]


def measured(path: Path) -> Shown:
    with av.open(str(path)) as container:
        frames = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        waveform = torch.from_numpy(np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1))
    return measure_picture(frames.float() / 255), measure_sound(waveform.float(), rate)


@pytest.fixture(scope="module")
def show(server: Server) -> Callable[[str], Shown]:
    graph: dict[str, Any] = with_demo_model(json.loads((REPO / "workflows/api/text-to-video.json").read_text()))

    def run(prompt: str) -> Shown:
        guider = next(node["inputs"] for node in graph.values() if node["class_type"] == "LTX2Guider")
        graph[guider["positive"][0]]["inputs"]["prompt"] = prompt
        for node in graph.values():
            if node["class_type"] == "LTX2LatentNoise":
                node["inputs"]["seed"] = SEED
        result = server.client.run(graph)
        assert result.status == "success", result.error
        return measured(result.files[0])

    return run


def test_a_red_circle_is_red_and_moves_left_and_the_tone_is_low(show: Callable[[str], Shown]) -> None:
    picture, sound = show("a red circle moves to the left while a low tone plays")
    assert (picture.color, sound.pitch) == ("red", "low")
    assert picture.center[-1, 0] < picture.center[0, 0]


def test_another_prompt_gives_another_clip(show: Callable[[str], Shown]) -> None:
    picture, sound = show("a blue square moves to the right while a high tone plays")
    assert sound.pitch == "high"
    assert picture.color != "red"
    assert picture.center[-1, 0] > picture.center[0, 0]
