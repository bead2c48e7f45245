"""Turns an example prompt, made for the published models, into one that the tiny models run in seconds on a CPU."""

from __future__ import annotations

import copy
from typing import Any

from tools.server import Prompt

VERSIONS = ("2.3", "2.0")
# The published models have 48 blocks; the tiny ones 4, and this is the block their golden cases skip.
STG_BLOCKS = "2"
SPLIT_FILES = {
    "ltx-2.5-22b-dev-transformer-bf16": "ltx-2.5-tiny-transformer-bf16",
    "ltx-2.5-22b-distilled-transformer-bf16": "ltx-2.5-tiny-transformer-bf16",
    "ltx-2.5-22b-distilled-lora-450-bf16": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-pixel-spatial-upscaler-x2-1.0": "ltx-2.5-tiny-ic-lora-pixel-spatial-upscaler-x2-1.0",
    "ltx-2.5-22b-ic-lora-alpha-gen-0.9": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-refine-details-1.0": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-day-to-night-0.9": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-sdr-to-hdr-1.0": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-sdr-to-hdr-scene-emb": "ltx-2.5-tiny-scene-emb",
    "ltx-2.3-22b-ic-lora-in-outpainting-0.9": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-colorization-0.9": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-ingredients-0.9": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-ic-lora-layout-to-render-1.0": "ltx-2.5-tiny-distilled-lora-bf16",
    "ltx-2.5-22b-lora-slow-motion-control-1.0": "ltx-2.5-tiny-distilled-lora-bf16",
    # These want references of half the size.
    "ltx-2.3-22b-ic-lora-union-control-ref0.5": "ltx-2.5-tiny-ic-lora-pixel-spatial-upscaler-x2-1.0",
    "ltx-2.3-22b-ic-lora-motion-track-control-ref0.5": "ltx-2.5-tiny-ic-lora-pixel-spatial-upscaler-x2-1.0",
    "ltx-2.5-video-vae-bf16": "ltx-2.5-tiny-video-vae-bf16",
    "ltx-2.5-audio-vae-bf16": "ltx-2.5-tiny-audio-vae-bf16",
    "ltx-2.5-duration-head-bf16": "ltx-2.5-tiny-duration-head-bf16",
    "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0": "ltx-2.5-tiny-latent-spatial-upscaler-x2-bf16-1.0",
    "ltx-2.5-latent-temporal-upscaler-x2-bf16-1.0": "ltx-2.5-tiny-latent-temporal-upscaler-x2-bf16-1.0",
    "gemma4-12b-with-proj-ltx-2.5-bf16": "gemma4-tiny-with-proj-ltx-2.5-bf16",
}
"""The published files of LTX-2.5 and their tiny counterparts."""


def with_tiny_models(
    prompt: Prompt, version: str = "2.3", *, width: int = 192, height: int = 128, length: int = 25, steps: int = 4
) -> Prompt:
    """A copy of the prompt with the tiny files of a version, a small clip and few steps; the rest is unchanged."""
    tiny = f"ltx-{version}-tiny"
    values: dict[str, dict[str, Any]] = {
        "LTX2CheckpointLoader": {"checkpoint": f"{tiny}.safetensors"},
        "LTX2LoraLoader": {"lora": f"{tiny}-lora-a.safetensors"},
        "LTX2TextEncoderLoader": {"text_encoder": "gemma-3-tiny"},
        "LTX2UpscalerLoader": {"upscaler": f"{tiny}-spatial-upscaler-x2.safetensors"},
        "LTX2EmptyLatents": {"width": width, "height": height, "length": length},
        "LTX2Scheduler": {"steps": steps},
        "LTX2GuidanceParameters": {"preset": "custom", "stg_blocks": STG_BLOCKS},
    }
    result = copy.deepcopy(prompt)
    for node in result.values():
        inputs = node["inputs"]
        # What comes over a wire stays on it.
        inputs |= {k: v for k, v in values.get(node["class_type"], {}).items() if not isinstance(inputs.get(k), list)}
    return result


def with_tiny_split_files(prompt: Prompt, *, width: int, height: int, length: int, steps: int = 2) -> Prompt:
    """A copy of a prompt of LTX-2.5 with its tiny files, a small clip and few steps; the rest is unchanged."""
    files = {f"{published}.safetensors": f"{tiny}.safetensors" for published, tiny in SPLIT_FILES.items()}
    values: dict[str, dict[str, Any]] = {
        "LTX2EmptyLatents": {"width": width, "height": height, "length": length},
        "LTX2DFRCanvas": {"length": length},
        "LTX2DrawTracks": {"width": width, "height": height, "length": length},
        "LTX2ReferenceSheet": {"width": width, "height": height, "length": length, "gap": 1},
        "LTX2Scheduler": {"steps": steps},
        "LTX2GuidanceParameters": {"preset": "custom", "stg_blocks": STG_BLOCKS},
    }
    result = copy.deepcopy(prompt)
    for node in result.values():
        inputs = node["inputs"]
        inputs |= {k: files[v] for k, v in inputs.items() if isinstance(v, str) and v in files}
        inputs |= {k: v for k, v in values.get(node["class_type"], {}).items() if not isinstance(inputs.get(k), list)}
    return result
