"""The LTX-2 diffusion transformer: velocity of a video and an audio stream (spec 02)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Protocol

import torch
from torch import nn
from torch.nn.functional import layer_norm

from ...guidance.perturbations import BatchedPerturbationConfig, PerturbationType
from .adaln import AdaLayerNormSingle
from .attention import set_attention_function
from .attention_functions import AttentionFunction
from .block import AUDIO, VIDEO, TransformerBlock, modulation_rows
from .checks import check_modality
from .feed_forward import CaptionProjection
from .forks import Fork, plan_rows
from .modality import Modality
from .options import LTXModelType, StreamOptions, TransformerOptions
from .rows import pick_rows
from .stream import StreamInputs, StreamModules, embed_tokens, prepare_stream
from .tensor_cache import TensorCache

_ROPE_TABLES = 8  # own and cross table of both streams, for two sets of positions
_SPARE_TABLE_BYTES = 256 * 2**20  # tiles and windows have many sets, of few tokens each
_TEXTS = 4  # positive and negative text of both streams


class TokenSplit(Protocol):
    """Cuts the tokens of a pass for one of several processes and joins their results."""

    def take(self, video: Modality | None, audio: Modality | None) -> tuple[Modality | None, Modality | None]:
        """The share of this process."""

    def join(self, velocity: torch.Tensor, tokens: int) -> torch.Tensor:
        """All ``(B, tokens, C)`` of a stream, of this share of it."""

    def clear(self) -> None:
        """Drops what is kept between passes."""


class LTXModel(nn.Module):
    """Predicts the velocity of latent tokens.

    Built from a checkpoint's ``config`` by the configurators beside this module; the parameter names are those of the
    published files without their ``model.diffusion_model.`` prefix. ``token_split`` divides the tokens among several
    processes (:mod:`ltx_core_impl.parallel`); ``None``, as it is at first, means one.
    """

    zero_when_absent: ClassVar[tuple[str, ...]] = ("keyframes_abs_pos_embedding",)
    """Parameters that a file may lack although its config declares them: early LTX-2.5 files (spec 02 §2.5)."""

    def __init__(self, options: TransformerOptions) -> None:
        super().__init__()
        self.options = options
        self.model_type: LTXModelType = options.model_type
        if options.video is not None:
            self._add_stream(VIDEO, options.video)
        if options.audio is not None:
            self._add_stream(AUDIO, options.audio)
        if options.video is not None and options.audio is not None:
            self.av_ca_video_scale_shift_adaln_single = AdaLayerNormSingle(options.video.dim, 4)
            self.av_ca_audio_scale_shift_adaln_single = AdaLayerNormSingle(options.audio.dim, 4)
            self.av_ca_a2v_gate_adaln_single = AdaLayerNormSingle(options.video.dim, 1)
            self.av_ca_v2a_gate_adaln_single = AdaLayerNormSingle(options.audio.dim, 1)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(options) for _ in range(options.num_layers))
        self._rope_cache = TensorCache(_ROPE_TABLES, _SPARE_TABLE_BYTES)
        # One for each stream: the square of the tokens is large.
        self._bias_caches = {VIDEO: TensorCache(1), AUDIO: TensorCache(1)}
        self._text_cache: TensorCache | None = None
        self.token_split: TokenSplit | None = None

    def _add_stream(self, prefix: str, stream: StreamOptions) -> None:
        options, dim = self.options, stream.dim
        self.add_module(f"{prefix}patchify_proj", nn.Linear(stream.in_channels, dim))
        self.add_module(f"{prefix}adaln_single", AdaLayerNormSingle(dim, modulation_rows(options)))
        if options.text_adaln and options.prompt_timestep:
            self.add_module(f"{prefix}prompt_adaln_single", AdaLayerNormSingle(dim, 2))
        if stream.caption_channels is not None:
            self.add_module(f"{prefix}caption_projection", CaptionProjection(stream.caption_channels, dim))
        if stream.keyframe_embedding:
            self.register_parameter(f"{prefix}keyframes_abs_pos_embedding", nn.Parameter(torch.zeros(1, dim)))
        self.register_parameter(f"{prefix}scale_shift_table", nn.Parameter(torch.zeros(2, dim)))
        self.add_module(f"{prefix}proj_out", nn.Linear(dim, stream.out_channels))

    @property
    def num_blocks(self) -> int:
        """Number of transformer blocks."""
        return len(self.transformer_blocks)

    def set_attention(self, function: str | AttentionFunction) -> None:
        """Chooses how attention without a mask is computed: a back-end's name or any ``(q, k, v) -> out``.

        See :mod:`.attention_functions` for the names, the shapes and the errors.
        """
        set_attention_function(self, function)

    def compile_blocks(self, dynamic: bool = True, backend: str | Callable = "inductor") -> None:
        """Compiles each transformer block with ``torch.compile``, at its first use; nothing is compiled by default.

        All blocks share one graph, and with ``dynamic`` all lengths do. Passes that skip an attention, disable a
        stream or have masks are graphs of their own. The first pass takes longer for it (tens of seconds), the numbers
        agree to rounding.

        Args:
            dynamic: one graph for all numbers of rows and tokens; otherwise each needs one of its own.
            backend: a back-end of ``torch.compile``.
        """
        for block in self.transformer_blocks:
            # Not the module's call: hooks that stream weights and look for an interrupt have to stay outside.
            block.forward = torch.compile(block.forward, backend=backend, dynamic=dynamic, fullgraph=True)

    def clear_caches(self) -> None:
        """Drops the rotation tables and masks kept between passes."""
        self._rope_cache.clear()
        for cache in self._bias_caches.values():
            cache.clear()
        if self.token_split is not None:
            self.token_split.clear()

    @contextmanager
    def keep_text(self) -> Iterator[None]:
        """Inside this context, text keys and values are computed once per context tensor instead of in every pass.

        Pass the same ``context`` tensor objects in every step, and leave the weights alone. Costs
        ``4 * num_layers * S * D`` bytes per prompt, row and stream in half precision. Does nothing for models whose
        text attention depends on sigma (LTX-2.3, LTX-2.5 as published).
        """
        if self.options.text_adaln and self.options.prompt_timestep:
            yield
            return
        self._text_cache = TensorCache(_TEXTS)
        try:
            yield
        finally:
            self._text_cache = None

    def forward(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
        forks: Sequence[Fork] = (),
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Velocity of every token.

        Args:
            video: video stream, ``None`` when absent.
            audio: audio stream, ``None`` when absent.
            perturbations: attentions that batch rows skip, one entry per row; ``None`` for nothing.
            forks: ``(row, perturbation)`` appends one output row each, equal to batch row ``row`` run with
                ``perturbation`` in place of its own. The work before their first different block is shared.

        Returns:
            ``(B + len(forks), T_v, C)`` and ``(B + len(forks), T_a, C)`` in the dtype of the latents; ``None`` for an
            absent stream.

        Raises:
            ValueError: no stream was given, or one that the model lacks, or shapes do not fit; the message says which.
        """
        batch = self._check(video, audio)
        plan = plan_rows(
            perturbations,
            forks,
            batch=batch,
            num_blocks=self.num_blocks,
            types=_possible_perturbations(video, audio),
        )
        tokens = tuple(0 if modality is None else modality.latent.shape[1] for modality in (video, audio))
        if self.token_split is not None:
            video, audio = self.token_split.take(video, audio)
        video_x, base_video = self._prepare(VIDEO, video, audio)
        audio_x, base_audio = self._prepare(AUDIO, audio, video)
        video_inputs, audio_inputs = base_video, base_audio
        for block, rows in zip(self.transformer_blocks, plan.blocks, strict=True):
            if rows.added:
                video_x = None if video_x is None else torch.cat([video_x, pick_rows(video_x, rows.added)])
                audio_x = None if audio_x is None else torch.cat([audio_x, pick_rows(audio_x, rows.added)])
                video_inputs = base_video and base_video.take(rows.sources)
                audio_inputs = base_audio and base_audio.take(rows.sources)
            video_x, audio_x = block(
                video_x, audio_x, video_inputs=video_inputs, audio_inputs=audio_inputs, kept=rows.kept
            )
        return (
            self._velocity(VIDEO, video_x, video_inputs, plan.output_order, tokens[0]),
            self._velocity(AUDIO, audio_x, audio_inputs, plan.output_order, tokens[1]),
        )

    def _check(self, video: Modality | None, audio: Modality | None) -> int:
        """Batch size of the streams, after judging them."""
        if video is None and audio is None:
            raise ValueError("The transformer got neither a video nor an audio modality; pass at least one.")
        for name, modality, stream in (("video", video, self.options.video), ("audio", audio, self.options.audio)):
            if modality is None:
                continue
            if stream is None:
                raise ValueError(f"This is an {self.model_type.value!r}: it has no {name} stream, pass {name}=None.")
            check_modality(name, modality, stream)
        batches = {modality.latent.shape[0] for modality in (video, audio) if modality is not None}
        if len(batches) > 1:
            raise ValueError(
                f"video has {video.latent.shape[0]} batch rows and audio {audio.latent.shape[0]}; they must agree."
            )
        return batches.pop()

    def _prepare(
        self, prefix: str, modality: Modality | None, other: Modality | None
    ) -> tuple[torch.Tensor | None, StreamInputs | None]:
        if modality is None:
            return None, None
        modules = self._stream_modules(prefix)
        inputs = prepare_stream(
            modules,
            modality,
            other,
            stream=self.options.video if prefix == VIDEO else self.options.audio,
            options=self.options,
            rope_cache=self._rope_cache,
            text_cache=self._text_cache,
            bias_cache=self._bias_caches[prefix],
        )
        return embed_tokens(modules, modality), inputs

    def _stream_modules(self, prefix: str) -> StreamModules:
        coupling = ("video", "a2v") if prefix == VIDEO else ("audio", "v2a")
        return StreamModules(
            patchify_proj=getattr(self, f"{prefix}patchify_proj"),
            adaln=getattr(self, f"{prefix}adaln_single"),
            prompt_adaln=getattr(self, f"{prefix}prompt_adaln_single", None),
            cross_scale_shift_adaln=getattr(self, f"av_ca_{coupling[0]}_scale_shift_adaln_single", None),
            cross_gate_adaln=getattr(self, f"av_ca_{coupling[1]}_gate_adaln_single", None),
            caption_projection=getattr(self, f"{prefix}caption_projection", None),
            keyframes_abs_pos_embedding=getattr(self, f"{prefix}keyframes_abs_pos_embedding", None),
        )

    def _velocity(
        self, prefix: str, x: torch.Tensor | None, inputs: StreamInputs | None, order: Sequence[int], tokens: int
    ) -> torch.Tensor | None:
        """Output head; the rows of the result are in ``order``, all ``tokens`` of the stream in each."""
        if x is None:
            return None
        table = getattr(self, f"{prefix}scale_shift_table")
        x = layer_norm(x, x.shape[-1:], eps=self.options.norm_eps)
        x = inputs.embedded.with_table(table, x).modulate(x, scale=1, shift=0)
        velocity = pick_rows(getattr(self, f"{prefix}proj_out")(x), order)
        return velocity if self.token_split is None else self.token_split.join(velocity, tokens)


class X0Model(nn.Module):
    """Wraps a velocity model; predicts the denoised latent ``x - velocity * timestep`` of every token."""

    def __init__(self, velocity_model: LTXModel) -> None:
        super().__init__()
        self.velocity_model = velocity_model

    @property
    def num_blocks(self) -> int:
        """Number of transformer blocks."""
        return self.velocity_model.num_blocks

    def forward(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
        forks: Sequence[Fork] = (),
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Denoised latents; arguments, shapes and errors of :meth:`LTXModel.forward`."""
        velocities = self.velocity_model(video, audio, perturbations, forks)
        sources = [row for row, _ in forks]
        return tuple(
            None if velocity is None else _denoised(modality, velocity, sources)
            for modality, velocity in zip((video, audio), velocities, strict=True)
        )


def _denoised(modality: Modality, velocity: torch.Tensor, fork_sources: list[int]) -> torch.Tensor:
    latent = modality.latent
    timesteps = modality.timesteps.reshape(modality.timesteps.shape[0], -1, 1)
    if fork_sources:
        latent = torch.cat([latent, pick_rows(latent, fork_sources)])
        if timesteps.shape[0] > 1:
            timesteps = torch.cat([timesteps, pick_rows(timesteps, fork_sources)])
    return torch.addcmul(latent.float(), velocity.float(), timesteps.float(), value=-1).to(latent.dtype)


def _possible_perturbations(video: Modality | None, audio: Modality | None) -> set[PerturbationType]:
    """The attentions that a pass over these streams computes at all."""
    types = set()
    if video is not None and video.enabled:
        types.add(PerturbationType.SKIP_VIDEO_SELF_ATTN)
        if audio is not None:
            types.add(PerturbationType.SKIP_A2V_CROSS_ATTN)
    if audio is not None and audio.enabled:
        types.add(PerturbationType.SKIP_AUDIO_SELF_ATTN)
        if video is not None:
            types.add(PerturbationType.SKIP_V2A_CROSS_ATTN)
    return types
