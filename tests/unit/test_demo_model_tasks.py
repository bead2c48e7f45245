"""What the demo model is trained on is what the library shows it: guides, references, kept regions, LoRA files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.conditioning.item import ConditioningItem
from ltx_core_impl.conditioning.tools import VideoLatentTools
from ltx_core_impl.conditioning.video_items import VideoConditionByKeyframeIndex, VideoConditionByReferenceLatent
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.types import SpatioTemporalScaleFactors, VideoLatentShape
from tools.demo_model import diffusion, export, low_rank, train_transformer
from tools.demo_model.latents import LARGE_SHARE, STILLS
from tools.demo_model.settings import CONFIG, LATENT_CHANNELS, VIDEO_SCALE
from tools.demo_model.world import FPS

CLIPS, FRAMES, SIDE, SOUND = 2 * LARGE_SHARE, 5, 4, 53


@pytest.fixture(scope="module")
def corpus() -> train_transformer.Corpus:
    torch.manual_seed(0)
    latents = {
        "video": torch.randn(CLIPS, LATENT_CHANNELS, FRAMES, SIDE, SIDE),
        "large": torch.randn(CLIPS // LARGE_SHARE, LATENT_CHANNELS, FRAMES, 2 * SIDE, 2 * SIDE),
        "stills": torch.randn(CLIPS, len(STILLS), LATENT_CHANNELS, SIDE, SIDE),
        "audio": torch.randn(CLIPS, 8, SOUND, 16),
    }
    return train_transformer.Corpus(latents)


@pytest.mark.parametrize("kind", ["keyframe", "reference"])
def test_guides_lie_where_the_library_puts_them(corpus: train_transformer.Corpus, kind: str) -> None:
    latent = corpus.latents["video"][:1]
    stream = diffusion.Stream.of_video(latent)
    item: ConditioningItem
    if kind == "keyframe":
        guide, frame = corpus.latents["stills"][:1, 1].unsqueeze(2), STILLS[1]
        trained = train_transformer.with_keyframe(stream, guide, frame)
        item = VideoConditionByKeyframeIndex(keyframes=guide, frame_idx=frame, strength=1.0)
    else:
        guide = corpus.latents["video"][1:2]
        trained = train_transformer.with_reference(stream, guide)
        item = VideoConditionByReferenceLatent(latent=guide)
    tools = VideoLatentTools(
        VideoLatentShape.from_torch_shape(latent.shape),
        fps=FPS,
        scale_factors=SpatioTemporalScaleFactors(*VIDEO_SCALE),
    )
    state = item.apply_to(tools.create_initial_state(device="cpu", dtype=torch.float32, initial_latent=latent), tools)
    torch.testing.assert_close(trained.clean, state.clean_latent)
    torch.testing.assert_close(trained.positions, state.positions)
    torch.testing.assert_close(trained.mask, state.denoise_mask)


@pytest.mark.parametrize("task", list(train_transformer.TASKS))
def test_a_task_gives_something_and_asks_for_something(corpus: train_transformer.Corpus, task: str) -> None:
    generator = torch.Generator().manual_seed(3)
    clips = torch.tensor([0, LARGE_SHARE])
    video, audio = train_transformer.draw_streams(corpus, task, clips, generator)
    cells = SIDE**2 * (4 if task == "large" else 1)
    given = [int((1 - stream.mask).sum()) for stream in (video, audio)]
    if task == "everything":
        assert given == [0, 0]
    elif task == "first frame":
        assert given == [2 * cells, 0]
        assert not video.mask[:, :cells].any()
    elif task == "keyframe":
        assert given[0] % (2 * cells) == 0
        assert video.mask[:, : FRAMES * cells].all()
    elif task == "picture of sound":
        assert given == [0, 2 * SOUND]
    elif task == "sound of picture":
        assert given == [2 * FRAMES * cells, 0]
    assert video.mask.any() or audio.mask.any()
    assert video.clean.shape[1] >= FRAMES * cells


def test_the_same_moments_of_picture_and_sound_are_made_anew(corpus: train_transformer.Corpus) -> None:
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        video, audio = train_transformer.draw_streams(corpus, "part", torch.arange(4), generator)
        for row in range(4):
            new = video.mask[row].view(FRAMES, -1).amax(dim=1).nonzero().flatten()
            heard = audio.mask[row, :, 0].nonzero().flatten()
            assert len(new)
            assert torch.equal(new, torch.arange(int(new[0]), int(new[-1]) + 1))
            starts = (VIDEO_SCALE[0] * (new[0] - 1) + 1).clamp(min=0) / FPS
            end = (VIDEO_SCALE[0] * new[-1] + 1) / FPS
            assert abs(float(heard[0]) / train_transformer.AUDIO_LATENTS_PER_SECOND - float(starts)) <= 0.02
            assert abs(float(heard[-1] + 1) / train_transformer.AUDIO_LATENTS_PER_SECOND - float(end)) <= 0.02


def test_a_lora_file_adds_what_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = diffusion.DiffusionModel()
    base = {key: value.clone() for key, value in model.published_state()[0].items()}
    updates = low_rank.add_low_rank(model)
    with torch.no_grad():
        for update in updates.values():
            update.up.normal_(std=0.1)
    state = tmp_path / "lora.safetensors"
    save_file({f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}, state)
    metadata = {"config": json.dumps(CONFIG)}
    export.write(tmp_path / "x.safetensors", {f"model.diffusion_model.{k}": v for k, v in base.items()}, metadata)
    export.write(tmp_path / "y.safetensors", low_rank.lora_state(state), {})
    fused = (
        SingleGPUModelBuilder(LTXModelConfigurator, tmp_path / "x.safetensors")
        .lora(tmp_path / "y.safetensors")
        .build("cpu", torch.float32)
    )
    for name in ("transformer_blocks.0.attn1.to_q", "transformer_blocks.5.audio_ff.net.2"):
        trained = model.transformer.get_submodule(name).weight
        plain = base[f"{name}.weight"]
        assert (trained - plain).abs().max() > 0.01
        torch.testing.assert_close(fused.get_submodule(name).weight, trained, rtol=0.02, atol=0.01)
