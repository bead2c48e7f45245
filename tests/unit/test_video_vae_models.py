"""Encoder and decoder as wholes (spec 03 §4-6, §19.2, §19.3)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltx_core_impl.model.video_vae import (
    VideoDecoderConfigurator,
    VideoEncoderConfigurator,
)
from ltx_core_impl.types import SpatioTemporalScaleFactors
from tests.unit.video_vae_fixtures import decoder, encoder, fill, latent_input, tiny_config, video_input

INVENTORY = Path(__file__).parent.parent / "inventory"


def inventory(size: str, part: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the published file's encoder or decoder, by module key."""
    shapes = {}
    for line in (INVENTORY / f"inventory-{size}.tsv").read_text().splitlines():
        key, shape = line.split("\t")
        if key.startswith(f"vae.{part}."):
            shapes[key.removeprefix(f"vae.{part}.")] = tuple(map(int, shape.split(",")))
    shapes["per_channel_statistics.mean-of-means"] = shapes["per_channel_statistics.std-of-means"] = (128,)
    return shapes


def published_config(size: str) -> dict:
    return json.loads((INVENTORY / f"config-{size}.json").read_text())


@pytest.mark.parametrize(("size", "keys", "elements"), [("19b", 94, 694_099_137), ("22b", 86, 318_937_153)])
def test_published_encoder(size: str, keys: int, elements: int) -> None:
    with torch.device("meta"):
        model = VideoEncoderConfigurator.from_config(published_config(size))
    state = model.state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == inventory(size, "encoder")
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (keys, elements)
    assert model.scale_factors == SpatioTemporalScaleFactors(8, 32, 32)
    assert model.latent_channels == 128


@pytest.mark.parametrize(("size", "keys", "elements"), [("19b", 92, 528_380_976), ("22b", 86, 407_169_328)])
def test_published_decoder(size: str, keys: int, elements: int) -> None:
    with torch.device("meta"):
        model = VideoDecoderConfigurator.from_config(published_config(size))
    state = model.state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == inventory(size, "decoder")
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (keys, elements)
    assert model.scale_factors == SpatioTemporalScaleFactors(8, 32, 32)


def test_published_timestep_conditioned_decoder() -> None:
    config = published_config("19b")
    config["vae"]["timestep_conditioning"] = True
    with torch.device("meta"):
        state = VideoDecoderConfigurator.from_config(config).state_dict()
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (134, 552_814_897)
    assert state["up_blocks.2.time_embedder.timestep_embedder.linear_1.weight"].shape == (2048, 256)
    assert state["up_blocks.6.res_blocks.4.scale_shift_table"].shape == (4, 128)
    assert state["last_time_embedder.timestep_embedder.linear_2.weight"].shape == (256, 256)
    assert state["timestep_scale_multiplier"].shape == ()


@pytest.mark.parametrize(
    ("name", "total", "first", "last"),
    [
        ("T19", -6.999781373888254, [1.1613773, -0.0690955, -1.6761532, -1.2969155], -1.5818850),
        ("T22", 5.148134037852287, [-2.4708500, -0.1373855, 3.7885025, 3.5345192], -4.153377056),
    ],
)
def test_encoder_values(name: str, total: float, first: list[float], last: float) -> None:
    model = encoder(name)
    latent = model(video_input(1, 3, 9, 64, 64))
    assert latent.shape == (1, 8, 2, 2, 2)
    assert len(model.state_dict()) == 34
    assert latent.double().sum().item() == pytest.approx(total, rel=1e-4)
    assert latent.flatten()[:4].tolist() == pytest.approx(first, rel=2e-5, abs=1e-5)
    assert latent.flatten()[-1].item() == pytest.approx(last, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "keys", "total", "first", "middle", "last"),
    [
        ("T19", 28, 812.0321012597997, [-1.3549377, -1.6094453, -0.7490533, 0.3567333], 0.7191104889, 1.3580442667),
        ("T19ts", 62, -2504.0389671353623, [-0.0434285, -0.0879919, 0.0438886, -0.0679358], 0.174794346, -0.094084136),
        ("T22", 34, -542.5384545082343, [0.1615024, -0.4233951, -0.6249669, -0.6576830], 0.0494459197, 0.8806982041),
    ],
)
def test_decoder_values(name: str, keys: int, total: float, first: list[float], middle: float, last: float) -> None:
    model = decoder(name)
    video = model(latent_input(1, 8, 3, 2, 3), generator=torch.Generator().manual_seed(7))
    assert video.shape == (1, 3, 17, 64, 96)
    assert len(model.state_dict()) == keys
    assert video.double().sum().item() == pytest.approx(total, rel=1e-4)
    assert video[0, 0, 0, 0, :4].tolist() == pytest.approx(first, rel=1e-4, abs=1e-5)
    # These weights make T19 amplify float32 rounding: the exact value (float64) is 0.719195.
    assert video[0, 1, 8, 33, 40].item() == pytest.approx(middle, rel=2e-4 if name == "T19" else 1e-4)
    assert video.flatten()[-1].item() == pytest.approx(last, rel=1e-4)


def test_encoder_drops_surplus_frames_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model, video = encoder("T22"), video_input(1, 3, 12, 32, 32)
    assert torch.equal(model(video), model(video[:, :, :9]))
    assert "Dropping the last 3 of 12 frames" in caplog.text
    assert model(video[:, :, :1]).shape == (1, 8, 1, 1, 1)


def test_encoder_names_the_nearest_size() -> None:
    with pytest.raises(ValueError, match=r"70x40 px.*multiple of 32.*64x32"):
        encoder("T22")(torch.zeros(1, 3, 1, 40, 70))


@pytest.mark.parametrize(("kind", "channels"), [("uniform", 9), ("constant", 9), ("per_channel", 16), ("none", 8)])
def test_encoder_returns_means_only(kind: str, channels: int) -> None:
    model = encoder("T22", latent_log_var=kind)
    assert model.conv_out.conv.out_channels == channels
    video = video_input(1, 3, 1, 32, 32)
    latent = model(video)
    assert latent.shape == (1, 8, 1, 1, 1)
    model.conv_out.conv.weight[8:] = 0
    assert torch.equal(model(video), latent)


def test_unknown_log_variance() -> None:
    with pytest.raises(ValueError, match="latent_log_var is 'scalar'"):
        encoder("T22", latent_log_var="scalar")


@pytest.mark.parametrize("causal", [True, False])
def test_causal_decoder_does_not_look_ahead(causal: bool) -> None:
    model = decoder("T22", causal_decoder=causal)
    latent = latent_input(1, 8, 3, 1, 1)
    changed = latent.clone()
    changed[:, :, 2] += 1
    same = torch.equal(model(latent)[:, :, :9], model(changed)[:, :, :9])
    assert same == causal


def test_group_norm_variant() -> None:
    model = fill(
        VideoDecoderConfigurator.from_config(tiny_config("T22", norm_layer="group_norm", decoder_base_channels=32))
    )
    keys = model.state_dict().keys()
    assert {"conv_norm_out.weight", "up_blocks.0.res_blocks.0.norm1.weight"} <= keys
    assert model.conv_norm_out.eps == 1e-6
    assert model(latent_input(1, 8, 2, 1, 1)).isfinite().all()


def test_every_unpublished_block_kind() -> None:
    encoder_blocks = [
        ["res_x", 1],
        ["attn", {}],
        ["compress_time", {}],
        ["compress_space", {}],
        ["res_x_y", {"multiplier": 2}],
        ["compress_all", {}],
        ["compress_all_x_y", {"multiplier": 1}],
    ]
    decoder_blocks = [
        ["res_x_y", {"inject_noise": True}],
        ["attn", {}],
        ["compress_time", {"multiplier": 2}],
        ["compress_space", {}],
        ["compress_all", {"residual": True, "multiplier": 2}],
        ["compress_all", {"multiplier": 2}],
        ["res_x", 2],
    ]
    config = tiny_config("T22", encoder_blocks=encoder_blocks, decoder_blocks=decoder_blocks)
    enc = fill(VideoEncoderConfigurator.from_config(config))
    dec = fill(VideoDecoderConfigurator.from_config(config))
    keys = enc.state_dict().keys()
    assert {"down_blocks.2.conv.weight", "down_blocks.4.norm3.weight", "down_blocks.4.conv_shortcut.weight"} <= keys
    assert enc.scale_factors == dec.scale_factors == (8, 32, 32)
    assert enc(video_input(1, 3, 9, 32, 32)).shape == (1, 8, 2, 1, 1)
    assert dec(latent_input(1, 8, 2, 1, 1)).shape == (1, 3, 9, 32, 32)


@pytest.mark.parametrize("name", ["res_y", "compress_all_res", "attn_res_x"])
def test_unknown_decoder_block(name: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown VAE decoder block '{name}'"):
        decoder("T22", decoder_blocks=[[name, {}]])


def test_scale_factors_follow_the_blocks() -> None:
    blocks = [["res_x", 1], ["compress_all_res", {"multiplier": 1}], ["compress_all_res", {"multiplier": 1}]]
    model = encoder("T22", encoder_blocks=blocks)
    assert model.scale_factors == (4, 16, 16)
    assert model(video_input(1, 3, 5, 16, 32)).shape == (1, 8, 2, 1, 2)


def test_nested_encoder_config() -> None:
    flat = tiny_config("T22")["vae"]
    nested = {
        "dims": 3,
        "in_channels": 3,
        "out_channels": flat["latent_channels"],
        "blocks": flat["encoder_blocks"],
        "patch_size": 4,
        "latent_log_var": "constant",
        "latent_log_var_value": -7.8,
    }
    model = fill(VideoEncoderConfigurator.from_config({"vae": {"encoder": nested}}))
    video = video_input(1, 3, 9, 32, 32)
    assert torch.equal(model(video), encoder("T22")(video))


def test_config_without_a_vae() -> None:
    with pytest.raises(ValueError, match="no 'vae' section"):
        VideoDecoderConfigurator.from_config({"transformer": {}})
    with pytest.raises(ValueError, match="no 'decoder_blocks'"):
        VideoDecoderConfigurator.from_config({"vae": {"dims": 3}})
    with pytest.raises(ValueError, match="dims = 2"):
        VideoEncoderConfigurator.from_config({"vae": {"dims": 2}})


def test_tensors_decide_timestep_conditioning() -> None:
    for name in ("T19", "T19ts"):
        config = tiny_config(name)
        del config["vae"]["timestep_conditioning"]
        shapes = {key: tensor.shape for key, tensor in decoder(name).state_dict().items()}
        completed = VideoDecoderConfigurator.complete_config(config, shapes)
        assert completed["vae"]["timestep_conditioning"] == (name == "T19ts")
        assert VideoDecoderConfigurator.from_config(completed).state_dict().keys() == shapes.keys()
        assert "timestep_conditioning" not in config["vae"]


def test_tensors_decide_the_decoder_width() -> None:
    blocks = [["res_x_y", {}], ["compress_all", {"multiplier": 2}]]
    config = tiny_config("T22", decoder_blocks=blocks, decoder_base_channels=4)
    completed = VideoDecoderConfigurator.complete_config(config, {"conv_in.conv.weight": (32, 8, 3, 3, 3)})
    assert VideoDecoderConfigurator.from_config(completed).conv_in.conv.out_channels == 32


def test_decoder_computes_in_its_own_dtype_and_returns_the_latents() -> None:
    model = decoder("T22").bfloat16()
    latent = latent_input(1, 8, 1, 1, 2)
    before = latent.clone()
    assert model(latent).dtype == torch.float32
    assert model(latent.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(latent, before)


def test_decoder_rejects_what_it_cannot_decode() -> None:
    with pytest.raises(ValueError, match=r"needs a latent \(batch, 8"):
        decoder("T22")(torch.zeros(1, 4, 1, 2, 2))
    with pytest.raises(ValueError, match="at least 2x2 cells; this one is 3x1"):
        decoder("T19")(torch.zeros(1, 8, 1, 1, 3))


def test_timestep_matters_and_noise_is_seeded() -> None:
    model, latent = decoder("T19ts"), latent_input(2, 8, 1, 2, 2)

    def decode(timestep: torch.Tensor | None = None, seed: int = 7) -> torch.Tensor:
        return model(latent, timestep=timestep, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(decode(), decode(timestep=torch.full((2,), 0.05)))
    assert not torch.equal(decode(), decode(seed=8))
    other = decode(timestep=torch.tensor([0.05, 0.2]))
    torch.testing.assert_close(other[0], decode()[0])
    assert not torch.allclose(other[1], decode()[1])


@settings(max_examples=8, deadline=None)
@given(frames=st.integers(1, 6), height=st.integers(1, 2), width=st.integers(1, 3))
def test_decoded_size(frames: int, height: int, width: int) -> None:
    video = decoder("T22")(latent_input(1, 8, frames, height, width))
    assert video.shape == (1, 3, 8 * (frames - 1) + 1, 32 * height, 32 * width)
