"""The transformer against a second one, written formula by formula from spec 02 in float64, over many configurations.

Sizes, batches, sequence lengths, masks and perturbations here are not those of the fixtures, so that nothing that only
holds for these goes unnoticed.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from ltx_core_impl.guidance import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import LTXModel, LTXModelConfigurator, Modality
from tests.unit.test_transformer_numbers import BASE

SKIPS = {
    "video_self": PerturbationType.SKIP_VIDEO_SELF_ATTN,
    "audio_self": PerturbationType.SKIP_AUDIO_SELF_ATTN,
    "a2v": PerturbationType.SKIP_A2V_CROSS_ATTN,
    "v2a": PerturbationType.SKIP_V2A_CROSS_ATTN,
}

SIZES = {
    "num_layers": 3,
    "num_attention_heads": 3,
    "attention_head_dim": 10,
    "audio_num_attention_heads": 3,
    "audio_attention_head_dim": 6,
    "in_channels": 5,
    "out_channels": 7,
    "audio_in_channels": 3,
    "audio_out_channels": 4,
    "cross_attention_dim": 30,
    "audio_cross_attention_dim": 18,
    "positional_embedding_max_pos": [12, 500, 700],
    "audio_positional_embedding_max_pos": [31],
    "positional_embedding_theta": 300.0,
    "timestep_scale_multiplier": 400,
    "av_ca_timestep_scale_multiplier": 90.0,
    "norm_eps": 1e-4,
}
LTX_2 = BASE | SIZES | {"caption_channels": 11, "rope_type": "split", "frequencies_precision": "float64"}
LTX_2_3 = (
    BASE
    | SIZES
    | {
        "apply_gated_attention": True,
        "cross_attention_adaln": True,
        "caption_proj_before_connector": True,
        "rope_type": "split",
        "frequencies_precision": "float64",
    }
)
LTX_2_5 = LTX_2_3 | {"ff_bias": False, "use_keyframes_abs_pos_embedding": True}
CONFIGS = {
    "2": LTX_2,
    "2-interleaved": LTX_2 | {"rope_type": "interleaved", "frequencies_precision": None},
    "2-gated": LTX_2 | {"apply_gated_attention": True},
    "2.3": LTX_2_3,
    "2.3-ungated": LTX_2_3 | {"apply_gated_attention": False},
    "2.5": LTX_2_5,
    "2.5-static-prompt": LTX_2_5 | {"use_prompt_adaln_single": False, "audio_ff_bias": False},
}


class Oracle:
    """Spec 02 §6-§10, one formula a line, float64 but for what the spec computes in float32."""

    def __init__(self, config: dict, weights: dict[str, Tensor], latest: bool) -> None:
        self.c, self.w, self.latest = config, {k: v.double() for k, v in weights.items()}, latest

    def lin(self, name: str, x: Tensor) -> Tensor:
        y = x @ self.w[f"{name}.weight"].T
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def rms(self, x: Tensor) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + self.c["norm_eps"]).sqrt()

    def head(self, name: str, t: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """``t``: (B, n) already scaled, float32."""
        k = torch.arange(128, dtype=torch.float32)
        angle = t[..., None] * torch.exp(-math.log(10000) * k / 128)
        phi = torch.cat([angle.cos(), angle.sin()], -1).double()
        e = self.lin(
            f"{name}.emb.timestep_embedder.linear_2", silu(self.lin(f"{name}.emb.timestep_embedder.linear_1", phi))
        )
        return self.lin(f"{name}.linear", silu(e)).unflatten(-1, (rows, -1)), e

    def rope(self, positions: Tensor, width: int, max_pos: list[float], heads: int) -> tuple[Tensor, Tensor]:
        """cos and sin (B, T, width/2) before the heads are split, pads in front."""
        axes = positions.shape[1]
        count, theta = width // (2 * axes), self.c["positional_embedding_theta"]
        dtype = torch.float64 if self.c.get("frequencies_precision") == "float64" else torch.float32
        grid = (theta ** torch.linspace(0, 1, count, dtype=dtype) * (math.pi / 2)).float()
        mid = (positions[..., 0] + positions[..., 1]) / 2
        columns = []
        for index in range(count):
            for axis in range(axes):
                columns.append(grid[index] * (2 * (mid[:, axis] / max_pos[axis]) - 1))
        angles = torch.stack([torch.zeros_like(columns[0])] * (width // 2 - count * axes) + columns, -1)
        return angles.cos().double(), angles.sin().double()

    def rotate(self, x: Tensor, table: tuple[Tensor, Tensor] | None, heads: int) -> Tensor:
        """``x`` (B, T, width), all heads side by side."""
        if table is None:
            return x
        cos, sin = table
        if self.c.get("rope_type", "interleaved") == "interleaved":
            even, odd = x[..., 0::2], x[..., 1::2]
            return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)
        x, cos, sin = (t.unflatten(-1, (heads, -1)) for t in (x, cos, sin))
        one, two = x.chunk(2, -1)
        return torch.cat([one * cos - two * sin, two * cos + one * sin], -1).flatten(-2)

    def attn(self, name, x, context=None, mask=None, pe=None, k_pe=None, keep=None, heads=None) -> Tensor:
        context = x if context is None else context
        v = self.lin(f"{name}.to_v", context)
        q = self.rms(self.lin(f"{name}.to_q", x)) * self.w[f"{name}.q_norm.weight"]
        k = self.rms(self.lin(f"{name}.to_k", context)) * self.w[f"{name}.k_norm.weight"]
        q, k = self.rotate(q, pe, heads), self.rotate(k, pe if k_pe is None else k_pe, heads)
        qh, kh, vh = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        scores = qh @ kh.transpose(-1, -2) / math.sqrt(qh.shape[-1])
        if mask is not None:
            scores = scores + mask.double()
        out = (scores.softmax(-1) @ vh).transpose(1, 2).flatten(2)
        if keep is not None:
            out = out * keep + v * (1 - keep)
        if f"{name}.to_gate_logits.weight" in self.w:
            gates = 2 * torch.sigmoid(self.lin(f"{name}.to_gate_logits", x))
            out = (out.unflatten(-1, (heads, -1)) * gates[..., None]).flatten(2)
        return self.lin(f"{name}.to_out.0", out)

    def __call__(self, video: Modality | None, audio: Modality | None, keep) -> tuple[Tensor | None, Tensor | None]:
        """``keep(kind, block)`` gives (B, 1, 1) of ones and zeros."""
        c, w = self.c, self.w
        streams = {"": (video, audio, "video"), "audio_": (audio, video, "audio")}
        width = {
            "": c["num_attention_heads"] * c["attention_head_dim"],
            "audio_": c["audio_num_attention_heads"] * c["audio_attention_head_dim"],
        }
        heads = c["num_attention_heads"]
        max_pos = {"": c["positional_embedding_max_pos"], "audio_": c["audio_positional_embedding_max_pos"]}
        text_adaln = c.get("cross_attention_adaln", False)
        rows = 9 if text_adaln else 6
        s_t, s_ca = c["timestep_scale_multiplier"], c["av_ca_timestep_scale_multiplier"]
        x, mod, emb, ctx, pmod, pe, cpe, css, cgate, bias, tmask = ({} for _ in range(11))
        for p, (m, o, _) in streams.items():
            if m is None:
                continue
            batch = m.latent.shape[0]
            x[p] = self.lin(f"{p}patchify_proj", m.latent.double())
            if m.keyframes_mask is not None and f"{p}keyframes_abs_pos_embedding" in w:
                x[p] = x[p] + (m.keyframes_mask > 0).double() * w[f"{p}keyframes_abs_pos_embedding"]
            times = m.timesteps[..., 0].float() * s_t
            mod[p], emb[p] = self.head(f"{p}adaln_single", times, rows)
            ctx[p] = m.context.double()
            if f"{p}caption_projection.linear_1.weight" in w:
                ctx[p] = self.lin(
                    f"{p}caption_projection.linear_2",
                    gelu(self.lin(f"{p}caption_projection.linear_1", ctx[p]), approximate="tanh"),
                )
            if text_adaln:
                pmod[p] = torch.zeros(batch, 1, 2, width[p], dtype=torch.float64)
                if f"{p}prompt_adaln_single.linear.weight" in w:
                    pmod[p], _ = self.head(f"{p}prompt_adaln_single", m.sigma[:, None] * s_t, 2)
            pe[p] = self.rope(m.positions, width[p], max_pos[p], heads)
            if m.attention_mask is not None:
                tiny = torch.finfo(torch.float32).tiny
                logs = m.attention_mask.clamp_min(tiny).log()
                bias[p] = torch.where(m.attention_mask > 0, logs, torch.finfo(torch.float32).min)[:, None]
            if m.context_mask is not None:
                tmask[p] = ((m.context_mask.float() - 1) * torch.finfo(torch.float32).max)[:, None, None]
            if o is not None:
                cpe[p] = self.rope(
                    m.positions[:, :1],
                    c["audio_cross_attention_dim"],
                    [max(max_pos[""][0], max_pos["audio_"][0])],
                    heads,
                )
                own = {"": "video", "audio_": "audio"}[p]
                source = times if self.latest else o.sigma[:, None] * s_t
                css[p], _ = self.head(f"av_ca_{own}_scale_shift_adaln_single", source, 4)
                gate = {"": "a2v", "audio_": "v2a"}[p]
                cgate[p], _ = self.head(f"av_ca_{gate}_gate_adaln_single", o.sigma[:, None] * s_t * (s_ca / s_t), 1)

        for i in range(c["num_layers"]):
            b = f"transformer_blocks.{i}."
            for p, (m, _, name) in streams.items():
                if m is None or not m.enabled:
                    continue
                t = [w[f"{b}{p}scale_shift_table"][r] + mod[p][:, :, r] for r in range(rows)]
                h = self.rms(x[p]) * (1 + t[1]) + t[0]
                x[p] = x[p] + t[2] * self.attn(
                    f"{b}{p}attn1", h, mask=bias.get(p), pe=pe[p], keep=keep(f"{name}_self", i), heads=heads
                )
                h, kv = self.rms(x[p]), ctx[p]
                if text_adaln:
                    h = h * (1 + t[7]) + t[6]
                    q = [w[f"{b}{p}prompt_scale_shift_table"][r] + pmod[p][:, :, r] for r in range(2)]
                    kv = kv * (1 + q[1]) + q[0]
                h = self.attn(f"{b}{p}attn2", h, kv, mask=tmask.get(p), heads=heads)
                x[p] = x[p] + (h * t[8] if text_adaln else h)
            if video is not None and audio is not None:
                n = {p: self.rms(x[p]) for p in x}
                names = {"": "video", "audio_": "audio"}
                table = {
                    p: [w[f"{b}scale_shift_table_a2v_ca_{names[p]}"][r] + css[p][:, :, r] for r in range(4)]
                    + [w[f"{b}scale_shift_table_a2v_ca_{names[p]}"][4] + cgate[p][:, :, 0]]
                    for p in x
                }
                for p, o, module, kind, r in (
                    ("", "audio_", "audio_to_video_attn", "a2v", 0),
                    ("audio_", "", "video_to_audio_attn", "v2a", 2),
                ):
                    if not streams[p][0].enabled:
                        continue
                    q = n[p] * (1 + table[p][r]) + table[p][r + 1]
                    kv = n[o] * (1 + table[o][r]) + table[o][r + 1]
                    h = self.attn(f"{b}{module}", q, kv, pe=cpe[p], k_pe=cpe[o], heads=heads)
                    x[p] = x[p] + h * table[p][4] * keep(kind, i)
            for p, (m, _, _name) in streams.items():
                if m is None or not m.enabled:
                    continue
                t = [w[f"{b}{p}scale_shift_table"][r] + mod[p][:, :, r] for r in range(rows)]
                h = self.rms(x[p]) * (1 + t[4]) + t[3]
                h = self.lin(f"{b}{p}ff.net.2", gelu(self.lin(f"{b}{p}ff.net.0.proj", h), approximate="tanh"))
                x[p] = x[p] + h * t[5]

        def velocity(p: str) -> Tensor | None:
            if p not in x:
                return None
            shift, scale = (w[f"{p}scale_shift_table"][r] + emb[p] for r in (0, 1))
            centred = x[p] - x[p].mean(-1, keepdim=True)
            return self.lin(f"{p}proj_out", self.rms(centred) * (1 + scale) + shift)

        return velocity(""), velocity("audio_")


def make_model(config: dict, seed: int) -> LTXModel:
    model = LTXModelConfigurator.from_config({"transformer": config})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in name else 0.3 * noise)
    return model.eval()


def make_modality(config: dict, name: str, batch: int, tokens: int, text: int, seed: int, **changes) -> Modality:
    g = torch.Generator().manual_seed(seed)
    prefix, axes = ("", 3) if name == "video" else ("audio_", 1)
    captions = None if config.get("caption_proj_before_connector") else config["caption_channels"]
    context = captions or config["cross_attention_dim" if name == "video" else "audio_cross_attention_dim"]
    starts = torch.rand(batch, axes, tokens, 1, generator=g) * torch.tensor([10.0, 400, 600])[:axes].view(1, -1, 1, 1)
    sigma = torch.rand(batch, generator=g)
    mask = torch.rand(batch, tokens, 1, generator=g) * torch.randint(0, 2, (batch, tokens, 1), generator=g)
    fields = {
        "latent": torch.randn(batch, tokens, config[f"{prefix}in_channels"], generator=g),
        "sigma": sigma,
        "timesteps": mask * sigma[:, None, None],
        "positions": torch.cat([starts, starts + torch.rand(starts.shape, generator=g)], -1),
        "context": torch.randn(batch, text, context, generator=g),
    }
    return Modality(**(fields | changes))


def no_skips(batch: int):
    return lambda kind, block: torch.ones(batch, 1, 1, dtype=torch.float64)


def check(
    config: dict, seed: int, video: Modality | None, audio: Modality | None, perturbations=None, keep=None
) -> None:
    model = make_model(config, seed)
    latest = "ff_bias" in config
    batch = (audio if video is None else video).latent.shape[0]
    expected = Oracle(config, model.state_dict(), latest)(video, audio, keep or no_skips(batch))
    with torch.no_grad():
        actual = model(video, audio, perturbations)
    for got, want in zip(actual, expected, strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            torch.testing.assert_close(got.double(), want, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("batch", "tokens"), [(1, (1, 1)), (1, (13, 5)), (3, (7, 11))])
def test_sizes_batches_and_options(name: str, batch: int, tokens: tuple[int, int]) -> None:
    config = CONFIGS[name]
    video = make_modality(config, "video", batch, tokens[0], text=5, seed=1)
    audio = make_modality(config, "audio", batch, tokens[1], text=9, seed=2)
    check(config, 3, video, audio)


@pytest.mark.parametrize("name", CONFIGS)
def test_masks_keyframes_and_absent_or_disabled_streams(name: str) -> None:
    config = CONFIGS[name]
    g = torch.Generator().manual_seed(5)
    attention = torch.rand(2, 6, 6, generator=g) * torch.randint(0, 2, (2, 6, 6), generator=g)
    attention.diagonal(dim1=1, dim2=2).fill_(1.5)
    video = make_modality(
        config,
        "video",
        2,
        6,
        text=4,
        seed=6,
        attention_mask=attention,
        keyframes_mask=torch.tensor([0.0, 1, 0.3, 0, 0, 1])[None, :, None].expand(2, -1, -1),
        context_mask=torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]]),
    )
    attention = torch.rand(2, 3, 3, generator=g)
    audio = make_modality(config, "audio", 2, 3, text=2, seed=7, attention_mask=attention)
    check(config, 8, video, audio)
    check(config, 8, video, None)
    check(config, 8, None, audio)
    disabled = make_modality(config, "audio", 2, 3, text=2, seed=7, enabled=False)
    check(config, 8, video, disabled)
    disabled = make_modality(config, "video", 2, 6, text=2, seed=7, enabled=False)
    check(config, 8, disabled, audio)


PERTURBATIONS = {
    "none": [None, [], None],
    "all": [[(kind, None) for kind in SKIPS]] * 3,
    "empty lists": [[(kind, []) for kind in SKIPS]] * 3,
    "mixed": [[("video_self", [0, 2]), ("a2v", None)], [("audio_self", None), ("v2a", [1])], []],
    "one row": [[], [(kind, (1,)) for kind in SKIPS], None],
    "duplicates": [[("video_self", [0]), ("video_self", [2]), ("video_self", [99])], None, [("v2a", [-1])]],
}


@pytest.mark.parametrize("name", ["2", "2.3", "2.5"])
@pytest.mark.parametrize("perturbed", PERTURBATIONS)
def test_perturbations(name: str, perturbed: str) -> None:
    config, rows = CONFIGS[name], PERTURBATIONS[perturbed]
    batched = BatchedPerturbationConfig(
        [
            PerturbationConfig(None if row is None else [Perturbation(SKIPS[kind], blocks) for kind, blocks in row])
            for row in rows
        ]
    )

    def keep(kind: str, block: int) -> Tensor:
        skipped = [any(k == kind and (s is None or block in s) for k, s in row or ()) for row in rows]
        return 1.0 - torch.tensor(skipped, dtype=torch.float64).view(-1, 1, 1)

    video = make_modality(config, "video", 3, 7, text=4, seed=11)
    audio = make_modality(config, "audio", 3, 4, text=3, seed=12)
    check(config, 13, video, audio, batched, keep)
