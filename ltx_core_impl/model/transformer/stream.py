"""What one forward pass prepares for a stream before the blocks run (spec 02 §6)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import nn

from .adaln import AdaLayerNormSingle, Modulation, TokenTimesteps
from .forks import Rows
from .masks import self_attention_bias, text_mask_bias
from .modality import Modality
from .options import StreamOptions, TransformerOptions
from .rope import RopeTable, precompute_rope
from .rows import share_rows, take_rows
from .tensor_cache import TensorCache
from .text_reading import TextReading


@dataclass(frozen=True)
class CrossInputs:
    """Steering of the attention between the streams: modulation ``(·, 4, D)``, gate ``(·, 1, D)``, time positions."""

    scale_shift: Modulation
    gate: Modulation
    rope: RopeTable


@dataclass(frozen=True)
class StreamInputs:
    """What steers one stream through the blocks. Leading dimensions of 1 are shared by all batch rows.

    Attributes:
        enabled: whether the blocks update the stream.
        modulation: ``(·, 6 or 9, D)`` block modulation.
        embedded: ``(·, 2, D)`` modulation of the output head.
        context: ``(B or 1, S, D)`` text; one row for each text where there is a ``text_reading``.
        prompt: ``(·, 2, D)`` modulation of the text, ``None`` when the model has none.
        text_bias: additive text mask.
        self_bias: additive self-attention mask.
        rope: positions of the tokens.
        cross: ``None`` when the other stream is absent.
        text_cache: text keys and values kept between passes, ``None`` when they are not kept.
        rows: base row of each batch row, ``None`` before any fork.
        text_reading: which texts each token reads; ``None``: all tokens of a row the row's own.
    """

    enabled: bool
    modulation: Modulation
    embedded: Modulation
    context: torch.Tensor
    prompt: Modulation | None
    text_bias: torch.Tensor | None
    self_bias: torch.Tensor | None
    rope: RopeTable
    cross: CrossInputs | None
    text_cache: dict[Hashable, tuple[torch.Tensor, torch.Tensor]] | None = None
    rows: Rows | None = None
    text_reading: TextReading | None = None

    def take(self, rows: Rows) -> StreamInputs:
        """The inputs of batch rows ``rows``."""

        def optional(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else take_rows(tensor, rows)

        cross = self.cross and CrossInputs(
            self.cross.scale_shift.take(rows), self.cross.gate.take(rows), self.cross.rope.take(rows)
        )
        reading = self.text_reading
        text_rows = rows if reading is None else None  # forks read the texts that are there
        context = take_rows(self.context, text_rows)
        return replace(
            self,
            modulation=self.modulation.take(rows),
            embedded=self.embedded.take(rows),
            context=context,
            prompt=None if self.prompt is None else self.prompt.take(text_rows),
            text_bias=optional(self.text_bias),
            self_bias=optional(self.self_bias),
            rope=self.rope.take(rows),
            cross=cross,
            rows=None if context is self.context else rows,
            text_reading=None if reading is None else reading.take(rows),
        )


@dataclass(frozen=True)
class StreamModules:
    """The layers of a transformer that serve one stream outside the blocks."""

    patchify_proj: nn.Linear
    adaln: AdaLayerNormSingle
    prompt_adaln: AdaLayerNormSingle | None
    cross_scale_shift_adaln: AdaLayerNormSingle | None
    cross_gate_adaln: AdaLayerNormSingle | None
    caption_projection: nn.Module | None
    keyframes_abs_pos_embedding: torch.Tensor | None


def embed_tokens(modules: StreamModules, modality: Modality) -> torch.Tensor:
    """Latent tokens ``(B, T, C)`` to the residual stream ``(B, T, D)``."""
    x = modules.patchify_proj(modality.latent)
    mark = modules.keyframes_abs_pos_embedding
    if modality.keyframes_mask is not None and mark is not None:
        x = x + (modality.keyframes_mask > 0).to(x.dtype) * mark.to(x.dtype)
    return x


def prepare_stream(
    modules: StreamModules,
    modality: Modality,
    other: Modality | None,
    *,
    stream: StreamOptions,
    options: TransformerOptions,
    rope_cache: TensorCache,
    text_cache: TensorCache | None,
    bias_cache: TensorCache,
) -> StreamInputs:
    """Everything that steers a stream through the blocks.

    Args:
        modules: the stream's layers.
        modality: the stream's input, already checked.
        other: the other stream's input, ``None`` when absent.
        stream: the stream's sizes.
        options: the model's options.
        rope_cache: keeps rotation tables between passes.
        text_cache: keeps what only depends on the text between passes, or ``None``.
        bias_cache: keeps the additive self-attention mask between passes.
    """
    dtype = modality.latent.dtype
    scale = options.timestep_scale
    timesteps = TokenTimesteps.from_tokens(modality.timesteps.flatten(1).float() * scale, modality.timestep_groups)
    modulation, embedded = modules.adaln(timesteps.values, dtype)

    kept = None if text_cache is None else text_cache.get(modality.context, "text", dict)
    return StreamInputs(
        enabled=modality.enabled,
        modulation=Modulation(modulation, timesteps.index),
        embedded=Modulation(embedded.unsqueeze(1).expand(-1, 2, -1), timesteps.index),
        context=_project_caption(modules, modality, kept),
        prompt=_prompt_modulation(modules, modality, stream, options),
        text_bias=text_mask_bias(modality.context_mask, dtype),
        self_bias=_self_bias(modality.attention_mask, dtype, bias_cache),
        rope=_own_rope(modality, stream, options, rope_cache),
        cross=None if other is None else _cross_inputs(modules, modality, other, timesteps, options, rope_cache),
        text_cache=kept,
        text_reading=modality.text_reading,
    )


def _self_bias(mask: torch.Tensor | None, dtype: torch.dtype, cache: TensorCache) -> torch.Tensor | None:
    if mask is None:
        return None
    return cache.get(mask, dtype, lambda: self_attention_bias(mask, dtype))


def _project_caption(modules: StreamModules, modality: Modality, kept: dict | None) -> torch.Tensor:
    context = share_rows(modality.context)
    if modules.caption_projection is None:
        return context
    if kept is None:
        return modules.caption_projection(context)
    if "context" not in kept:
        kept["context"] = modules.caption_projection(context)
    return kept["context"]


def _prompt_modulation(
    modules: StreamModules, modality: Modality, stream: StreamOptions, options: TransformerOptions
) -> Modulation | None:
    if not options.text_adaln:
        return None
    if modules.prompt_adaln is None:  # the learned tables of the blocks alone modulate the text
        return Modulation(modality.latent.new_zeros(1, 2, stream.dim))
    sigma = modality.sigma.reshape(-1).float() * options.timestep_scale
    modulation = Modulation(modules.prompt_adaln(sigma, modality.latent.dtype)[0])
    return modulation if modality.text_reading is None else modulation.take(modality.text_reading.first_readers())


def _cross_inputs(
    modules: StreamModules,
    modality: Modality,
    other: Modality,
    timesteps: TokenTimesteps,
    options: TransformerOptions,
    rope_cache: TensorCache,
) -> CrossInputs:
    dtype = modality.latent.dtype
    other_sigma = other.sigma.reshape(-1).float() * options.timestep_scale
    source = timesteps if options.cross_modulation_from_own_timesteps else TokenTimesteps(other_sigma, None)
    scale_shift, _ = modules.cross_scale_shift_adaln(source.values, dtype)
    gate_sigma = other_sigma * (options.cross_gate_timestep_scale / options.timestep_scale)
    gate, _ = modules.cross_gate_adaln(gate_sigma, dtype)
    return CrossInputs(
        scale_shift=Modulation(scale_shift, source.index),
        gate=Modulation(gate),
        rope=_cross_rope(modality, options, rope_cache),
    )


def _own_rope(
    modality: Modality, stream: StreamOptions, options: TransformerOptions, rope_cache: TensorCache
) -> RopeTable:
    dtype = modality.latent.dtype
    return rope_cache.get(
        modality.positions,
        ("own", dtype),
        lambda: precompute_rope(
            modality.positions,
            width=stream.dim,
            heads=stream.heads,
            max_pos=stream.max_pos,
            theta=options.rope_theta,
            float64_grid=options.rope_float64_grid,
            dtype=dtype,
        ),
    )


def _cross_rope(modality: Modality, options: TransformerOptions, rope_cache: TensorCache) -> RopeTable:
    """Time positions in the geometry of the attention between the streams, which is that of the audio stream."""
    dtype = modality.latent.dtype
    return rope_cache.get(
        modality.positions,
        ("cross", dtype),
        lambda: precompute_rope(
            modality.positions[:, :1],
            width=options.audio.dim,
            heads=options.audio.heads,
            max_pos=(max(options.video.max_pos[0], options.audio.max_pos[0]),),
            theta=options.rope_theta,
            float64_grid=options.rope_float64_grid,
            dtype=dtype,
        ),
    )
