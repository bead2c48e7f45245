"""Diffusion video decoder of LTX-2.5 (spec 03 §13, §19.8, §19.10)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.video_vae import (
    AxisCount,
    AxisTiling,
    DiffusionVideoDecoder,
    PerAxisTiling,
    TilingConfig,
    VideoDecoderConfigurator,
    auto_tiling,
)
from ltx_core_impl.model.video_vae.diffusion import DiffusionDecoderParams, neighborhood
from ltx_core_impl.model.video_vae.diffusion import decoder as decoder_module
from ltx_core_impl.model.video_vae.diffusion.neighborhood import neighborhood_attention
from ltx_core_impl.model.video_vae.diffusion.room_tiling import stage_feature_bytes
from ltx_core_impl.model.video_vae.diffusion.rope import axis_dims, inverse_frequencies
from ltx_core_impl.model.video_vae.diffusion.state_dict import fold_gates
from ltx_core_impl.model.video_vae.diffusion.tiles import (
    diffusion_plan,
    grid_size,
    min_tile_cells,
    required_overlaps,
)
from tests.unit.video_vae_fixtures import check_weights, latent_input

PUBLISHED = {
    "vae": {
        "_class_name": "CausalDiffusionVAE",
        "model_output_type": "x0",
        "decoder": {
            "_class_name": "NADiffusionDecoder",
            "in_channels": 128,
            "out_channels": 3,
            "patch_size": 4,
            "head_dim": 64,
            "stage_channels": [2048, 1024, 512, 512, 256],
            "stage_depths": [4, 6, 4, 2, 8],
            "stage_kernels": [[3, 7, 7], [3, 7, 7], [3, 5, 5], [3, 5, 5], [11, 11, 11]],
            "upsamples": [[[1, 2, 2], 2], [[2, 1, 1], 2], [[2, 2, 2], 1], [[2, 2, 2], 2]],
            "stage5_kernel": [11, 11, 11],
            "timestep_scale_multiplier": 1000.0,
            "default_num_inference_steps": 1,
        },
    }
}


def tiny_config(steps: int = 1, output_type: str = "x0", multiplier: float = 1000.0) -> dict:
    section = {
        "in_channels": 8,
        "head_dim": 16,
        "stage_channels": [128, 64, 32, 32, 16],
        "stage_depths": [1, 1, 1, 1, 2],
        "stage_kernels": [[3, 3, 3]] * 4,
        "stage5_kernel": [3, 5, 5],
        "t_emb_dim": 32,
        "timestep_scale_multiplier": multiplier,
        "default_num_inference_steps": steps,
    }
    return {"vae": {"_class_name": "CausalDiffusionVAE", "model_output_type": output_type, "decoder": section}}


def reference_names(name: str) -> list[str]:
    """The names under which the checks' rules see one of our tensors (queries, keys and values apart)."""
    name = name.replace("t_embedder.mlp.0", "t_embedder.timestep_embedder.linear_1")
    name = name.replace("t_embedder.mlp.2", "t_embedder.timestep_embedder.linear_2")
    if ".qkv." not in name:
        return [name]
    return [name.replace(".qkv.", f".qkv.to_{part}.") for part in "qkv"]


def tiny(**options: object) -> DiffusionVideoDecoder:
    """The tiny decoder of the checks with its deterministic weights."""
    model = VideoDecoderConfigurator.from_config(tiny_config(**options))
    state = model.state_dict()
    shapes = {}
    for name, tensor in state.items():
        names = reference_names(name)
        shapes |= {part: torch.Size([tensor.shape[0] // len(names), *tensor.shape[1:]]) for part in names}
    assert len(shapes) == 119
    weights = check_weights(shapes)
    model.load_state_dict({name: torch.cat([weights[part] for part in reference_names(name)]) for name in state})
    return model.eval().requires_grad_(False)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def published() -> DiffusionDecoderParams:
    return DiffusionDecoderParams.from_config(PUBLISHED["vae"])


@pytest.mark.parametrize(
    ("options", "frames", "total", "value"),
    [
        ({}, 3, -11711.241920636036, 0.08016158640384674),
        ({"steps": 3}, 3, -15152.74570679525, 0.01493876799941063),
        ({"steps": 2, "output_type": "v", "multiplier": 1.0}, 3, 10520.222690224182, -0.3420068621635437),
        ({}, 5, -22712.874333413783, -0.19954873621463776),
    ],
)
def test_values(options: dict, frames: int, total: float, value: float) -> None:
    video = tiny(**options)(latent_input(1, 8, frames, 3, 4), generator=seeded())
    assert video.shape == (1, 3, 8 * (frames - 1) + 1, 96, 128)
    assert video.double().sum().item() == pytest.approx(total, rel=1e-4)
    assert video[0, 1, 9 if frames == 3 else 20, 40, 70].item() == pytest.approx(value, rel=1e-4)
    if not options and frames == 3:
        first = [-0.976040, -0.422987, 0.137791, 0.921728]
        assert video[0, 0, 0, 0, :4].tolist() == pytest.approx(first, abs=1e-5)


TILED = PerAxisTiling(frames=AxisTiling(16, 8), height=AxisTiling(64, 32), width=AxisTiling(64, 32))


def test_tiled_values() -> None:
    model = tiny()
    chunks = list(model.tiled_decode(latent_input(1, 8, 5, 3, 4), TILED, generator=seeded()))
    assert [chunk.shape[2] for chunk in chunks] == [7, 8, 8, 10]
    assert diffusion_plan(TILED, model.params, (5, 3, 4)).tile_count == 24
    video = torch.cat(chunks, dim=2)
    assert video.double().sum().item() == pytest.approx(-22650.94513102401, rel=1e-4)
    assert video[0, 1, 20, 40, 70].item() == pytest.approx(-0.22626318037509918, rel=1e-4)


def test_values_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_module, "draw_noise", lambda shape, like, generator: like.new_zeros(shape))
    model, latent = tiny(), latent_input(1, 8, 5, 3, 4)
    assert model(latent).double().sum().item() == pytest.approx(-23197.740543283056, rel=1e-4)
    tiled = torch.cat(list(model.tiled_decode(latent, TILED)), dim=2)
    assert tiled.double().sum().item() == pytest.approx(-23183.465351791012, rel=1e-4)
    assert tiled.shape == (1, 3, 33, 96, 128)


@pytest.mark.parametrize("options", [{}, {"steps": 2}])
def test_one_tile_is_the_untiled_result(options: dict) -> None:
    model, latent = tiny(**options), latent_input(2, 8, 3, 3, 4)
    (video,) = model.tiled_decode(latent, PerAxisTiling(), generator=seeded())
    assert torch.equal(video, model(latent, generator=seeded()))
    (untiled,) = model.tiled_decode(latent, None, generator=seeded())
    assert torch.equal(video, untiled)


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 1, 5), (6, 2, 1)])
def test_small_latents_are_padded_and_cropped(shape: tuple[int, int, int]) -> None:
    model, latent = tiny(), latent_input(1, 8, *shape)
    expected = (1, 3, 8 * (shape[0] - 1) + 1, 32 * shape[1], 32 * shape[2])
    assert model(latent, generator=seeded()).shape == expected
    tiling = PerAxisTiling(frames=AxisTiling(16, 8), width=AxisTiling(64, 32))
    tiled = torch.cat(list(model.tiled_decode(latent, tiling, generator=seeded())), dim=2)
    assert tiled.shape == expected


def test_several_steps_share_one_canvas() -> None:
    """With shared noise, tiles that overlap enough give nearly the untiled result."""
    model, latent = tiny(steps=2), latent_input(1, 8, 3, 3, 4)
    tiled = torch.cat(list(model.tiled_decode(latent, TILED, generator=seeded())), dim=2)
    whole = model(latent, generator=seeded())
    assert (tiled - whole).norm() / whole.norm() < 0.1
    one_step = tiny()
    fresh = torch.cat(list(one_step.tiled_decode(latent, TILED, generator=seeded())), dim=2)
    whole = one_step(latent, generator=seeded())
    assert (fresh - whole).norm() / whole.norm() > 0.1


def test_published_sizes() -> None:
    with torch.device("meta"):
        model = VideoDecoderConfigurator.from_config(PUBLISHED)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert len(shapes) == 309 + 2
    assert sum(parameter.numel() for parameter in model.parameters()) == 417_133_616
    assert shapes["conv_in.weight"] == (2048, 128)
    assert shapes["det_stages.1.5.attn.qkv.weight"] == (3072, 1024)
    assert shapes["det_stages.3.1.mlp.w_down.weight"] == (512, 2048)
    assert shapes["upsamples.2.proj.weight"] == (4096, 512)
    assert shapes["t_embedder.mlp.0.weight"] == (384, 256)
    assert shapes["shared_adaln.proj.weight"] == (1792, 384)
    assert shapes["diff_blocks.7.scale_shift_table"] == (7, 256)
    assert shapes["conv_out.weight"] == (48, 256)
    assert model.scale_factors == (8, 32, 32)
    assert model.latent_channels == 128


def test_geometry() -> None:
    params = published()
    assert params.min_latent_size == (3, 7, 7)
    assert params.ghost_latents == 2
    assert min_tile_cells(params) == (6, 6, 6)
    assert required_overlaps(params) == (40, 160, 160)
    tiny_params = tiny().params
    assert tiny_params.min_latent_size == min_tile_cells(tiny_params) == (3, 3, 3)
    assert grid_size(tiny_params, (5, 3, 4)) == (17, 12, 16)


def test_published_plan() -> None:
    side = AxisTiling(512, 160)
    plan = diffusion_plan(PerAxisTiling(AxisTiling(80, 40), side, side), published(), (16, 32, 48))
    assert [tile.source for tile in plan.time] == [(0, 40), (20, 60), (40, 61)]
    assert [tile.target for tile in plan.time] == [(0, 79), (39, 119), (79, 121)]
    assert [tile.target for tile in plan.height] == [(0, 512), (352, 864), (704, 1024)]
    assert [tile.source for tile in plan.width] == [(0, 64), (44, 108), (88, 152), (132, 192)]


def test_tiny_plan() -> None:
    plan = diffusion_plan(TILED, tiny().params, (5, 3, 4))
    assert [tile.source for tile in plan.time] == [(0, 8), (4, 12), (8, 16), (12, 17)]
    assert [tile.target for tile in plan.time] == [(0, 15), (7, 23), (15, 31), (23, 33)]


@pytest.mark.parametrize(
    ("tiling", "message"),
    [
        (PerAxisTiling.default(), "at least 40 along the frames; got 24"),
        (PerAxisTiling(width=AxisTiling(512, 64)), "at least 160 along the width"),
        (PerAxisTiling(height=AxisTiling(500, 160)), "multiple of 32"),
        (PerAxisTiling(frames=AxisCount(2, 1)), "not tile counts"),
    ],
)
def test_unsuitable_tiles(tiling: PerAxisTiling, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diffusion_plan(tiling, published(), (31, 32, 48))


def test_bad_input() -> None:
    model = tiny()
    with pytest.raises(ValueError, match="needs a PerAxisTiling; got TilingConfig"):
        model.tiled_decode(latent_input(1, 8, 3, 3, 3), TilingConfig.default())
    with pytest.raises(ValueError, match=r"needs a latent \(batch, 8"):
        model(latent_input(1, 4, 3, 3, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage_depths": [1, 1]}, "got 5, 2 and 4"),
        ({"stage_kernels": [[3, 3, 3]]}, "4 stage_kernels; got 1"),
    ],
)
def test_bad_config(change: dict, message: str) -> None:
    config = tiny_config()
    config["vae"]["decoder"].update(change)
    with pytest.raises(ValueError, match=message):
        VideoDecoderConfigurator.from_config(config)


def test_unknown_output_type() -> None:
    with pytest.raises(ValueError, match="model_output_type is 'eps'"):
        VideoDecoderConfigurator.from_config(tiny_config(output_type="eps"))


def test_config_defaults() -> None:
    params = DiffusionDecoderParams.from_config({"decoder": {"na_head_dim": 32, "stage5_channels": 96}})
    assert params.head_dim == 32
    assert params.stage_channels == (1024, 512, 256, 256)
    assert (params.context_channels, params.denoiser_channels) == (128, 96)
    assert params.denoiser_kernel == (3, 7, 7)
    assert (params.t_emb_dim, params.num_inference_steps, params.predicts_x0) == (384, 2, False)


@pytest.mark.parametrize(
    ("size", "gib", "tile", "features"),
    [
        ((16, 32, 48), 24, (128, 1024, 864), 1_736_441_856),
        ((16, 16, 24), 12, (128, 512, 768), 434_110_464),
        ((16, 16, 24), 6, (88, 512, 384), 434_110_464),
        ((31, 34, 60), 70, (248, 1088, 1056), 4_311_613_440),
    ],
)
def test_auto_tiling(size: tuple[int, int, int], gib: int, tile: tuple[int, int, int], features: int) -> None:
    params = published()
    assert stage_feature_bytes(params, size) == features
    chosen = auto_tiling(params, size, gib * 2**30, 834_267_232, live_activations=5)
    assert (chosen.frames.size, chosen.height.size, chosen.width.size) == tile
    assert (chosen.frames.overlap, chosen.height.overlap, chosen.width.overlap) == (40, 160, 160)
    assert diffusion_plan(chosen, params, size).tile_count >= 1


def test_auto_tiling_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"needs \d\.\d GiB more free memory"):
        auto_tiling(published(), (16, 32, 48), 3 * 2**30, 834_267_232)


def test_auto_tiling_of_a_small_video_leaves_axes_whole() -> None:
    chosen = auto_tiling(published(), (3, 4, 30), 24 * 2**30, 834_267_232)
    assert chosen.height == AxisTiling()
    assert diffusion_plan(chosen, published(), (3, 7, 30)).tile_count == 1


def naive_attention(q: Tensor, k: Tensor, v: Tensor, kernel: tuple[int, int, int], scale: float) -> Tensor:
    """One query at a time."""
    out = torch.empty_like(q)
    sizes = q.shape[1:4]
    for position in torch.cartesian_prod(*(torch.arange(n) for n in sizes)).tolist():
        window = (slice(None),)
        for i, n, size in zip(position, sizes, kernel, strict=True):
            start = min(max(i - size // 2, 0), n - size)
            window += (slice(start, start + size),)
        query = q[(slice(None), *position)]
        keys, values = (x[window].flatten(1, 3) for x in (k, v))
        weights = torch.einsum("bhd,bnhd->bhn", query, keys).mul(scale).softmax(dim=-1)
        out[(slice(None), *position)] = torch.einsum("bhn,bnhd->bhd", weights, values)
    return out


@settings(max_examples=12, deadline=None)
@given(
    kernel=st.tuples(st.sampled_from([1, 3, 4]), st.sampled_from([3, 5]), st.sampled_from([1, 3, 5])),
    extra=st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 14)),
)
def test_neighborhood_attention(kernel: tuple[int, int, int], extra: tuple[int, int, int]) -> None:
    size = tuple(n + more for n, more in zip(kernel, extra, strict=True))
    q, k, v = torch.randn(3, 2, *size, 2, 4, generator=seeded()).unbind(0)
    out = neighborhood_attention(q, k, v, kernel, scale=0.5)
    torch.testing.assert_close(out, naive_attention(q, k, v, kernel, scale=0.5))


def test_neighborhood_attention_with_a_small_mask_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = torch.randn(3, 1, 4, 5, 20, 2, 4, generator=seeded()).unbind(0)
    expected = neighborhood_attention(q, k, v, (3, 3, 3), scale=1.0)
    monkeypatch.setattr(neighborhood, "MAX_MASK_ELEMENTS", 1)
    torch.testing.assert_close(neighborhood_attention(q, k, v, (3, 3, 3), scale=1.0), expected)


def test_window_larger_than_the_axis() -> None:
    x = torch.zeros(1, 2, 3, 3, 1, 4)
    with pytest.raises(ValueError, match="window of 3 does not fit an axis of 2"):
        neighborhood_attention(x, x, x, (3, 3, 3), scale=1.0)


def test_rope_geometry() -> None:
    assert axis_dims(64) == (16, 24, 24)
    assert axis_dims(16) == (4, 6, 6)
    assert sum(axis_dims(40)) == 40
    assert inverse_frequencies(16)[:4].tolist() == pytest.approx([1, 0.3162278, 0.1, 0.0316228], rel=1e-6)
    assert inverse_frequencies(24)[:3].tolist() == pytest.approx([1, 0.4642, 0.2154], rel=1e-3)


def test_gates_are_folded_and_unused_tensors_dropped() -> None:
    model = tiny()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gate = torch.linspace(0.5, 1.5, 16)
    block = "diff_blocks.1."
    gated = {
        **state,
        **{f"{block}{name}": gate for name in ("gate_msa", "gate_mlp", "gate_ctx")},
        "type_emb": torch.zeros(8),
        "coarse_head.weight": torch.zeros(1),
    }
    model.load_state_dict(gated)
    for name in ("attn.proj.weight", "mlp.w_down.weight", "context_proj.weight"):
        torch.testing.assert_close(model.state_dict()[block + name], state[block + name] * gate[:, None])
    for name in ("attn.proj.bias", "context_proj.bias"):
        torch.testing.assert_close(model.state_dict()[block + name], state[block + name] * gate)
    assert f"{block}gate_msa" in gated
    prefixed = {"decoder.type_emb": torch.zeros(1), "type_emb": torch.zeros(1)}
    fold_gates(prefixed, prefix="decoder.")
    assert list(prefixed) == ["type_emb"]


def test_a_file_with_gates_builds_the_decoder_without_them(tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in tiny().state_dict().items()}
    torch.manual_seed(0)
    gates = {f"det_stages.2.0.{name}": torch.rand(32) + 0.5 for name in ("gate_msa", "gate_mlp")}
    gates |= {f"diff_blocks.1.{name}": torch.rand(16) + 0.5 for name in ("gate_msa", "gate_mlp", "gate_ctx")}
    stored = {f"decoder.{name}": value for name, value in {**state, **gates}.items() if "statistics" not in name}
    stored |= {name: value for name, value in state.items() if "statistics" in name}
    stored |= {"decoder.type_emb": torch.zeros(8), "decoder.coarse_head.weight": torch.zeros(1)}
    save_file(stored, tmp_path / "vae.safetensors", {"config": json.dumps(tiny_config())})
    folded = tiny()
    folded.load_state_dict({**state, **gates})
    built = SingleGPUModelBuilder(VideoDecoderConfigurator, tmp_path / "vae.safetensors").build(device="cpu")
    assert not torch.equal(built.det_stages[2][0].attn.proj.weight, state["det_stages.2.0.attn.proj.weight"])
    for name, expected in folded.state_dict().items():
        assert torch.equal(built.state_dict()[name], expected), name


def test_bfloat16_weights_and_float_latent(monkeypatch: pytest.MonkeyPatch) -> None:
    # A generator gives other noise in another dtype.
    monkeypatch.setattr(decoder_module, "draw_noise", lambda shape, like, generator: like.new_zeros(shape))
    model, latent = tiny().bfloat16(), latent_input(1, 8, 3, 3, 3)
    before = latent.clone()
    video = model(latent)
    assert video.dtype == torch.float32
    assert torch.equal(latent, before)
    exact = tiny()(latent)
    assert (video - exact).norm() / exact.norm() < 0.1
