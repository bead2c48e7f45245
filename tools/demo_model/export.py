"""Writes what was trained as files that load like any other model.

python -m tools.demo_model.export --target models/demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .command import DEFAULT_FOLDER
from .diffusion import DiffusionModel
from .latents import trained_vaes
from .low_rank import lora_state
from .settings import CONFIG, MODEL_VERSION
from .text_encoder import write_gemma
from .train_control import METADATA as CONTROL_METADATA
from .train_text import PromptReader
from .train_upscaler import CONFIG as UPSCALER_CONFIG
from .train_upscaler import new_upscaler
from .train_vocoder import new_vocoder
from .training import load_trained

CHECKPOINT = "ltx-2.3-demo.safetensors"
LORA = "ltx-2.3-demo-distilled-lora.safetensors"
CONTROL = "ltx-2.3-demo-outline-ic-lora.safetensors"
UPSCALER = "ltx-2.3-demo-spatial-upscaler-x2.safetensors"
GEMMA = "gemma-3-demo"
LICENSE = "Apache-2.0"
STATISTICS = "per_channel_statistics."


def combined_state(folder: Path) -> dict[str, Tensor]:
    """Every component under the prefixes of a combined checkpoint."""
    transformer, processor = load_trained(folder / "transformer.safetensors", DiffusionModel()).published_state()
    video, audio = trained_vaes(folder)
    state = {f"model.diffusion_model.{key}": value for key, value in transformer.items()}
    for key, value in processor.items():
        name = key.replace("feature_extractor.", "text_embedding_projection.")
        for stream in ("video", "audio"):
            name = name.replace(f"{stream}_connector.", f"model.diffusion_model.{stream}_embeddings_connector.")
        state[name] = value
    for prefix, vae in (("vae", video), ("audio_vae", audio)):
        for part in ("encoder", "decoder"):
            for key, value in getattr(vae, part).state_dict().items():
                shared = key.startswith(STATISTICS)
                state[f"{prefix}.{key}" if shared else f"{prefix}.{part}.{key}"] = value
    vocoder = load_trained(folder / "vocoder.safetensors", new_vocoder())
    return state | {f"vocoder.{key}": value for key, value in vocoder.state_dict().items()}


def write(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Save in bf16, statistics of the latents in float32."""
    tensors = {
        key: value.detach().to(torch.float32 if STATISTICS in key else torch.bfloat16).contiguous().clone()
        for key, value in state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"model_version": MODEL_VERSION, "license": LICENSE} | metadata)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


def upscaler_state(folder: Path) -> dict[str, Tensor]:
    """The trained upscaler."""
    model: nn.Module = load_trained(folder / "upscaler.safetensors", new_upscaler())
    return dict(model.state_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="states of the training steps")
    parser.add_argument("--target", type=Path, default=Path("models/demo"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = {"config": json.dumps(CONFIG)}
    write(arguments.target / CHECKPOINT, combined_state(arguments.folder), config)
    write_gemma(arguments.target / GEMMA, load_trained(arguments.folder / "text.safetensors", PromptReader()).gemma)
    if (arguments.folder / "upscaler.safetensors").is_file():
        state = upscaler_state(arguments.folder)
        write(arguments.target / UPSCALER, state, {"config": json.dumps(UPSCALER_CONFIG)})
    for name, file, metadata in (("lora", LORA, {}), ("control", CONTROL, CONTROL_METADATA)):
        state_file = arguments.folder / f"{name}.safetensors"
        if state_file.is_file():
            write(arguments.target / file, lora_state(state_file), metadata)


if __name__ == "__main__":
    main()
