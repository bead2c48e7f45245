"""The convolutional video VAE against a second one, written literally from spec 03 §3-§5 and §7.5, in float64.

Block lists, paddings, norms, widths and scale factors that no published file and no fixture has.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ltx_core_impl.model.video_vae import (
    AxisTiling,
    PerAxisTiling,
    SpatialTiling,
    TemporalTiling,
    TilingConfig,
    VideoDecoderConfigurator,
    VideoEncoderConfigurator,
)
from tests.conftest import assert_close
from tests.unit.video_vae_fixtures import decoder, fill, latent_input, tiny_config, video_input

State = dict[str, Tensor]
Stride = tuple[int, int, int]
STRIDES = {"compress_time": (2, 1, 1), "compress_space": (1, 2, 2), "compress_all": (2, 2, 2)}
EVERY_KIND = {
    "encoder_blocks": [
        ["res_x", 1],
        ["compress_time", {}],
        ["attn", {}],
        ["res_x_y", {"multiplier": 2}],
        ["compress_all_x_y", {}],
        ["compress_space_res", {}],
        ["res_x_y", {}],
    ],
    "decoder_blocks": [
        ["res_x_y", {"inject_noise": True}],
        ["attn", {}],
        ["compress_time", {"multiplier": 2}],
        ["compress_space", {}],
        ["compress_all", {"residual": True, "multiplier": 4}],
        ["res_x", {"num_layers": 2, "inject_noise": True}],
    ],
}
SMALL_CELLS = {
    "encoder_blocks": [["res_x", 1], ["compress_all_res", {"multiplier": 1}], ["compress_all_res", {"multiplier": 4}]],
    "decoder_blocks": [["res_x", 1], ["compress_all", {"multiplier": 1, "residual": True}], ["compress_all", {}]],
    "decoder_base_channels": 8,
}
OPTIONS = {
    "every kind of block": EVERY_KIND,
    "every kind, conditioned": EVERY_KIND | {"timestep_conditioning": True, "spatial_padding_mode": "reflect"},
    "16 x 16 x 4": SMALL_CELLS | {"latent_channels": 16, "decoder_base_channels": 24},
    "patch 2, causal": SMALL_CELLS | {"patch_size": 2, "causal_decoder": True, "spatial_padding_mode": "replicate"},
    "patch 1": SMALL_CELLS | {"patch_size": 1, "latent_log_var": "per_channel", "spatial_padding_mode": "circular"},
    "group norm": {"norm_layer": "group_norm", "latent_channels": 32, "decoder_base_channels": 32}
    | {"latent_log_var": "none", "timestep_conditioning": True},
    "absent paddings": SMALL_CELLS | {"latent_log_var": "constant", "spatial_padding_mode": None},
}


def conv(
    state: State, name: str, x: Tensor, causal: bool, mode: str, stride: tuple[int, int, int] = (1, 1, 1)
) -> Tensor:
    first, last = x[:, :, :1], x[:, :, -1:]
    x = torch.cat([first, first, x] if causal else [first, x, last], dim=2)
    x = F.pad(x, (1, 1, 1, 1, 0, 0), mode="constant" if mode == "zeros" else mode)
    return F.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride)


def norm(state: State, name: str, x: Tensor, kind: str) -> Tensor:
    if kind == "group_norm":
        return F.group_norm(x, 32, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)
    return x / (x.pow(2).mean(dim=1, keepdim=True) + 1e-8).sqrt()


def to_depth(x: Tensor, stride: Stride) -> Tensor:
    a, b, c = stride
    offsets = product(range(a), range(b), range(c))
    return torch.stack([x[:, :, i::a, j::b, k::c] for i, j, k in offsets], dim=2).flatten(1, 2)


def to_space(x: Tensor, stride: Stride) -> Tensor:
    a, b, c = stride
    parts = x.unflatten(1, (-1, a * b * c))
    batch, channels, _, frames, height, width = parts.shape
    out = x.new_empty(batch, channels, frames * a, height * b, width * c)
    for number, (i, j, k) in enumerate(product(range(a), range(b), range(c))):
        out[:, :, i::a, j::b, k::c] = parts[:, :, number]
    return out


def embedded(state: State, name: str, timestep: Tensor) -> Tensor:
    angles = timestep.float()[:, None] * torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(128) / 128)
    x = torch.cat([angles.cos(), angles.sin()], dim=1).double()
    for layer in ("linear_1", "linear_2"):
        x = F.linear(x, state[f"{name}.{layer}.weight"], state[f"{name}.{layer}.bias"])
        x = F.silu(x) if layer == "linear_1" else x
    return x


def residual(state: State, name: str, x: Tensor, run: dict[str, Any], embedding: Tensor | None = None) -> Tensor:
    h = x
    rows = None
    if embedding is not None:
        rows = (state[f"{name}.scale_shift_table"] + embedding.unflatten(1, (4, -1)))[..., None, None, None]
    for number in (1, 2):
        h = norm(state, f"{name}.norm{number}", h, run["norm"])
        if rows is not None:
            h = h * (1 + rows[:, 2 * number - 1]) + rows[:, 2 * number - 2]
        h = conv(state, f"{name}.conv{number}.conv", F.silu(h), run["causal"], run["mode"])
        scale = state.get(f"{name}.per_channel_scale{number}")
        if scale is not None:
            plane = torch.randn(h.shape[-2:], generator=run["generator"], dtype=torch.float64)
            h = h + (plane * scale)[None, :, None]
    if f"{name}.conv_shortcut.weight" in state:
        x = F.group_norm(x, 1, state[f"{name}.norm3.weight"], state[f"{name}.norm3.bias"], eps=1e-6)
        x = F.conv3d(x, state[f"{name}.conv_shortcut.weight"], state[f"{name}.conv_shortcut.bias"])
    return x + h


def attention(state: State, name: str, x: Tensor) -> Tensor:
    channels, (height, width) = x.shape[1], x.shape[3:]
    out = torch.empty_like(x)
    for item, frame in product(range(x.shape[0]), range(x.shape[2])):
        tokens = x[item, :, frame].flatten(1)
        h = tokens / tokens.norm(dim=0) * channels**0.5 * state[f"{name}.norm.gamma"].view(-1, 1)
        q, k, v = (state[f"{name}.to_qkv.weight"][..., 0, 0] @ h + state[f"{name}.to_qkv.bias"][:, None]).chunk(3)
        h = v @ torch.softmax(q.T @ k * channels**-0.5, dim=1).T
        h = state[f"{name}.proj.weight"][..., 0, 0] @ h + state[f"{name}.proj.bias"][:, None]
        out[item, :, frame] = (tokens + h).view(channels, height, width)
    return out


def block(state: State, name: str, kind: str, params: Any, x: Tensor, run: dict[str, Any]) -> Tensor:
    params = {"num_layers": params} if isinstance(params, int) else params
    if kind == "res_x":
        timed = f"{name}.time_embedder.timestep_embedder"
        embedding = embedded(state, timed, run["timestep"]) if f"{timed}.linear_1.weight" in state else None
        for layer in range(params["num_layers"]):
            x = residual(state, f"{name}.res_blocks.{layer}", x, run, embedding)
        return x
    if kind == "res_x_y":
        return residual(state, name, x, run)
    if kind == "attn":
        return attention(state, name, x)
    if run["encodes"] and kind.endswith("_res"):
        stride = STRIDES[kind.removesuffix("_res")]
        x = torch.cat([x[:, :, :1], x], dim=2) if stride[0] == 2 else x
        main = to_depth(conv(state, f"{name}.conv.conv", x, True, run["mode"]), stride)
        skip = to_depth(x, stride)
        return main + skip.unflatten(1, (main.shape[1], -1)).mean(dim=2)
    stride = STRIDES[kind.removesuffix("_x_y")]
    if run["encodes"]:
        return conv(state, f"{name}.conv", x, True, run["mode"], stride)
    start = 1 if stride[0] == 2 else 0
    y = to_space(conv(state, f"{name}.conv.conv", x, run["causal"], run["mode"]), stride)[:, :, start:]
    if params.get("residual"):
        r = to_space(x, stride)[:, :, start:]
        y = y + r.repeat(1, y.shape[1] // r.shape[1], 1, 1, 1)
    return y


def encoded(state: State, vae: dict[str, Any], video: Tensor) -> Tensor:
    patch, run = vae["patch_size"], {"encodes": True, "causal": True, "norm": vae["norm_layer"]}
    run["mode"] = vae.get("spatial_padding_mode", "zeros")
    x = torch.stack([video[..., q::patch, r::patch] for r, q in product(range(patch), range(patch))], dim=2)
    x = conv(state, "conv_in.conv", x.flatten(1, 2), True, run["mode"])
    for number, (kind, params) in enumerate(vae["encoder_blocks"]):
        x = block(state, f"down_blocks.{number}", kind, params, x, run)
    x = conv(state, "conv_out.conv", F.silu(norm(state, "conv_norm_out", x, run["norm"])), True, run["mode"])
    mean, std = statistics(state)
    return (x[:, : vae["latent_channels"]] - mean) / std


def decoded(state: State, vae: dict[str, Any], z: Tensor, generator: torch.Generator) -> Tensor:
    run = {"encodes": False, "causal": vae["causal_decoder"], "norm": vae["norm_layer"], "generator": generator}
    run["mode"] = vae.get("spatial_padding_mode", "reflect")
    conditioned = vae["timestep_conditioning"]
    if conditioned:
        z = torch.randn(z.shape, generator=generator, dtype=torch.float64) * 0.025 + (1 - 0.025) * z
        run["timestep"] = torch.full((len(z),), 0.05, dtype=torch.float64) * state["timestep_scale_multiplier"]
    mean, std = statistics(state)
    x = conv(state, "conv_in.conv", z * std + mean, run["causal"], run["mode"])
    for number, (kind, params) in enumerate(reversed(vae["decoder_blocks"])):
        x = block(state, f"up_blocks.{number}", kind, params, x, run)
    x = norm(state, "conv_norm_out", x, run["norm"])
    if conditioned:
        embedding = embedded(state, "last_time_embedder.timestep_embedder", run["timestep"]).unflatten(1, (2, -1))
        shift, scale = (state["last_scale_shift_table"] + embedding)[..., None, None, None].unbind(1)
        x = x * (1 + scale) + shift
    x = conv(state, "conv_out.conv", F.silu(x), run["causal"], run["mode"])
    patch = vae["patch_size"]
    parts = x.unflatten(1, (3, patch * patch))
    out = x.new_empty(*parts.shape[:2], x.shape[2], x.shape[3] * patch, x.shape[4] * patch)
    for number, (r, q) in enumerate(product(range(patch), range(patch))):
        out[..., q::patch, r::patch] = parts[:, :, number]
    return out


def statistics(state: State) -> tuple[Tensor, Tensor]:
    return tuple(state[f"per_channel_statistics.{name}-of-means"].view(1, -1, 1, 1, 1) for name in ("mean", "std"))


def config_of(options: dict[str, Any]) -> dict[str, Any]:
    config = tiny_config("T22", **options)
    if config["vae"]["spatial_padding_mode"] is None:
        del config["vae"]["spatial_padding_mode"]
    return config


@pytest.mark.parametrize("name", OPTIONS)
def test_encoder(name: str) -> None:
    config = config_of(OPTIONS[name])
    model = fill(VideoEncoderConfigurator.from_config(config)).double()
    scale = model.scale_factors
    video = video_input(2, 3, 2 * scale.time + 1, 2 * scale.height, 3 * scale.width).double()
    latent = model(video)
    assert latent.shape == (2, config["vae"]["latent_channels"], 3, 2, 3)
    assert_close(latent, encoded(model.state_dict(), config["vae"], video), tolerance=1e-10)


@pytest.mark.parametrize("name", OPTIONS)
def test_decoder(name: str) -> None:
    config = config_of(OPTIONS[name])
    model = fill(VideoDecoderConfigurator.from_config(config)).double()
    z = latent_input(2, config["vae"]["latent_channels"], 3, 2, 3).double()
    video = model(z, generator=torch.Generator().manual_seed(5))
    scale = model.scale_factors
    assert video.shape == (2, 3, 2 * scale.time + 1, 2 * scale.height, 3 * scale.width)
    expected = decoded(model.state_dict(), config["vae"], z, torch.Generator().manual_seed(5))
    # The sinusoid of the timestep is float32.
    assert_close(video, expected, tolerance=1e-5 if config["vae"]["timestep_conditioning"] else 1e-10)


def ramp(length: int, left: int, right: int, from_zero: bool) -> Tensor:
    mask = torch.ones(length, dtype=torch.float64)
    for i in range(left):
        mask[i] *= i / left if from_zero else (i + 1) / (left + 1)
    for i in range(right):
        mask[length - 1 - i] *= (i + 1) / (right + 1)
    return mask


def pieces(length: int, size: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    if length <= size:
        yield 0, length, 0, 0
        return
    count = -(-(length - overlap) // (size - overlap))
    for k in range(count):
        start = k * (size - overlap)
        yield start, min(start + size, length), overlap if k else 0, overlap if k < count - 1 else 0


@pytest.mark.parametrize(
    ("size", "spatial", "temporal"),
    [((7, 3, 7), (64, 32), (16, 8)), ((6, 5, 2), (64, 0), (16, 0)), ((9, 4, 9), (96, 64), (24, 16))],
)
@pytest.mark.parametrize("per_axis", [False, True])
def test_tiled_decoding_of_small_cells(
    size: tuple[int, int, int], spatial: tuple[int, int], temporal: tuple[int, int], per_axis: bool
) -> None:
    model = decoder("T22", **SMALL_CELLS, latent_channels=16).double()
    time, side, _ = model.scale_factors
    assert (time, side) == (4, 16)
    z = latent_input(2, 16, *size).double()
    tiling = TilingConfig(SpatialTiling(*spatial), TemporalTiling(*temporal))
    if per_axis:
        tiling = PerAxisTiling(AxisTiling(*temporal), AxisTiling(*spatial), AxisTiling(*spatial))

    frames, height, width = ((size[0] - 1) * time + 1, size[1] * side, size[2] * side)
    buffer = torch.zeros(2, 3, frames, height, width, dtype=torch.float64)
    weights = torch.zeros(frames, height, width, dtype=torch.float64)
    cells = []
    for length in size[1:]:
        share = 1 if per_axis else length / max(size[1:])
        overlap = spatial[1] // side
        cells.append(list(pieces(length, max(2, overlap + 1, round(spatial[0] // side * share)), overlap)))
    starts = []
    for t in pieces(size[0], temporal[0] // time, temporal[1] // time):
        begin, end, left, right = (t[0] - 1, t[1], t[2] + 1, t[3]) if t[0] else t
        starts.append(time * begin)
        mask_t = ramp(time * (end - begin - 1) + 1, 1 + time * (left - 1) if left else 0, time * right, True)
        for (y0, y1, top, bottom), (x0, x1, before, after) in product(*cells):
            mask = mask_t[:, None, None] * ramp(side * (y1 - y0), side * top, side * bottom, False)[:, None]
            mask = mask * ramp(side * (x1 - x0), side * before, side * after, False)
            frame_range = slice(time * begin, 1 + time * (end - 1))
            where = (..., frame_range, slice(side * y0, side * y1), slice(side * x0, side * x1))
            buffer[where] += model(z[:, :, begin:end, y0:y1, x0:x1]) * mask
            weights[where] += mask
    chunks = list(model.tiled_decode(z, tiling))
    assert [chunk.shape[2] for chunk in chunks] == [b - a for a, b in zip(starts, [*starts[1:], frames], strict=True)]
    # Masks are float32.
    assert_close(torch.cat(chunks, dim=2), buffer / weights.clamp_min(1e-8), tolerance=1e-6)
