"""What several ranks compute in `tests/unit/test_parallel*.py`, each compared with the same on one rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.components.schedulers import LTX2Scheduler
from ltx_core_impl.conditioning.attention_strength import ConditioningItemAttentionStrengthWrapper
from ltx_core_impl.conditioning.video_items import VideoConditionByLatentIndex, VideoConditionByReferenceLatent
from ltx_core_impl.guidance import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType
from ltx_core_impl.model.transformer import Modality, X0Model
from ltx_core_impl.model.transformer.modality import TokenGroups
from ltx_core_impl.model.transformer.text_reading import TextReading, TextRun
from ltx_core_impl.model.video_vae import (
    AxisTiling,
    DiffusionVideoDecoder,
    PerAxisTiling,
    SpatialTiling,
    TemporalTiling,
    TilingConfig,
)
from ltx_core_impl.parallel.exchange import Team
from ltx_core_impl.parallel.ranks import Ranks
from ltx_core_impl.parallel.sharding import shard_weights
from ltx_core_impl.parallel.tiles import spread_tiles
from ltx_core_impl.parallel.traffic import sent_bytes
from ltx_core_impl.parallel.transformer import ParallelTransformer
from ltx_core_impl.sampling.denoisers import GuidedDenoiser
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.sampling.timed_text import Shots, TimedText
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import golden, relative_error
from tests.golden_cases import test_video_vae, test_video_vae_25
from tests.sampling_helpers import RULES, tools
from tests.transformer_helpers import golden_modalities, load_transformer

VERSIONS = ("2.0", "2.3", "2.5")
Call = tuple[Any, ...]
Model = Callable[..., tuple[torch.Tensor | None, torch.Tensor | None]]

A2V, V2A = PerturbationType.SKIP_A2V_CROSS_ATTN, PerturbationType.SKIP_V2A_CROSS_ATTN
STG = PerturbationConfig(
    [Perturbation(PerturbationType.SKIP_VIDEO_SELF_ATTN, [2]), Perturbation(PerturbationType.SKIP_AUDIO_SELF_ATTN, [1])]
)
ISOLATED = PerturbationConfig([Perturbation(A2V), Perturbation(V2A)])
SHOTS = Shots((0.2, 0.45), border=0.1)
"""Three in the 0.68 s of the runs."""
GUIDANCE = MultiModalGuiderParams(cfg_scale=3.0, stg_scale=1.0, stg_blocks=(2,), rescale_scale=0.7, modality_scale=3.0)


def forward_cases(version: str) -> Iterator[tuple[str, Call]]:
    """Single passes: ``(name, arguments of the model)``."""
    video, audio = golden_modalities(version)
    masks = golden(version, "transformer-masks")
    context_mask = masks["context_mask"]
    yield "plain", (video, audio)
    yield "video alone", (video, None)
    yield "sound alone", (None, audio)
    yield "text mask", (replace(video, context_mask=context_mask), replace(audio, context_mask=context_mask))
    per_query = context_mask[:, None].repeat(1, video.latent.shape[1], 1)
    per_query[:, ::2, -1] = 0
    yield "text mask of each query", (replace(video, context_mask=per_query), audio)
    yield "mask between tokens", (replace(video, attention_mask=masks["attention_mask"]), audio)
    yield "sound that only serves", (video, replace(audio, enabled=False))
    yield "one token of sound", (video, _first_tokens(audio, 1))
    yield "one token of both", (_first_tokens(video, 1), _first_tokens(audio, 1))
    yield "tokens that come out even on two, not on three", (_first_tokens(video, 10), _first_tokens(audio, 4))
    configs = [PerturbationConfig([Perturbation(A2V, [0, 2])]), STG]
    masked = replace(video, attention_mask=masks["attention_mask"])
    yield "perturbed", (masked, audio, BatchedPerturbationConfig(configs))
    yield "forked", (masked, audio, BatchedPerturbationConfig([STG, ISOLATED]), [(1, STG), (0, ISOLATED), (0, STG)])
    levels = torch.zeros_like(video.timesteps)
    levels[:, : levels.shape[1] // 2] = 0.7
    levels[1, -1:] = 0.3
    kept = replace(video, timesteps=levels, timestep_groups=TokenGroups.of(levels.flatten(1)))
    yield "tokens of different levels", (kept, audio)
    shots = (_of_shots(video), _of_shots(audio))
    yield "shots", shots
    yield "shots, forked", (*shots, BatchedPerturbationConfig([STG, ISOLATED]), [(1, STG), (0, ISOLATED), (0, STG)])
    yield "shots of one token", (_of_shots(video), _of_shots(_first_tokens(audio, 1)))
    yield "shots of the sound alone", (video, _of_shots(audio))
    if version == "2.5":
        mark = golden("2.5", "transformer-keyframes")["first_mask"]
        yield "marked keyframes", (replace(video, keyframes_mask=mark), audio)


def _of_shots(modality: Modality) -> Modality:
    """Three shots in the first row, cross-faded, and in the second one the text of the first, then one of its own."""
    tokens, given = modality.latent.shape[1], modality.context
    texts = torch.cat([given, given.flip(1), given.roll(1, 2)])[:4]
    shares = torch.linspace(0.1, 0.9, tokens)[None, :, None]
    both = torch.cat([1 - shares, shares])
    runs = [TextRun(tokens // 4, (0,)), TextRun(tokens // 2, (0, 1), both[:, tokens // 4 : tokens // 2])]
    first = (*runs, TextRun(tokens - 1, (1,)), TextRun(tokens, (1, 2), both[:, -1:]))
    second = (TextRun(tokens - tokens // 3, (3,)), TextRun(tokens, (2,)))
    if tokens < 4:
        first, second = (TextRun(tokens, (0, 1), both),), (TextRun(tokens, (2, 3), both),)
    sigma = modality.sigma[:1].expand_as(modality.sigma)  # rows that read the same text have the same
    return replace(modality, sigma=sigma, context=texts, text_reading=TextReading((first, second)))


def _first_tokens(modality: Modality, count: int) -> Modality:
    timesteps = modality.timesteps if modality.timesteps.shape[1] == 1 else modality.timesteps[:, :count]
    latent, positions = modality.latent[:, :count], modality.positions[:, :, :count]
    return replace(modality, latent=latent, timesteps=timesteps, positions=positions)


def run_cases(
    version: str, streams: tuple[bool, bool], model: Model, shots: Shots | None = None
) -> tuple[torch.Tensor | None, ...]:
    """A guided run of two steps with a first frame and a reference that some tokens may not see."""
    pixels = VideoPixelShape(batch=1, frames=17, height=64, width=96, fps=25.0)
    video_tools, audio_tools = tools(pixels, RULES[version])
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    given, sound = golden_modalities(version)
    contexts = {
        name: random(1, *modality.context.shape[1:])
        for name, modality in (("video", given), ("audio", sound), ("video_not", given), ("audio_not", sound))
    }
    if shots is not None:
        for name in ("video", "audio"):
            text = contexts[name]
            contexts[name] = TimedText((text, random(*text.shape), random(*text.shape)), shots)
    first = VideoConditionByLatentIndex(random(1, 128, 1, 2, 3), strength=0.9, latent_idx=0)
    reference = VideoConditionByReferenceLatent(random(1, 128, 3, 2, 3), strength=1.0)
    items = [first, ConditioningItemAttentionStrengthWrapper(reference, attention_mask=0.5)]
    states = denoise_stage(
        transformer=model,
        denoiser=GuidedDenoiser(
            video_context=contexts["video"],
            audio_context=contexts["audio"],
            video_guider=MultiModalGuider(GUIDANCE, negative_context=contexts["video_not"]),
            audio_guider=MultiModalGuider(GUIDANCE, negative_context=contexts["audio_not"]),
        ),
        sigmas=LTX2Scheduler().execute(2),
        noiser=GaussianNoiser(seeded_generators(3)),
        device="cpu",
        dtype=torch.float32,
        video=StageModality(video_tools, conditionings=items) if streams[0] else None,
        audio=StageModality(audio_tools) if streams[1] else None,
    )
    return tuple(None if state is None else state.latent for state in states)


def _worst(found: tuple[torch.Tensor | None, ...], expected: tuple[torch.Tensor | None, ...]) -> float:
    assert [one is None for one in found] == [one is None for one in expected]
    return max(relative_error(a, b) for a, b in zip(found, expected, strict=True) if b is not None)


@torch.no_grad()
def differences(ranks: Ranks, splits: tuple[str, ...], versions: tuple[str, ...] = VERSIONS) -> dict[str, float]:
    """Relative errors against one rank, by model version, split and case; as "seen ..." the tokens that a rank ran."""
    found = {}
    for version in versions:
        alone, model = X0Model(load_transformer(version)), X0Model(load_transformer(version))
        seen: list[int] = []
        for feed_forward in (
            model.velocity_model.transformer_blocks[0].ff,
            alone.velocity_model.transformer_blocks[0].ff,
        ):
            feed_forward.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0][..., 0].numel()))
        together = {split: ParallelTransformer(model, ranks, split) for split in splits}
        for name, call in forward_cases(version):
            seen.clear()
            expected = alone(*call)
            found[f"seen {version} alone: {name}"] = sum(seen)
            for split, transformer in together.items():
                seen.clear()
                found[f"{version} {split}: {name}"] = _worst(transformer(*call), expected)
                found[f"seen {version} {split}: {name}"] = sum(seen)
        for streams in ((True, True), (True, False), (False, True)):
            expected = run_cases(version, streams, alone)
            for split, transformer in together.items():
                with transformer.velocity_model.keep_text():
                    run = run_cases(version, streams, transformer)
                found[f"{version} {split}: run of {streams}"] = _worst(run, expected)
        expected = run_cases(version, (True, True), alone, SHOTS)
        for split, transformer in together.items():
            with transformer.velocity_model.keep_text():
                run = run_cases(version, (True, True), transformer, SHOTS)
            found[f"{version} {split}: run of shots"] = _worst(run, expected)
    return found


@torch.no_grad()
def sharded_differences(ranks: Ranks) -> dict[str, float]:
    """As `differences`, with the weights over the ranks, and each rank's share of the bytes as "share ..."."""
    found = {}
    for version in VERSIONS:
        alone, model = X0Model(load_transformer(version)), load_transformer(version)
        shard_weights(model, ranks)
        held = sum(weight.to_local().numel() for weight in model.parameters())
        found[f"share {version}"] = held / sum(weight.numel() for weight in alone.parameters())
        expected = run_cases(version, (True, True), alone)
        for split in ("tokens", "passes"):
            run = run_cases(version, (True, True), ParallelTransformer(X0Model(model), ranks, split))
            found[f"{version} {split}"] = _worst(run, expected)
    return found


@torch.no_grad()
def decoded_differences(ranks: Ranks) -> dict[str, float]:
    """Relative errors of videos whose tiles the ranks share, and how many tiles each rank ran as "tiles ..."."""
    found = {}
    corners = PerAxisTiling(AxisTiling(16, 8), AxisTiling(64, 32), AxisTiling(96, 32))
    blocks = TilingConfig(SpatialTiling(size=64, overlap=32), TemporalTiling(size=16, overlap=8))
    decoders = {
        "2.3": (test_video_vae.decoder("2.3"), blocks, golden("2.3", "video-vae-tiled")["latents"][..., :3, :3]),
        "2.5": (test_video_vae_25.convolutional_decoder(), corners, golden("2.5", "video-vae-conv-tiled")["latents"]),
        "2.5 diffusion": (
            test_video_vae_25.diffusion_decoder().with_steps(2),
            PerAxisTiling(frames=AxisTiling(size=16, overlap=8), width=AxisTiling(size=64, overlap=32)),
            golden("2.5", "video-vae-tiled")["decode_latents"],
        ),
    }
    for name, (decoder, tiling, latents) in decoders.items():
        counted: list[int] = []
        layer = decoder.conv_out if isinstance(decoder, DiffusionVideoDecoder) else decoder.conv_in
        hook = layer.register_forward_hook(lambda *_, counted=counted: counted.append(1))
        both = []
        for team in (Team(), ranks.everyone):
            spread_tiles(decoder, team)
            counted.clear()
            both.append(torch.cat(list(decoder.tiled_decode(latents, tiling, generator=_seeded())), dim=2))
            found[f"tiles {name} on {team.size}"] = len(counted)
        hook.remove()
        found[name] = _worst((both[1],), (both[0],))
    return found


@torch.no_grad()
def sent(ranks: Ranks) -> dict[str, int]:
    """Bytes that this rank sends in a pass of one row, counted, and as `sent_bytes` tells them."""
    found = {}
    model = X0Model(load_transformer("2.3"))
    video, audio = (one_row(modality) for modality in golden_modalities("2.3"))
    options, tokens = model.velocity_model.options, (video.latent.shape[1], audio.latent.shape[1])
    counted: list[int] = []
    exchange, gather = dist.all_to_all_single, dist.all_gather_into_tensor

    def counting_exchange(
        output: torch.Tensor, given: torch.Tensor, arriving: list, leaving: list, **rest: Any
    ) -> None:
        counted.append((sum(leaving) - leaving[ranks.rank]) * given.itemsize)
        exchange(output, given, arriving, leaving, **rest)

    def counting_gather(output: torch.Tensor, given: torch.Tensor, **rest: Any) -> None:
        counted.append(given.nbytes * (ranks.size - 1))
        gather(output, given, **rest)

    with (
        patch.object(dist, "all_to_all_single", counting_exchange),
        patch.object(dist, "all_gather_into_tensor", counting_gather),
    ):
        ParallelTransformer(model, ranks, "tokens")(video, audio)
    found["counted"] = sum(counted)
    found["told"] = sent_bytes(options, *tokens, ranks=ranks.size, itemsize=4, way="heads")
    return found


def one_row(modality: Modality) -> Modality:
    """The first row of a pass."""
    rows = {name: getattr(modality, name)[:1] for name in ("latent", "sigma", "timesteps", "positions", "context")}
    return replace(modality, **rows)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)
