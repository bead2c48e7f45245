"""Input files for the graphs of the pipelines, and their prompts with the tiny models."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ltx_core_impl.media import write_video, write_wav
from ltx_core_impl.types import Audio
from tools.graphs.tiny import with_tiny_models, with_tiny_split_files
from tools.provision import REPO
from tools.server import Prompt

WIDTH, HEIGHT, FPS = 64, 64, 25
SOURCE_FRAMES, FRAMES = 20, 17
SOUND_RATE = 44_100
WINDOW = (0.40, 0.50)
"""A retake of frames 9 to 16, the last latent frame."""

SIZE = {"width": WIDTH, "height": HEIGHT, "length": FRAMES, "steps": 2}
IC_LORA = "ltx-{}-tiny-lora-b.safetensors"  # its file wants references of half the size


def moving_picture(frames: int, seed: int) -> torch.Tensor:
    """A bright square that moves over soft colours: uint8 ``(F, H, W, 3)``, easy for a video encoder."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(1, 3, 2, 2, generator=generator) * 200
    ground = torch.nn.functional.interpolate(colours, size=(HEIGHT, WIDTH), mode="bilinear")[0].movedim(0, -1)
    film = ground.expand(frames, -1, -1, -1).clone()
    for index in range(frames):
        left = (seed * 17 + index * 4) % (WIDTH - 16)
        film[index, 20:40, left : left + 16] = 255
    return film.to(torch.uint8)


def tone(seconds: float, frequency: float, channels: int = 2) -> Audio:
    """A sine."""
    time = torch.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return Audio(0.5 * torch.sin(2 * math.pi * frequency * time).expand(channels, -1), SOUND_RATE)


def write_inputs(folder: Path) -> None:
    """Everything that the graphs load, each also as another one that may take its place."""
    for name, seed in (("source", 1), ("other", 2)):
        film = moving_picture(SOURCE_FRAMES, seed)
        sound = tone(SOURCE_FRAMES / FPS, 440.0 * seed)
        write_video(folder / f"{name}.mp4", [film.float() / 255], fps=FPS, audio=sound, crf=4)
        Image.fromarray(film[0].numpy()).resize((200, 90)).save(folder / f"{name}.png")
        write_wav(folder / f"{name}.wav", tone(1.0, 440.0 * seed, channels=1))
    mask = Image.new("RGB", (WIDTH, HEIGHT))
    mask.paste((255, 0, 0), (0, 0, WIDTH // 2, HEIGHT))
    mask.save(folder / "mask.png")


def pipeline_prompt(name: str, version: str = "2.3") -> Prompt:
    """The API form of a graph with tiny models, few steps and the test inputs."""
    path = REPO / "workflows" / "api" / f"{name}.json"
    prompt = with_tiny_models(json.loads(path.read_text("utf-8")), version, **SIZE)
    tiny = f"ltx-{version}-tiny"
    for node in prompt.values():
        inputs, title = node["inputs"], node["_meta"]["title"]
        changes: dict[str, Any] = {
            "LoadImage": {"image": "source.png"},
            "LoadImageMask": {"image": "mask.png"},
            "LoadAudio": {"audio": "source.wav"},
            "LTX2RetakeRegion": dict(zip(("start_time", "end_time"), WINDOW, strict=True)),
            "LTX2ExtendClip": {"frames_after": 8},
            "ImagePadForOutpaint": {"left": 32, "right": 32},
        }.get(node["class_type"], {})
        if node["class_type"] == "LTX2LoraLoader" and title.startswith("IC-LoRA"):
            changes = {"lora": IC_LORA.format(version)}
        if node["class_type"] == "LTX2UpscalerLoader" and name == "temporal-upscale":
            changes = {"upscaler": f"{tiny}-temporal-upscaler-x2.safetensors"}
        if node["class_type"] == "LTX2ImageGuide" and inputs["frame_index"] > 0:
            changes = {"frame_index": 8}
        inputs |= {key: value for key, value in changes.items() if not isinstance(inputs.get(key), list)}
    return prompt


def prompt_25(name: str, **size: int) -> Prompt:
    """The API form of an official graph of LTX-2.5 on its tiny split files, with the test inputs."""
    path = REPO / "workflows" / "api" / f"{name}.json"
    size = {"width": WIDTH, "height": HEIGHT, "length": FRAMES} | size
    prompt = with_tiny_split_files(json.loads(path.read_text("utf-8")), **size)
    changes: dict[str, dict[str, Any]] = {
        "LoadImage": {"image": "source.png"},
        "LoadImageMask": {"image": "mask.png"},
        "LoadAudio": {"audio": "source.wav"},
        "ImagePadForOutpaint": {"left": 32, "right": 32},
        "LTX2FitVideo": {"width": 0, "height": 0},
        # The published numbers cover the whole of a small picture.
        "LTX2InpaintFill": {"grow": 2},
        "LTX2PyramidBlend": {"levels": 1},
    }
    for node in prompt.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    return prompt


def with_inputs(prompt: Prompt, type: str, title: str | None = None, /, **inputs: Any) -> Prompt:
    """A copy with other inputs on the nodes of a type (and a title)."""
    result = json.loads(json.dumps(prompt))
    touched = [
        node["inputs"].update(inputs)
        for node in result.values()
        if node["class_type"] == type and title in (None, node["_meta"]["title"])
    ]
    assert touched, f"no {type} {title or ''} in the graph"
    return result


def with_sizes(prompt: Prompt, *numbers: int) -> Prompt:
    """The prompt with numbers in place of the outputs of 'LTX-2 Tiling Sizes', whose canvases are too large here."""
    [sizes] = [key for key, node in prompt.items() if node["class_type"] == "LTX2TilingSizes"]
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == sizes:
                node["inputs"][name] = numbers[value[1]]
    del prompt[sizes]
    return prompt
