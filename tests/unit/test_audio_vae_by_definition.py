"""The audio VAE against a second one, written literally from spec 04 §5, in float64: options that no file has."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ltx_core_impl.model.audio_vae import AudioDecoderConfigurator, AudioEncoderConfigurator
from tests.conftest import assert_close
from tests.unit.test_audio_models import fill, small_audio_vae

State = dict[str, Tensor]
ATTENTION = {"mid_block_add_attention": True, "attn_resolutions": [128], "num_res_blocks": 1}
OPTIONS = {
    "height": {"num_res_blocks": 3, "ch_mult": [1, 3]},
    "height, attention": ATTENTION,
    "width": {"causality_axis": "width", **ATTENTION},
    "width-compatibility": {"causality_axis": "width-compatibility", "z_channels": 6},
    "not causal": {"causality_axis": None, "ch_mult": [2, 1, 1, 2], "mel_bins": 24},
    "group norm": {"causality_axis": None, "norm_type": "group", "ch": 32, **ATTENTION},
    "mono": {"in_channels": 1, "out_ch": 1, "resolution": 64, "attn_resolutions": [64]},
}
SAME = {"height": (1, 1, 2, 0), "width": (2, 0, 1, 1), "width-compatibility": (2, 0, 1, 1), None: (1, 1, 1, 1)}
HALVE = {"height": (0, 1, 2, 0), "width": (2, 0, 0, 1), "width-compatibility": (1, 0, 0, 1), None: (0, 1, 0, 1)}


class Literal:
    """Functions of the spec over a state dict and a ddconfig."""

    def __init__(self, state: State, options: dict[str, Any]) -> None:
        self.state, self.options = state, options
        self.axis = options["causality_axis"]

    def plain(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], stride=stride)

    def causal(self, name: str, x: Tensor) -> Tensor:
        return self.plain(f"{name}.conv", F.pad(x, SAME[self.axis]))

    def norm(self, name: str, x: Tensor) -> Tensor:
        if self.options["norm_type"] == "group":
            return F.group_norm(x, 32, self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps=1e-6)
        return x / (x.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()

    def block(self, name: str, x: Tensor) -> Tensor:
        h = self.causal(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)))
        h = self.causal(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h)))
        if f"{name}.nin_shortcut.conv.weight" in self.state:
            x = self.plain(f"{name}.nin_shortcut.conv", x)
        return x + h

    def attention(self, name: str, x: Tensor) -> Tensor:
        h = self.norm(f"{name}.norm", x)
        q, k, v = (self.plain(f"{name}.{part}", h).flatten(2) for part in "qkv")
        weights = torch.softmax(q.transpose(1, 2) @ k * x.shape[1] ** -0.5, dim=-1)
        return x + self.plain(f"{name}.proj_out", (v @ weights.transpose(1, 2)).view(x.shape))

    def level(self, name: str, number: int, blocks: int, x: Tensor) -> Tensor:
        attends = self.options["resolution"] // 2**number in self.options["attn_resolutions"]
        for i in range(blocks):
            x = self.block(f"{name}.{number}.block.{i}", x)
            x = self.attention(f"{name}.{number}.attn.{i}", x) if attends else x
        return x

    def mid(self, x: Tensor) -> Tensor:
        x = self.block("mid.block_1", x)
        x = self.attention("mid.attn_1", x) if self.options["mid_block_add_attention"] else x
        return self.block("mid.block_2", x)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = (self.state[f"per_channel_statistics.{kind}-of-means"] for kind in ("mean", "std"))
        return tuple(row.view(1, x.shape[1], 1, x.shape[3]) for row in rows)

    def encode(self, mel: Tensor) -> Tensor:
        x = self.causal("conv_in", mel)
        last = len(self.options["ch_mult"]) - 1
        for number in range(last + 1):
            x = self.level("down", number, self.options["num_res_blocks"], x)
            if number < last:
                x = self.plain(f"down.{number}.downsample.conv", F.pad(x, HALVE[self.axis]), stride=2)
        x = self.causal("conv_out", F.silu(self.norm("norm_out", self.mid(x))))[:, : self.options["z_channels"]]
        mean, std = self.statistics(x)
        return (x - mean) / std

    def decode(self, latent: Tensor) -> Tensor:
        mean, std = self.statistics(latent)
        x = self.mid(self.causal("conv_in", latent * std + mean))
        for number in reversed(range(len(self.options["ch_mult"]))):
            x = self.level("up", number, self.options["num_res_blocks"] + 1, x)
            if number > 0:
                x = self.causal(f"up.{number}.upsample.conv", x.repeat_interleave(2, 2).repeat_interleave(2, 3))
                x = x[:, :, 1:] if self.axis == "height" else x[..., 1:] if self.axis == "width" else x
        x = self.causal("conv_out", F.silu(self.norm("norm_out", x)))
        frames = 4 * latent.shape[2]
        out = x.new_zeros(len(x), x.shape[1], frames if self.axis is None else frames - 3, self.options["mel_bins"])
        time, bins = (min(a, b) for a, b in zip(out.shape[2:], x.shape[2:], strict=True))
        out[:, :, :time, :bins] = x[:, :, :time, :bins]
        return out


@pytest.mark.parametrize("name", OPTIONS)
@torch.no_grad()
def test_encoder_and_decoder(name: str) -> None:
    config = small_audio_vae(**OPTIONS[name])
    options = config["audio_vae"]["model"]["params"]["ddconfig"]
    encoder = fill(AudioEncoderConfigurator.from_config(config)).double().eval()
    mel = torch.sin(0.05 * torch.arange(2 * options["in_channels"] * 13 * options["mel_bins"]).double())
    mel = mel.view(2, options["in_channels"], 13, options["mel_bins"])
    latent = encoder(mel)
    assert_close(latent, Literal(encoder.state_dict(), options).encode(mel), tolerance=1e-10)
    decoder = fill(AudioDecoderConfigurator.from_config(config)).double().eval()
    assert_close(decoder(latent), Literal(decoder.state_dict(), options).decode(latent), tolerance=1e-10)
