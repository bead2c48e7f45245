"""Conditioning items against the reference's states, under the rules of both generations."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_core_impl.components.noisers import apply_noise
from ltx_core_impl.conditioning.attention_strength import ConditioningItemAttentionStrengthWrapper
from ltx_core_impl.conditioning.keyframe_slots import VideoGeneratedKeyframeSlots
from ltx_core_impl.conditioning.reference_audio import AudioConditionByReferenceLatent
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES, LTX_2_RULES
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByMask,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.types import AudioLatentShape, LatentState, VideoLatentShape
from tests.conftest import assert_close, golden

CASES = {version: golden(version, "conditioning") for version in ("2.0", "2.5")}
FIELDS = ("latent", "clean_latent", "denoise_mask", "positions", "keyframes_mask", "attention_mask")
SHAPE = VideoLatentShape(batch=1, channels=128, frames=3, height=2, width=3)
TOOLS = {
    "2.0": VideoLatentTools(SHAPE, fps=25.0, rules=LTX_2_RULES),
    "2.5": VideoLatentTools(SHAPE, fps=25.0, rules=LTX_2_5_RULES),
}
AUDIO_TOOLS = AudioLatentTools(AudioLatentShape(batch=1, channels=8, frames=17, mel_bins=16), rules=LTX_2_5_RULES)


def items(version: str) -> dict[str, list]:
    case = CASES[version]
    image, reference = case["image_latent"], case["reference_latent"]
    plain = VideoConditionByReferenceLatent(reference, downscale_factor=1 if version == "2.0" else 2)
    found = {
        "index0": [VideoConditionByLatentIndex(image, strength=0.9, latent_idx=0)],
        "keyframe0": [VideoConditionByKeyframeIndex(image, frame_idx=0, strength=1.0)],
        "keyframe8": [VideoConditionByKeyframeIndex(image, frame_idx=8, strength=0.8)],
        "reference": [plain],
        "reference_half_attention": [ConditioningItemAttentionStrengthWrapper(plain, attention_mask=0.5)],
    }
    if version == "2.0":
        return found
    clip, slots = case["clip_latent"], case["slot_latents"]
    repeated = torch.cat([clip[:, :, :1]] * 3, dim=2)
    found |= {
        "clip8": [VideoConditionByKeyframeIndex(clip, frame_idx=8, strength=0.7, num_pixel_frames=9)],
        "reference_slow": [VideoConditionByReferenceLatent(case["slow_latent"], temporal_scale_factor=4, strength=0.6)],
        "mask": [VideoConditionByMask(repeated, mask=case["mask"], strength=0.75)],
        "slots": [VideoGeneratedKeyframeSlots([5, 11])],
        "slots_seeded": [VideoGeneratedKeyframeSlots([5, 11], initial_keyframes=slots)],
        "reference_audio": [
            AudioConditionByReferenceLatent(
                case["reference_audio_tokens"], positions=case["reference_audio_positions"], strength=0.9
            )
        ],
    }
    found["chain"] = [*found["index0"], *found["keyframe8"], *found["slots_seeded"]]
    return found


def applied(version: str, name: str) -> LatentState:
    tools = AUDIO_TOOLS if name == "reference_audio" else TOOLS[version]
    state = tools.create_initial_state(device="cpu", dtype=torch.float32)
    for item in items(version)[name]:
        state = item.apply_to(state, tools)
    return state


@pytest.mark.parametrize(("version", "name"), [(version, name) for version in CASES for name in items(version)])
def test_item(version: str, name: str) -> None:
    state = applied(version, name)
    expected = {field: CASES[version].get(f"{name}.{field}") for field in FIELDS}
    if version == "2.0":
        expected.pop("keyframes_mask")
    for field, value in expected.items():
        actual = getattr(state, field)
        if value is None:
            assert actual is None, field
        elif field in ("denoise_mask", "positions", "keyframes_mask", "attention_mask"):
            assert actual.dtype == torch.float32
            assert torch.equal(actual, value), field
        else:
            assert_close(actual, value, tolerance=1e-6)


def test_chain_is_noised_and_cleared_like_the_reference() -> None:
    case, tools = CASES["2.5"], TOOLS["2.5"]
    state = applied("2.5", "chain")
    noised = apply_noise(state, case["chain_noise"], noise_scale=0.909375)
    assert_close(noised.latent, case["chain_noised"], tolerance=1e-6)
    cleared = tools.unpatchify(tools.clear_conditioning(replace(state, latent=case["chain_final"])))
    assert torch.equal(cleared.latent, case["cleared_latent"])
    assert torch.equal(cleared.generated_keyframes, case["cleared_keyframes"])
    assert cleared.attention_mask is None
    assert cleared.keyframes_mask is None
    assert torch.equal(cleared.denoise_mask, torch.ones(1, 1, 3, 2, 3))
