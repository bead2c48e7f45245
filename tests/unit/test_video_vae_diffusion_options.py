"""The diffusion decoder's choices: denoising steps, and how much memory tiles need."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.model.video_vae import AxisTiling, PerAxisTiling, auto_tiling
from ltx_core_impl.model.video_vae.diffusion import working_bytes
from ltx_core_impl.model.video_vae.diffusion.room_tiling import stage_feature_bytes
from tests.unit.test_video_vae_diffusion import published, seeded, tiny
from tests.unit.video_vae_fixtures import latent_input

MODEL_BYTES = 834_267_232
GIB = 2**30


def test_with_steps_is_the_decoder_built_with_that_many() -> None:
    latent = latent_input(1, 8, 3, 2, 3)
    one = tiny()
    three = one.with_steps(3)
    assert torch.equal(three(latent, generator=seeded()), tiny(steps=3)(latent, generator=seeded()))
    assert torch.equal(one(latent, generator=seeded()), tiny()(latent, generator=seeded())), "the first is unchanged"
    assert all(a is b for a, b in zip(one.parameters(), three.parameters(), strict=True)), "weights are shared"


def test_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="at least 1 step; got 0"):
        tiny().with_steps(0)


@pytest.mark.parametrize("gib", [6, 12, 24])
def test_automatic_tiles_fit_into_the_memory_they_were_chosen_for(gib: int) -> None:
    params, size = published(), (16, 16, 24)
    chosen = auto_tiling(params, size, gib * GIB, MODEL_BYTES)
    assert working_bytes(params, size, chosen) + 2 * GIB <= gib * GIB


def test_float32_takes_twice_the_memory_and_smaller_tiles() -> None:
    params, size = published(), (16, 16, 24)
    half, full = (auto_tiling(params, size, 12 * GIB, MODEL_BYTES, element_bytes=width) for width in (2, 4))
    assert working_bytes(params, size, half, element_bytes=4) == 2 * working_bytes(params, size, half)
    assert working_bytes(params, size, half, element_bytes=4) + 2 * GIB > 12 * GIB, "the tiles of 16 bits are too large"
    assert working_bytes(params, size, full, element_bytes=4) + 2 * GIB <= 12 * GIB


def test_working_bytes_grow_with_the_tile_and_end_at_the_whole_clip() -> None:
    params, size = published(), (16, 16, 24)  # 121 frames of 512 x 768
    small = PerAxisTiling(frames=AxisTiling(80, 40), height=AxisTiling(320, 160), width=AxisTiling(320, 160))
    large = PerAxisTiling(frames=AxisTiling(1000, 40), height=AxisTiling(1024, 160), width=AxisTiling(1024, 160))
    whole = working_bytes(params, size, None)
    assert stage_feature_bytes(params, size) < working_bytes(params, size, small) < whole
    assert working_bytes(params, size, large) == whole
