"""Trains the base generator of the vocoder to turn spectrograms back into the waveform, phase included.

All tones are multiples of the mel frame rate and start at phase 0, so the waveform is a function of the spectrogram
and plain regression does; the bandwidth extension stays silent (there is nothing above 8 kHz).

    python -m tools.demo_model.train_vocoder --steps 500
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltx_core_impl.model.audio_vae import AudioEncoderConfigurator, VocoderConfigurator, make_audio_processor
from ltx_core_impl.model.audio_vae.mel import mel_filterbank

from .command import parse
from .settings import CONFIG
from .train_audio_vae import draw_sounds, log_mel
from .training import Trainer, batch_generator

WINDOW, HOP = 32, 160
MEL_NOISE = 0.15
STFT_SIZES = (256, 1024)


def new_vocoder() -> nn.Module:
    """An untrained vocoder whose bandwidth extension adds nothing and analyses as it should."""
    model = VocoderConfigurator.from_config(CONFIG)
    nn.init.zeros_(model.bwe_generator.conv_post.weight)
    size = CONFIG["vocoder"]["bwe"]["n_fft"]
    rate, bands = CONFIG["vocoder"]["bwe"]["input_sampling_rate"], CONFIG["vocoder"]["bwe"]["num_mels"]
    window = torch.hann_window(size)
    spectrum = torch.fft.rfft(torch.eye(size))  # (sample, frequency)
    forward = torch.cat([spectrum.real, spectrum.imag], dim=1).T
    model.mel_stft.stft_fn.forward_basis.copy_((forward * window).unsqueeze(1))
    model.mel_stft.stft_fn.inverse_basis.copy_((torch.linalg.pinv(forward).T * window).unsqueeze(1))
    model.mel_stft.mel_basis.copy_(mel_filterbank(rate, size, bands).T)
    return model


def spectral_distance(produced: Tensor, wanted: Tensor) -> Tensor:
    """Mean difference of magnitudes over several window sizes."""
    total = torch.zeros(())
    for size in STFT_SIZES:
        options = {"n_fft": size, "hop_length": size // 4, "window": torch.hann_window(size), "return_complex": True}
        first, second = (torch.stft(wave.flatten(0, 1), **options).abs() for wave in (produced, wanted))
        total = total + (first - second).abs().mean() / size**0.5
    return total


def main() -> None:
    arguments = parse(__doc__, steps=500, batch=4, rate=1e-2)
    torch.manual_seed(arguments.seed)
    model = new_vocoder()
    for parameter in (*model.bwe_generator.parameters(), *model.mel_stft.parameters()):
        parameter.requires_grad_(False)
    processor = make_audio_processor(AudioEncoderConfigurator.from_config(CONFIG))
    trainer = Trainer("vocoder", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.99)

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        waveform = draw_sounds(generator, arguments.batch)
        mel = log_mel(waveform, processor)
        start = int(torch.randint(mel.shape[2] - WINDOW, (), generator=generator))
        mel = mel[:, :, start : start + WINDOW]
        wanted = waveform[..., start * HOP : (start + WINDOW) * HOP]
        level = MEL_NOISE * torch.rand((), generator=generator)
        produced = model.vocoder(mel + level * torch.randn(mel.shape, generator=generator))[..., : wanted.shape[-1]]
        error = produced - wanted
        return {
            "absolute": error.abs().mean(),
            "square": 3 * error.square().mean(),
            "spectrum": spectral_distance(produced, wanted),
        }

    trainer.run(losses)


if __name__ == "__main__":
    main()
