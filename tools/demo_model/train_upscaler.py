"""Trains the spatial upscaler x2: latents of a picture to latents of the picture at twice the size.

python -m tools.demo_model.train_upscaler --steps 9000
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator

from .command import parse
from .latents import CHUNK, load_latents, trained_vaes, training_scenes
from .settings import LATENT_CHANNELS
from .training import Trainer, batch_generator
from .world import SIZE, render_video

PAIRS = 2048

CONFIG: dict[str, Any] = {
    "_class_name": "LatentUpsampler",
    "in_channels": LATENT_CHANNELS,
    "mid_channels": 64,
    "num_blocks_per_stage": 1,
    "dims": 3,
    "spatial_upsample": True,
    "temporal_upsample": False,
    "spatial_scale": 2.0,
    "rational_resampler": False,
}


def new_upscaler() -> nn.Module:
    """An untrained upscaler."""
    return LatentUpsamplerConfigurator.from_config(CONFIG)


@torch.no_grad()
def draw_pairs(folder: Path, count: int = PAIRS, seed: int = 11) -> tuple[Tensor, Tensor]:
    """Normalised latents of clips ``(N, C, F, H, W)`` and of the same clips at twice the size."""
    encoder = trained_vaes(folder)[0].encoder
    scenes = training_scenes(count, seed)
    pairs = []
    for start in range(0, count, CHUNK):
        chunk = scenes[start : start + CHUNK]
        pairs.append((encoder(render_video(chunk)), encoder(render_video(chunk, size=2 * SIZE))))
    small, large = map(torch.cat, zip(*pairs, strict=True))
    return small, large


def raw(latent: Tensor, statistics: dict[str, Tensor]) -> Tensor:
    """Un-normalised latents: what upscalers read and write."""
    mean, std = (statistics[f"vae.{name}"].view(1, -1, 1, 1, 1) for name in ("mean-of-means", "std-of-means"))
    return latent * std + mean


def main() -> None:
    arguments = parse(__doc__, steps=9000, batch=8, rate=1e-2)
    torch.manual_seed(arguments.seed)
    model = new_upscaler()
    latents = load_latents(arguments.folder)
    small, large = (raw(latent, latents) for latent in draw_pairs(arguments.folder))
    scale = float(large.std())
    trainer = Trainer("upscaler", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.99)

    def losses(step: int) -> dict[str, Tensor]:
        rows = torch.randint(len(large), (arguments.batch,), generator=batch_generator(arguments.seed, step))
        error = (model(small[rows]) - large[rows]) / scale
        return {"absolute": error.abs().mean(), "square": F.mse_loss(error, torch.zeros_like(error))}

    trainer.run(losses)


if __name__ == "__main__":
    main()
