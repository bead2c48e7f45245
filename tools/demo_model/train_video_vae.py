"""Trains the video VAE on rendered clips, starting from principal components.

python -m tools.demo_model.train_video_vae --steps 1500
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator

from .command import parse
from .pca import Components, initialize
from .settings import CONFIG
from .training import Trainer, batch_generator
from .world import FRAMES, SIZE, draw_scene, render_video

CLIP_FRAMES = (9, 17)
LATENT_NOISE, LATENT_WEIGHT = 0.05, 1e-4
FIT_CLIPS = 96


class VideoVAE(nn.Module):
    """Encoder and decoder side by side; raw latents are only measured after training."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = VideoEncoderConfigurator.from_config(CONFIG)
        self.decoder = VideoDecoderConfigurator.from_config(CONFIG)


def draw_clips(generator: torch.Generator, batch: int, frames: int) -> Tensor:
    """Clips ``(B, 3, F, 64, 64)``, a quarter bouncing; some are windows of larger pictures."""
    scenes = [draw_scene(generator, **({"motion": "bounce"} if index % 4 == 0 else {})) for index in range(batch)]
    fps = 8.0 if torch.rand((), generator=generator) < 0.75 else 12.0
    start = float(torch.rand((), generator=generator)) * (FRAMES - frames) / 8.0
    if torch.rand((), generator=generator) < 0.7:
        return render_video(scenes, frames=frames, fps=fps, start=start)
    large = render_video(scenes, frames=frames, fps=fps, start=start, size=2 * SIZE)
    top, left = (int(torch.randint(SIZE + 1, (), generator=generator)) for _ in range(2))
    return large[..., top : top + SIZE, left : left + SIZE].contiguous()


def start_from_components(model: VideoVAE, seed: int) -> None:
    """Fit and place the principal components, and normalise the latents."""
    generator = batch_generator(seed, -2)
    scenes = [draw_scene(generator) for _ in range(FIT_CLIPS)]
    initialize(model.encoder, model.decoder, Components(render_video(scenes), generator))
    measure_statistics(model, seed)


@torch.no_grad()
def measure_statistics(model: VideoVAE, seed: int, clips: int = 192) -> None:
    """Set both statistics so that latents have mean 0 and deviation 1 in every channel."""
    generator = batch_generator(seed, -1)
    scenes = [draw_scene(generator) for _ in range(clips)]
    statistics = model.encoder.per_channel_statistics
    latents = [model.encoder(render_video(scenes[start : start + 8])) for start in range(0, clips, 8)]
    values = statistics.un_normalize(torch.cat(latents)).transpose(0, 1).flatten(1)
    for half in (model.encoder, model.decoder):
        statistics = half.per_channel_statistics
        statistics.get_buffer("mean-of-means").copy_(values.mean(dim=1))
        statistics.get_buffer("std-of-means").copy_(values.std(dim=1).clamp(min=1e-3))


def main() -> None:
    arguments = parse(__doc__, steps=1500, batch=4, rate=8e-4)
    torch.manual_seed(arguments.seed)
    model = VideoVAE()
    start_from_components(model, arguments.seed)
    trainer = Trainer("video_vae", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.995)

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        frames = CLIP_FRAMES[int(step % 8 == 0)]
        clips = draw_clips(generator, arguments.batch if frames == CLIP_FRAMES[0] else arguments.batch // 2, frames)
        latent = model.encoder(clips)
        noise = torch.randn(latent.shape, generator=generator)
        restored = model.decoder(latent + LATENT_NOISE * noise)
        error = restored - clips
        return {
            "absolute": error.abs().mean(),
            "square": 2 * error.square().mean(),
            "latent": LATENT_WEIGHT * latent.square().mean(),
        }

    trainer.run(losses)


if __name__ == "__main__":
    main()
