"""The numbers of spec 02 §17: sinusoid, masks, norms, and a whole tiny model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ltx_core_impl.guidance import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import (
    LTXAudioOnlyModelConfigurator,
    LTXModel,
    LTXModelConfigurator,
    LTXVideoOnlyModelConfigurator,
    Modality,
    X0Model,
)
from ltx_core_impl.model.transformer.adaln import TokenTimesteps, timestep_sinusoid
from ltx_core_impl.model.transformer.masks import self_attention_bias, text_mask_bias

BASE = {
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 4,
    "in_channels": 4,
    "out_channels": 4,
    "audio_in_channels": 4,
    "audio_out_channels": 4,
    "cross_attention_dim": 16,
    "audio_cross_attention_dim": 8,
    "dropout": 0.0,
    "attention_bias": True,
    "num_vector_embeds": None,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "use_linear_projection": False,
    "only_cross_attention": False,
    "cross_attention_norm": True,
    "double_self_attention": False,
    "upcast_attention": False,
    "standardization_norm": "rms_norm",
    "norm_elementwise_affine": False,
    "qk_norm": "rms_norm",
    "positional_embedding_type": "rope",
    "use_middle_indices_grid": True,
    "use_audio_video_cross_attention": True,
    "share_ff": False,
    "av_cross_ada_norm": True,
}
PUBLISHED = {"rope_type": "split", "frequencies_precision": "float64", "av_ca_timestep_scale_multiplier": 1000.0}
A = BASE | PUBLISHED | {"caption_channels": 6}
B = (
    BASE
    | PUBLISHED
    | {"apply_gated_attention": True, "cross_attention_adaln": True, "caption_proj_before_connector": True}
)
C = BASE | {"caption_channels": 6}
LIKE_25 = B | {"ff_bias": False, "use_keyframes_abs_pos_embedding": True}

Skip = PerturbationType


def build(section: dict, configurator: type = LTXModelConfigurator) -> LTXModel:
    """The model with the formula weights of C7; single-stream models take those of the joint one."""
    weights = {}
    for k, (key, value) in enumerate(
        sorted(LTXModelConfigurator.from_config({"transformer": section}).state_dict().items())
    ):
        wave = 0.1 * torch.sin(0.37 * torch.arange(value.numel(), dtype=torch.float64) + 1.3 * k)
        wave += key.endswith(("q_norm.weight", "k_norm.weight"))
        weights[key] = wave.view(value.shape).float()
    model = configurator.from_config({"transformer": section})
    model.load_state_dict({key: weights[key] for key in model.state_dict()})
    return model.eval()


def wave(shape: tuple[int, ...], a: float, b: float) -> torch.Tensor:
    count = torch.Size(shape).numel()
    return torch.sin(a * torch.arange(count, dtype=torch.float64) + b).view(shape).float()


def inputs(section: dict) -> tuple[Modality, Modality]:
    widths = (6, 6) if "caption_channels" in section else (16, 8)
    grid = torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(2)).T.float()
    starts = torch.stack([grid[0] * 0.04, grid[1] * 32, grid[2] * 32])
    ends = torch.stack([0.04 + grid[0] * 0.32, grid[1] * 32 + 32, grid[2] * 32 + 32])
    mask = torch.tensor([0.0] * 4 + [1.0] * 4).view(1, 8, 1)
    video = Modality(
        latent=wave((1, 8, 4), 0.11, 0.5),
        sigma=torch.tensor([0.7]),
        timesteps=mask * 0.7,
        positions=torch.stack([starts, ends], dim=-1)[None],
        context=wave((1, 3, widths[0]), 0.23, 0.1),
    )
    audio = Modality(
        latent=wave((1, 3, 4), 0.17, 0.2),
        sigma=torch.tensor([0.4]),
        timesteps=torch.full((1, 3, 1), 0.4),
        positions=torch.tensor([[[[0, 0.01], [0.01, 0.05], [0.05, 0.09]]]]),
        context=wave((1, 3, widths[1]), 0.29, 0.3),
    )
    return video, audio


def near(actual: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=0, atol=5e-6)


def skip(*perturbations: Perturbation) -> BatchedPerturbationConfig:
    return BatchedPerturbationConfig([PerturbationConfig(perturbations)])


def test_c1_sinusoid() -> None:
    channels = [0, 1, 2, 127, 128, 129, 255]
    expected = [-0.839104295, -0.461800426, -0.988410413, 0.997172117, 0.543970525, -0.886983871, 0.0751516074]
    torch.testing.assert_close(
        timestep_sinusoid(torch.tensor([700.0]))[0, channels], torch.tensor(expected), rtol=0, atol=1e-6
    )
    expected = [0.764842212, 0.795235515, 0.821833253, 1.0, 0.64421767, 0.606300652, 7.52225314e-05]
    near(timestep_sinusoid(torch.tensor([0.7]))[0, channels], expected)
    near(timestep_sinusoid(torch.tensor([0.0]))[0, channels], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def test_c5_masks() -> None:
    text = torch.tensor([[1, 1, 0]])
    for dtype, lowest in ((torch.float32, -3.4028234663852886e38), (torch.bfloat16, -3.3895313892515355e38)):
        bias = text_mask_bias(text, dtype)
        assert bias.shape == (1, 1, 1, 3) and bias.dtype == dtype
        assert bias.flatten().tolist() == [0, 0, lowest]
    assert torch.equal(text_mask_bias(text.bool(), torch.float32), text_mask_bias(text, torch.float32))
    strengths = torch.tensor([[[1, 0.5], [1e-3, 0]]])
    bias = self_attention_bias(strengths, torch.float32)
    assert bias.shape == (1, 1, 2, 2)
    expected = [0, -0.6931471824645996, -6.907755374908447, -3.4028234663852886e38]
    assert bias.flatten().tolist() == pytest.approx(expected, rel=1e-6)
    bias = self_attention_bias(strengths, torch.bfloat16)
    assert bias.flatten().tolist() == [0, -0.69140625, -6.90625, -3.3895313892515355e38]
    assert strengths[0, 1, 1] == 0, "the input must not change"


@pytest.mark.parametrize(
    ("section", "tensors", "parameters"),
    [
        (A, 198, 37_432),
        (B, 230, 45_704),
        (LIKE_25, 227, None),
        (LIKE_25 | {"use_prompt_adaln_single": False}, 215, None),
    ],
)
def test_c7_sizes(section: dict, tensors: int, parameters: int | None) -> None:
    state = LTXModelConfigurator.from_config({"transformer": section}).state_dict()
    assert len(state) == tensors
    assert parameters is None or sum(value.numel() for value in state.values()) == parameters


def test_c7_weights() -> None:
    near(build(A).patchify_proj.weight.flatten()[:3], [0.08268287, 0.056748301, 0.023133116])
    near(build(B).patchify_proj.weight.flatten()[:3], [-0.041855447, -0.0061813639, 0.030329337])


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            A,
            [
                [0.083700873, -0.32792717, -0.69646043, -0.97370571],
                [0.1654723, -0.30503055, -0.73542565, -1.0694494],
                [-0.34680027, 0.19199197, -0.40578344, 0.28530955],
                [-0.20833892, 0.028530702, -0.22269781, 0.088620357],
            ],
        ),
        (
            B,
            [
                [0.015645817, -0.062623009, -0.13318373, -0.18685757],
                [-0.44940948, -0.48852813, -0.46437523, -0.38012809],
                [-0.20888032, 0.13224359, -0.15698753, 0.21117777],
                [-0.21989352, 0.11642516, -0.11485764, 0.14412189],
            ],
        ),
        (
            C,
            [
                [0.075769804, -0.33725631, -0.70597059, -0.98215610],
                [0.15201996, -0.31775221, -0.74575704, -1.0760427],
                [-0.34696978, 0.19208305, -0.40579313, 0.28523758],
                [-0.20755170, 0.027928263, -0.22229990, 0.088440113],
            ],
        ),
    ],
    ids=["LTX-2", "LTX-2.3", "defaults"],
)
def test_c7_velocity(section: dict, expected: list[list[float]]) -> None:
    video, audio = build(section)(*inputs(section))
    for row, values in zip((video[0, 0], video[0, 7], audio[0, 0], audio[0, 2]), expected, strict=True):
        near(row, values)


def test_c7_residual_streams() -> None:
    model = build(A)
    seen = []
    for block in model.transformer_blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    model(*inputs(A))
    near(seen[0][0][0, 7, :4], [-0.036023028, 0.33026734, 0.25103691, 0.0068267062])
    near(seen[0][1][0, 2, :4], [-0.021885294, -0.087221846, 0.33232617, 0.39007801])
    near(seen[1][0][0, 7, :4], [0.1141786, 0.39306325, 0.19875488, 0.089562163])
    near(seen[1][1][0, 2, :4], [0.020500679, 0.022234121, 0.48594168, 0.49547711])


@pytest.mark.parametrize(
    ("perturbations", "expected_video", "expected_audio"),
    [
        (
            skip(Perturbation(Skip.SKIP_VIDEO_SELF_ATTN, [1])),
            [-0.45057738, -0.48962748, -0.4652625, -0.38068759],
            [-0.21990098, 0.11642708, -0.11485395, 0.14411272],
        ),
        (
            skip(Perturbation(Skip.SKIP_AUDIO_SELF_ATTN)),
            [-0.44940978, -0.48852849, -0.46437553, -0.38012826],
            [-0.21988547, 0.11643659, -0.11488818, 0.14417051],
        ),
        (
            skip(Perturbation(Skip.SKIP_A2V_CROSS_ATTN), Perturbation(Skip.SKIP_V2A_CROSS_ATTN)),
            [-0.45787579, -0.49684656, -0.47146043, -0.38505584],
            [-0.21904047, 0.11232929, -0.10765365, 0.13404664],
        ),
    ],
    ids=["video self", "audio self", "isolated"],
)
def test_c7_perturbed(perturbations, expected_video: list[float], expected_audio: list[float]) -> None:
    video, audio = build(B)(*inputs(B), perturbations)
    near(video[0, 7], expected_video)
    near(audio[0, 2], expected_audio)


def test_c7_single_stream_models() -> None:
    video, audio = inputs(B)
    out, _ = build(B, LTXVideoOnlyModelConfigurator)(video, None)
    near(out[0, 7], [-0.45787579, -0.49684656, -0.47146043, -0.38505584])
    _, out = build(B, LTXAudioOnlyModelConfigurator)(None, audio)
    near(out[0, 2], [-0.21904047, 0.11232929, -0.10765365, 0.13404664])


def test_c7_masks() -> None:
    video, audio = inputs(B)
    strengths = torch.ones(1, 8, 8)
    strengths[0, 0:4, 4:8] = 0.5
    strengths[0, 4:8, 0:4] = 0
    strengths[0, 6, 6] = 1e-3
    text = torch.tensor([[1, 1, 0]])
    video = replace(video, attention_mask=strengths, context_mask=text)
    video, audio = build(B)(video, replace(audio, context_mask=text))
    near(video[0, 0], [0.013456248, -0.065288216, -0.13597693, -0.18941428])
    near(video[0, 7], [-0.45006722, -0.4876278, -0.46203414, -0.3766517])
    near(audio[0, 2], [-0.21906556, 0.11595796, -0.11476657, 0.14440991])


def test_c7_disabled_video() -> None:
    video, audio = inputs(B)
    video, audio = build(B)(replace(video, enabled=False), audio)
    near(video[0, 7], [-0.55811244, -0.60863274, -0.58021247, -0.47658587])
    near(audio[0, 2], [-0.21984182, 0.11633484, -0.11473167, 0.14396438])


def test_c7_denoised() -> None:
    video, audio = X0Model(build(A))(*inputs(A))
    near(video[0, 7], [-0.54032856, -0.30780742, -0.097059965, 0.053623617])
    near(audio[0, 2], [1.0832772, 0.9759416, 1.0353792, 0.84251595])
    assert torch.equal(video[0, :4], inputs(A)[0].latent[0, :4])
    video, _ = X0Model(build(B))(*inputs(B))
    near(video[0, 7], [-0.10991132, -0.17935911, -0.28679523, -0.42890134])


def test_c7_like_2_5() -> None:
    model = build(LIKE_25)
    video, audio = inputs(LIKE_25)
    out_video, out_audio = model(video, audio)
    near(out_video[0, 0], [-0.32696584, -0.39573351, -0.41315103, -0.37678188])
    near(out_audio[0, 2], [-0.2073686, 0.097492084, -0.090139061, 0.11443064])
    marks = torch.tensor([1.0] * 4 + [0.0] * 4).view(1, 8, 1)
    out_video, out_audio = model(replace(video, keyframes_mask=marks), audio)
    near(out_video[0, 0], [-0.089216225, -0.26145104, -0.39985418, -0.48620534])
    near(out_audio[0, 2], [-0.20609738, 0.09516757, -0.086837694, 0.11026098])


def test_c7_like_2_5_without_prompt_timestep() -> None:
    section = LIKE_25 | {"use_prompt_adaln_single": False}
    video, _ = build(section)(*inputs(section))
    near(video[0, 0], [0.040430851, -0.067240521, -0.16655627, -0.24462375])


def test_sigma_may_be_zero_dimensional() -> None:
    model = build(B)
    video, audio = inputs(B)
    expected = model(video, audio)
    out = model(replace(video, sigma=video.sigma[0]), replace(audio, sigma=audio.sigma[0]))
    assert torch.equal(out[0], expected[0]) and torch.equal(out[1], expected[1])


def test_one_timestep_per_row_equals_one_per_token() -> None:
    model = build(B)
    video, audio = inputs(B)
    video = replace(video, timesteps=torch.full((1, 8, 1), 0.7))
    expected = model(video, audio)
    for timesteps in (torch.full((1, 1, 1), 0.7), torch.full((1, 8), 0.7)):
        out = model(replace(video, timesteps=timesteps), audio)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)


def test_distinct_timesteps_are_found() -> None:
    uniform = TokenTimesteps.from_tokens(torch.tensor([[0.5, 0.5], [0.7, 0.7]]))
    assert uniform.index is None and torch.equal(uniform.values, torch.tensor([0.5, 0.7]))
    mixed = torch.tensor([[0.0, 0.7, 0.7], [0.7, 0.7, 0.3]])
    found = TokenTimesteps.from_tokens(mixed)
    assert len(found.values) == 3 and torch.equal(found.values[found.index], mixed)
