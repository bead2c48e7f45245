"""Turns an example prompt, made for the published models, into one that the tiny models run in seconds on a CPU."""

from __future__ import annotations

import copy
from typing import Any

from tools.server import Prompt

VERSIONS = ("2.3", "2.0")
# The published models have 48 blocks; the tiny ones 4, and this is the block their golden cases skip.
STG_BLOCKS = "2"


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
