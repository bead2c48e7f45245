"""The demo model's training code: what it saves itself is exactly what the library computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ltx_core_impl.model.transformer import LTXModelConfigurator, Modality
from ltx_core_impl.model.video_vae import VideoDecoderConfigurator, VideoEncoderConfigurator
from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessorConfigurator, load_text_encoder
from tools.demo_model import diffusion, optimizer, pca, settings, text_encoder, training
from tools.demo_model.world import draw_scene, render_video


@pytest.fixture(scope="module")
def model() -> diffusion.DiffusionModel:
    torch.manual_seed(0)
    model = diffusion.DiffusionModel()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape))
    return model


def modality(latent: torch.Tensor, positions: torch.Tensor, context: torch.Tensor, mask: object = None) -> Modality:
    sigma = torch.tensor([0.7])
    timesteps = sigma.view(1, 1, 1).expand(1, latent.shape[1], 1)
    return Modality(latent, sigma, timesteps, positions, context, context_mask=mask)


@torch.no_grad()
def test_one_register_in_training_stands_for_a_thousand_in_the_library(model: diffusion.DiffusionModel) -> None:
    words = 11
    hidden = torch.randn(1, words, settings.TEXT_WIDTH, settings.TEXT_LAYERS + 1)
    short = model.contexts(nn.functional.pad(hidden, (0, 0, 0, 0, 0, 3)), torch.tensor([words]))

    transformer_state, processor_state = model.published_state()
    transformer = LTXModelConfigurator.from_config(settings.CONFIG)
    transformer.load_state_dict(transformer_state)
    processor = EmbeddingsProcessorConfigurator.from_config(settings.CONFIG)
    processor.load_state_dict(processor_state)
    full = processor.process_prompt(hidden, length=1024)

    video = diffusion.Stream.of_video(torch.randn(1, settings.LATENT_CHANNELS, 2, 2, 2))
    audio = diffusion.Stream.of_audio(torch.randn(1, 8, 5, 16))
    in_training = model.transformer(
        *(modality(s.clean, s.positions, c, short[2]) for s, c in zip((video, audio), short[:2], strict=True))
    )
    in_library = transformer(
        modality(video.clean, video.positions, full.video_encoding),
        modality(audio.clean, audio.positions, full.audio_encoding),
    )
    for ours, theirs in zip(in_training, in_library, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert in_library[0].abs().mean() > 1e-3


def test_principal_components_are_an_autoencoder_without_training() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    clips = render_video([draw_scene(generator) for _ in range(24)])
    encoder = VideoEncoderConfigurator.from_config(settings.CONFIG)
    decoder = VideoDecoderConfigurator.from_config(settings.CONFIG)
    pca.initialize(encoder, decoder, pca.Components(clips, generator))
    with torch.no_grad():
        restored = decoder(encoder(clips[:4]))
    error = (restored - clips[:4]).square().mean()
    assert error < 0.03 * clips[:4].square().mean()


def test_a_run_that_was_cut_off_ends_where_an_unbroken_one_ends(tmp_path: Path) -> None:
    def run(folder: Path, stops: list[int]) -> torch.Tensor:
        for stop in stops:
            torch.manual_seed(0)
            layers = nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 3))
            trainer = training.Trainer("toy", folder, layers, steps=6, peak=0.05, average=0.9)

            def losses(step: int, layers: nn.Module = layers) -> dict[str, torch.Tensor]:
                generator = training.batch_generator(1, step)
                return {"loss": layers(torch.randn(4, 12, generator=generator)).square().mean()}

            trainer.run(losses, until=stop)
        return layers[0].weight.detach()

    torch.testing.assert_close(run(tmp_path / "a", [3, 6]), run(tmp_path / "b", [6]))
    log = (tmp_path / "a" / "toy.log.jsonl").read_text().splitlines()
    assert len(log) == 2


def test_orthogonalised_updates_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 40), (40, 16), (64, 64)):
        singular = torch.linalg.svdvals(optimizer.orthogonalize(torch.randn(shape)))
        assert singular.min() > 0.3
        assert singular.max() < 1.5


def test_the_gemma_folder_loads_and_knows_its_words(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text_encoder.write_gemma(tmp_path, text_encoder.new_gemma())
    encoder = load_text_encoder(tmp_path, dtype=torch.float32)
    tokenizer = encoder.tokenizer
    unknown = tokenizer.token_id("<unk>")
    ids = tokenizer.encode("A RED circle moves to the left, slowly.")
    assert ids[0] == tokenizer.bos_id
    assert unknown not in ids
    assert unknown in tokenizer.encode("a purple zeppelin")
    [states] = encoder.hidden_states(["a red circle"])
    assert states.shape == (1, 4, settings.TEXT_WIDTH, settings.TEXT_LAYERS + 1)
    assert torch.isfinite(states).all()
