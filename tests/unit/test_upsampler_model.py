"""Latent upscalers (spec 03 §15-18, §19.7)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.model.upsampler import LatentUpsampler, LatentUpsamplerConfigurator, infer_config, upsample_video
from ltx_core_impl.model.upsampler.resamplers import BlurDownsample
from ltx_core_impl.model.video_vae import PerChannelStatistics
from tests.unit.video_vae_fixtures import encoder, fill, latent_input

TINY = {"in_channels": 8, "mid_channels": 32, "num_blocks_per_stage": 1}
RATIONAL = {"rational_resampler": True}
TEMPORAL = {"spatial_upsample": False, "temporal_upsample": True}


def tiny(**options: object) -> LatentUpsampler:
    return fill(LatentUpsamplerConfigurator.from_config({**TINY, **options}))


@pytest.mark.parametrize(
    ("options", "size", "total", "first", "last"),
    [
        ({}, (3, 8, 12), -48.425488866865635, [1.3355670, 1.7349579, 1.8790182, 1.5801706], 1.2061065),
        (RATIONAL, (3, 8, 12), -40.20663955807686, [1.2767097, 1.7469196, 2.1865325, 2.1323748], None),
        (
            {**RATIONAL, "spatial_scale": 1.5},
            (3, 6, 9),
            -13.688030783087015,
            [0.3332333, 0.5535987, 0.6448901, 0.2384626],
            -0.0875133,
        ),
        ({**RATIONAL, "spatial_scale": 0.75}, (3, 3, 5), -8.046639084815979, None, None),
        ({**RATIONAL, "spatial_scale": 4.0}, (3, 16, 24), -89.91029639146291, None, None),
        (TEMPORAL, (5, 4, 6), -60.592778362333775, [-0.6463677, -2.7375371, -4.1607647, -4.0806007], -1.1626594),
        ({"temporal_upsample": True}, (5, 8, 12), -145.72168520651758, None, None),
    ],
)
def test_values(
    options: dict, size: tuple[int, int, int], total: float, first: list[float] | None, last: float | None
) -> None:
    out = tiny(**options)(latent_input(1, 8, 3, 4, 6))
    assert out.shape == (1, 8, *size)
    assert out.double().sum().item() == pytest.approx(total, rel=1e-4)
    if first is not None:
        assert out.flatten()[:4].tolist() == pytest.approx(first, rel=1e-5)
    if last is not None:
        assert out.flatten()[-1].item() == pytest.approx(last, rel=1e-5)


def test_blur_downsample() -> None:
    expected = [[462, 928, 1178], [2208, 3584, 3808], [3918, 6048, 6090]]
    out = BlurDownsample(2)(torch.arange(36.0).view(1, 1, 6, 6))
    torch.testing.assert_close(out[0, 0], torch.tensor(expected) / 256)


@pytest.mark.parametrize(
    ("options", "keys", "elements"),
    [
        ({"mid_channels": 1024}, 72, 497_867_904),
        ({"mid_channels": 1024, **RATIONAL}, 73, 497_867_929),
        ({"mid_channels": 1024, **RATIONAL, "spatial_scale": 1.5}, 73, 545_058_969),
        ({"mid_channels": 512, **TEMPORAL}, 72, 130_968_192),
    ],
)
def test_published_sizes_and_inference(options: dict, keys: int, elements: int) -> None:
    config = {
        "in_channels": 128,
        "num_blocks_per_stage": 4,
        "dims": 3,
        "spatial_upsample": True,
        "temporal_upsample": False,
        "spatial_scale": 2.0,
        "rational_resampler": False,
        **options,
    }
    with torch.device("meta"):
        model = LatentUpsamplerConfigurator.from_config(config)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert (len(shapes), sum(tensor.numel() for tensor in model.state_dict().values())) == (keys, elements)
    assert infer_config(shapes) == config
    assert LatentUpsamplerConfigurator.complete_config({}, shapes) == config
    assert LatentUpsamplerConfigurator.complete_config({"dims": 3}, shapes) == config


def test_both_axes_are_inferred() -> None:
    inferred = infer_config({key: t.shape for key, t in tiny(temporal_upsample=True).state_dict().items()})
    assert inferred["spatial_upsample"]
    assert inferred["temporal_upsample"]


def test_blur_kernel_survives_meta_construction() -> None:
    with torch.device("meta"):
        model = LatentUpsamplerConfigurator.from_config({**TINY, **RATIONAL})
    assert model.upsampler.blur_down.kernel.sum().item() == 1


def test_two_dimensional_model_treats_frames_alone() -> None:
    model, latent = tiny(dims=2), latent_input(2, 8, 3, 2, 3)
    out = model(latent)
    assert out.shape == (2, 8, 3, 4, 6)
    torch.testing.assert_close(model(latent[1:, :, 2:])[0, :, 0], out[1, :, 2])
    inferred = infer_config({key: tensor.shape for key, tensor in model.state_dict().items()})
    assert (inferred["dims"], inferred["spatial_upsample"], inferred["temporal_upsample"]) == (2, True, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_upsample": False}, "neither spatial_upsample nor temporal_upsample"),
        ({**RATIONAL, "spatial_scale": 3.0}, "spatial_scale is 3.0"),
        ({"dims": 2, **TEMPORAL}, "dims = 2"),
        ({"dims": 4}, "dims = 4"),
        ({"mid_channels": 40}, "multiple of 32"),
    ],
)
def test_unsupported_config(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_wrong_input_and_wrong_file() -> None:
    with pytest.raises(ValueError, match="needs a video latent"):
        tiny()(latent_input(1, 4, 1, 2, 2))
    with pytest.raises(ValueError, match="not a latent upscaler"):
        infer_config({"conv_in.weight": (1, 1)})
    with pytest.raises(ValueError, match="25 times the width"):
        infer_config({"initial_conv.weight": (32, 8, 3, 3, 3), "upsampler.conv.weight": (800, 32, 3, 3)})
    with pytest.raises(ValueError, match="has no config"):
        LatentUpsamplerConfigurator.from_config({})


def test_upsample_video_wraps_the_statistics() -> None:
    vae, model, latent = encoder("T22"), tiny(), latent_input(2, 8, 2, 2, 3)
    before = latent.clone()
    statistics = vae.per_channel_statistics
    expected = statistics.normalize(model(statistics.un_normalize(latent)))
    assert torch.equal(upsample_video(latent, vae, model), expected)
    assert torch.equal(upsample_video(latent, statistics, model), expected)
    assert torch.equal(latent, before)
    torch.testing.assert_close(upsample_video(latent[1:], vae, model), expected[1:])


def test_statistics_of_another_vae_are_refused() -> None:
    upsampler = LatentUpsamplerConfigurator.from_config({"in_channels": 8, "mid_channels": 32})
    # One channel would broadcast.
    for channels in (1, 4):
        with pytest.raises(ValueError, match=rf"latent has 8 channels.*VAE with {channels}"):
            upsample_video(torch.zeros(1, 8, 1, 2, 2), PerChannelStatistics(channels), upsampler)


def test_upsample_video_keeps_the_latents_dtype() -> None:
    statistics = PerChannelStatistics(8)
    assert upsample_video(latent_input(1, 8, 1, 2, 2), statistics, tiny().bfloat16()).dtype == torch.float32


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 4), height=st.integers(1, 5), width=st.integers(1, 5))
def test_output_size(frames: int, height: int, width: int) -> None:
    latent = latent_input(2, 8, frames, height, width)
    assert tiny()(latent).shape == (2, 8, frames, 2 * height, 2 * width)
    half = tiny(**RATIONAL, spatial_scale=1.5)(latent)
    assert half.shape == (2, 8, frames, (3 * height - 1) // 2 + 1, (3 * width - 1) // 2 + 1)
    assert tiny(**TEMPORAL)(latent).shape == (2, 8, 2 * frames - 1, height, width)
