"""Trains the audio VAE on the log-mel spectrograms of rendered sound.

python -m tools.demo_model.train_audio_vae --steps 900
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator, make_audio_processor
from ltx_core_impl.types import Audio

from .command import parse
from .settings import CONFIG
from .training import Trainer, batch_generator
from .world import SAMPLE_RATE, draw_scene, render_audio

LATENT_NOISE, LATENT_WEIGHT = 0.1, 1e-3
WINDOW = 49  # mel frames, 4k + 1
TYPICAL_LOG_MEL = -9.0


class AudioVAE(nn.Module):
    """Encoder and decoder side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AudioEncoderConfigurator.from_config(CONFIG)
        self.decoder = AudioDecoderConfigurator.from_config(CONFIG)
        nn.init.constant_(self.decoder.conv_out.conv.bias, TYPICAL_LOG_MEL)


def draw_sounds(generator: torch.Generator, batch: int) -> Tensor:
    """Waveforms ``(B, 2, samples)``; a third of them beep."""
    scenes = []
    for index in range(batch):
        fixed = {"motion": "bounce"} if index % 3 == 0 else {}
        scenes.append(draw_scene(generator, **fixed))
    loudness = 0.6 + 0.6 * torch.rand(batch, 1, 1, generator=generator)
    return render_audio(scenes) * loudness


def log_mel(waveform: Tensor, processor: nn.Module) -> Tensor:
    """``(B, 2, M, 64)``."""
    with torch.no_grad():
        return processor(Audio(waveform=waveform, sampling_rate=SAMPLE_RATE))


def measure_statistics(model: AudioVAE, seed: int, clips: int = 192) -> None:
    """Set both statistics so that every feature of a latent has mean 0 and deviation 1."""
    processor = make_audio_processor(model.encoder)
    generator = batch_generator(seed, -1)
    with torch.no_grad():
        latents = [model.encoder(log_mel(draw_sounds(generator, 12), processor)) for _ in range(clips // 12)]
    features = torch.cat(latents).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    for half in (model.encoder, model.decoder):
        statistics = half.per_channel_statistics
        statistics.get_buffer("mean-of-means").copy_(features.mean(dim=0))
        statistics.get_buffer("std-of-means").copy_(features.std(dim=0).clamp(min=0.05))


def main() -> None:
    arguments = parse(__doc__, steps=900, batch=6, rate=1e-2)
    torch.manual_seed(arguments.seed)
    model = AudioVAE()
    processor = make_audio_processor(model.encoder)
    trainer = Trainer("audio_vae", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.99)

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        mel = log_mel(draw_sounds(generator, arguments.batch), processor)
        start = int(torch.randint(mel.shape[2] - WINDOW, (), generator=generator)) if step % 3 else 0
        mel = mel[:, :, start : start + WINDOW]
        latent = model.encoder(mel)
        noise = torch.randn(latent.shape, generator=generator)
        error = model.decoder(latent + LATENT_NOISE * noise) - mel
        # Loud bands are what is heard: they count more than the floor.
        weight = ((mel + 11.6) / 4).clamp(0.3, 2.5)
        return {"log_mel": (weight * error.abs()).mean(), "latent": LATENT_WEIGHT * latent.square().mean()}

    trainer.run(losses)


if __name__ == "__main__":
    main()
