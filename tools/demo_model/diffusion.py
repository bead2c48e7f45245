"""The trainable diffusion model: transformer and text connectors, and how a training batch is put to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from ltx_core_impl.components.patchifiers import AudioPatchifier, VideoLatentPatchifier
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.guidance.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core_impl.model.transformer import LTXModelConfigurator, Modality
from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessorConfigurator
from ltx_core_impl.text_encoders.gemma.embeddings_connector import convert_to_additive_mask
from ltx_core_impl.text_encoders.gemma.tokenizer import DEFAULT_MAX_LENGTH
from ltx_core_impl.types import AudioLatentShape, SpatioTemporalScaleFactors, VideoLatentShape

from .settings import CONFIG, REGISTERS, TEXT_LAYERS, TEXT_WIDTH, VIDEO_SCALE
from .world import FPS

_ISOLATED = PerturbationConfig(
    (Perturbation(PerturbationType.SKIP_A2V_CROSS_ATTN), Perturbation(PerturbationType.SKIP_V2A_CROSS_ATTN))
)
REGISTER_LOGIT_BIAS, TEXT_QUERY_GAIN = -2.5, 2.0


class TextContext(tuple):
    """``(video, audio, mask)``: contexts ``(B, T, D)`` and the additive mask ``(B, T)`` that both share."""


class DiffusionModel(nn.Module):
    """Transformer and embeddings processor, the way they are stored together.

    While it is trained, a connector has one register in place of 128 equal ones, and a prompt is as long as its words
    plus that register, which counts as often in the softmax as it is repeated in a padded prompt. Both ways give the
    same numbers as long as no register differs and the connectors' self-attention is off; that makes a step about
    thirty times cheaper. :meth:`published_state` writes the registers out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transformer = LTXModelConfigurator.from_config(CONFIG)
        self.processor = EmbeddingsProcessorConfigurator.from_config(CONFIG)
        _initialize(self)

    def contexts(self, hidden: Tensor, lengths: Tensor) -> TextContext:
        """Hidden states ``(B, T, D, L)`` padded on the right, ``T`` above every length ``(B,)``, to contexts."""
        places = torch.arange(hidden.shape[1])
        mask = (places < lengths[:, None]).long()
        features = self.processor.feature_extractor(hidden, mask=mask)
        additive = convert_to_additive_mask(mask, hidden.dtype)
        video, _ = self.processor.video_connector(features.video, additive)
        audio, _ = self.processor.audio_connector(features.audio, additive)
        repeats = (DEFAULT_MAX_LENGTH - lengths).float().log()[:, None]
        bias = torch.where(places == lengths[:, None], repeats, torch.finfo(hidden.dtype).min)
        return TextContext((video, audio, torch.where(mask.bool(), 0.0, bias)))

    def published_state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """State dicts of the transformer and of the processor with all registers."""
        processor = dict(self.processor.state_dict())
        for name in ("video_connector", "audio_connector"):
            key = f"{name}.learnable_registers"
            processor[key] = processor[key].expand(REGISTERS, -1).contiguous()
        return dict(self.transformer.state_dict()), processor


@torch.no_grad()
def _initialize(model: DiffusionModel) -> None:
    """Start as a plain pre-norm transformer that predicts nothing and reads the words, not the registers."""
    transformer, processor = model.transformer, model.processor
    for name, module in transformer.named_modules():
        if name.endswith("adaln_single"):
            module.linear.weight.mul_(0.05)
            module.linear.bias.zero_()
    for block in transformer.transformer_blocks:
        for table in (block.scale_shift_table, block.audio_scale_shift_table):
            table[[2, 5, 8]] = 1.0  # gates
        for table in (block.scale_shift_table_a2v_ca_video, block.scale_shift_table_a2v_ca_audio):
            table[4] = 1.0
        for attention in (block.attn2, block.audio_attn2):
            _avoid_registers(attention)
    for name in ("proj_out", "audio_proj_out"):
        layer = getattr(transformer, name)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    states = TEXT_WIDTH * (TEXT_LAYERS + 1)
    for stream in ("video", "audio"):
        embed = getattr(processor.feature_extractor, f"{stream}_aggregate_embed")
        embed.in_features, embed.weight = states, nn.Parameter(torch.randn(embed.out_features, states) / states**0.5)
        embed.weight[0] = 0
        embed.bias.zero_()
        connector = getattr(processor, f"{stream}_connector")
        width = connector.learnable_registers.shape[1]
        register = torch.zeros(1, width)
        register[0, 0] = width**0.5
        connector.learnable_registers = nn.Parameter(register)
        for connector_block in connector.transformer_1d_blocks:
            nn.init.zeros_(connector_block.ff.net[2].weight)
            nn.init.zeros_(connector_block.ff.net[2].bias)
            for parameter in connector_block.attn1.parameters():
                parameter.requires_grad_(False)
            nn.init.zeros_(connector_block.attn1.to_out[0].weight)
            nn.init.zeros_(connector_block.attn1.to_out[0].bias)


def _avoid_registers(attention: nn.Module) -> None:
    """A thousand equal registers would drown twenty words: queries start out turned away from them."""
    first = torch.arange(0, attention.to_q.out_features, attention.to_q.out_features // attention.heads)
    attention.to_k.weight[:, 0] = 0
    attention.to_k.weight[first, 0] = 1
    attention.to_k.bias.zero_()
    attention.to_q.bias[first] = REGISTER_LOGIT_BIAS
    attention.q_norm.weight.fill_(TEXT_QUERY_GAIN)


@lru_cache(maxsize=16)
def video_positions(shape: VideoLatentShape, fps: float = FPS) -> Tensor:
    """Positions of the tokens of a clip; the same object every time, so that the model's tables stay valid."""
    return VideoLatentTools(shape, fps=fps, scale_factors=SpatioTemporalScaleFactors(*VIDEO_SCALE)).target_positions()


@lru_cache(maxsize=16)
def audio_positions(shape: AudioLatentShape) -> Tensor:
    """Positions of the tokens of a sound."""
    return AudioLatentTools(shape).target_positions()


@dataclass(frozen=True)
class Stream:
    """One modality of a training batch: clean tokens ``(B, N, C)``, which of them are generated ``(B, N, 1)``."""

    clean: Tensor
    mask: Tensor
    positions: Tensor

    @classmethod
    def of_video(cls, latent: Tensor) -> Stream:
        """All of ``(B, C, F, H, W)`` is generated."""
        tokens = VideoLatentPatchifier().patchify(latent)
        shape = VideoLatentShape.from_torch_shape(latent.shape)
        return cls(tokens, torch.ones(*tokens.shape[:2], 1), video_positions(shape))

    @classmethod
    def of_audio(cls, latent: Tensor) -> Stream:
        """All of ``(B, C, T, mel)`` is generated."""
        tokens = AudioPatchifier().patchify(latent)
        shape = AudioLatentShape.from_torch_shape(latent.shape)
        return cls(tokens, torch.ones(*tokens.shape[:2], 1), audio_positions(shape))


def noisy_modalities(
    streams: Sequence[Stream], noise: Sequence[Tensor], sigma: Tensor, text: TextContext
) -> list[Modality]:
    """Video and audio at noise level ``sigma`` ``(B,)``; a stream of which nothing is generated is shown clean."""
    modalities = []
    for stream, one_noise, context in zip(streams, noise, text[:2], strict=True):
        timesteps = stream.mask * sigma.view(-1, 1, 1)
        generated = (stream.mask.amax(dim=(1, 2)) > 0).float()
        modalities.append(
            Modality(
                latent=torch.lerp(stream.clean, one_noise, timesteps),
                sigma=sigma * generated,
                timesteps=timesteps,
                positions=stream.positions,
                context=context,
                context_mask=text[2],
            )
        )
    return modalities


def velocity_losses(
    model: DiffusionModel,
    streams: tuple[Stream, Stream],
    sigma: Tensor,
    text: TextContext,
    generator: torch.Generator,
    weights: tuple[Tensor, Tensor] | None = None,
    isolated: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean squared errors of the predicted velocity of video and audio, over the tokens that are generated.

    Args:
        sigma: ``(B,)`` noise level of both streams.
        weights: of the channels of each stream, ``(C,)``.
        isolated: ``(B,)`` booleans: rows whose streams do not see each other.
    """
    noise = [torch.randn(stream.clean.shape, generator=generator) for stream in streams]
    perturbations = None
    if isolated is not None and bool(isolated.any()):
        empty = PerturbationConfig.empty()
        perturbations = BatchedPerturbationConfig([_ISOLATED if row else empty for row in isolated.tolist()])
    predicted = model.transformer(*noisy_modalities(streams, noise, sigma, text), perturbations)
    losses = []
    for index, (velocity, stream) in enumerate(zip(predicted, streams, strict=True)):
        error = (velocity - (noise[index] - stream.clean)).square() * stream.mask
        error = error if weights is None else error * weights[index]
        losses.append(error.sum() / (stream.mask.sum() * error.shape[-1]).clamp(min=1))
    return losses[0], losses[1]


def channel_weights(deviations: Tensor, strength: float = 0.75) -> Tensor:
    """Loss weights ``(C,)`` of mean 1: channels that move the picture more count more."""
    weights = deviations.pow(strength)
    return weights / weights.mean()


def draw_sigmas(generator: torch.Generator, batch: int) -> Tensor:
    """``(B,)`` noise levels, mostly high ones, where layout is decided; the schedules spend most steps there."""
    normal = torch.sigmoid(1.0 + 1.2 * torch.randn(batch, generator=generator))
    uniform = torch.rand(batch, generator=generator)
    return torch.where(torch.rand(batch, generator=generator) < 0.6, normal, uniform).clamp(1e-3, 1.0)


def register_share(lengths: Tensor) -> list[float]:
    """Logarithms of how often the register stands for padding, for tests."""
    return [math.log(DEFAULT_MAX_LENGTH - int(length)) for length in lengths]
