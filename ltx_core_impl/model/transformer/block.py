"""One block of the dual-stream transformer (spec 02 §9)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import rms_norm

from .adaln import TableModulation
from .attention import Attention
from .feed_forward import FeedForward
from .forks import KeptRows, Rows
from .options import StreamOptions, TransformerOptions
from .rows import put_rows, take_rows
from .stream import CrossInputs, StreamInputs

VIDEO, AUDIO = "", "audio_"  # prefixes of the parameters of a stream

# Rows of `scale_shift_table`
SHIFT_SELF, SCALE_SELF, GATE_SELF, SHIFT_FF, SCALE_FF, GATE_FF, SHIFT_TEXT, SCALE_TEXT, GATE_TEXT = range(9)
# Rows of `prompt_scale_shift_table`
SHIFT_PROMPT, SCALE_PROMPT = range(2)
# Rows of `scale_shift_table_a2v_ca_*`
SCALE_A2V, SHIFT_A2V, SCALE_V2A, SHIFT_V2A, GATE_CROSS = range(5)


class TransformerBlock(nn.Module):
    """Self-attention, text attention, attention between the streams, feed-forward; each gated into the residual."""

    def __init__(self, options: TransformerOptions) -> None:
        super().__init__()
        self.norm_eps = options.norm_eps
        if options.video is not None:
            self._add_stream(VIDEO, options.video, options)
        if options.audio is not None:
            self._add_stream(AUDIO, options.audio, options)
        if options.video is not None and options.audio is not None:
            self._add_coupling(options.video, options.audio, options)

    def _add_stream(self, prefix: str, stream: StreamOptions, options: TransformerOptions) -> None:
        def attention(context_dim: int | None = None) -> Attention:
            return Attention(
                stream.dim,
                context_dim=context_dim,
                heads=stream.heads,
                head_dim=stream.head_dim,
                norm_eps=options.norm_eps,
                gated=options.gated_attention,
                rope_type=options.rope_type,
            )

        self.add_module(f"{prefix}attn1", attention())
        self.add_module(f"{prefix}attn2", attention(stream.context_dim))
        self.add_module(f"{prefix}ff", FeedForward(stream.dim, bias=stream.ff_bias))
        rows = modulation_rows(options)
        self.register_parameter(f"{prefix}scale_shift_table", nn.Parameter(torch.zeros(rows, stream.dim)))
        if options.text_adaln:
            table = nn.Parameter(torch.zeros(2, stream.dim))
            self.register_parameter(f"{prefix}prompt_scale_shift_table", table)

    def _add_coupling(self, video: StreamOptions, audio: StreamOptions, options: TransformerOptions) -> None:
        def attention(query: StreamOptions, context: StreamOptions) -> Attention:
            return Attention(
                query.dim,
                context_dim=context.dim,
                heads=audio.heads,  # both directions have the smaller, audio geometry
                head_dim=audio.head_dim,
                norm_eps=options.norm_eps,
                gated=options.gated_attention,
                rope_type=options.rope_type,
            )

        self.audio_to_video_attn = attention(video, audio)
        self.video_to_audio_attn = attention(audio, video)
        self.scale_shift_table_a2v_ca_video = nn.Parameter(torch.zeros(5, video.dim))
        self.scale_shift_table_a2v_ca_audio = nn.Parameter(torch.zeros(5, audio.dim))

    def forward(
        self,
        video: torch.Tensor | None,
        audio: torch.Tensor | None,
        *,
        video_inputs: StreamInputs | None,
        audio_inputs: StreamInputs | None,
        kept: KeptRows,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Updates the residual streams.

        Args:
            video: ``(B, T_v, D_v)`` or ``None`` when the stream is absent.
            audio: ``(B, T_a, D_a)`` or ``None``.
            video_inputs: what steers the video stream; present together with ``video``.
            audio_inputs: likewise for audio.
            kept: the batch rows that compute each attention.

        Returns:
            The new residual streams. A disabled stream comes back unchanged.
        """
        update_video = video is not None and video_inputs.enabled
        update_audio = audio is not None and audio_inputs.enabled
        if update_video:
            video_modulation = video_inputs.modulation.with_table(self.scale_shift_table, video)
            video = self._self_and_text_attention(VIDEO, video, video_inputs, video_modulation, kept.video_self)
        if update_audio:
            audio_modulation = audio_inputs.modulation.with_table(self.audio_scale_shift_table, audio)
            audio = self._self_and_text_attention(AUDIO, audio, audio_inputs, audio_modulation, kept.audio_self)
        if video is not None and audio is not None:
            video, audio = self._exchange(
                video,
                audio,
                video_inputs,
                audio_inputs,
                a2v=kept.audio_to_video if update_video else (),
                v2a=kept.video_to_audio if update_audio else (),
            )
        if update_video:
            video = self._feed_forward(VIDEO, video, video_modulation)
        if update_audio:
            audio = self._feed_forward(AUDIO, audio, audio_modulation)
        return video, audio

    def _self_and_text_attention(
        self, prefix: str, x: torch.Tensor, inputs: StreamInputs, modulation: TableModulation, kept: Rows | None
    ) -> torch.Tensor:
        h = modulation.norm(x, SCALE_SELF, SHIFT_SELF, self.norm_eps)
        h = getattr(self, f"{prefix}attn1")(h, mask=inputs.self_bias, rope=inputs.rope, kept_rows=kept)
        x = torch.addcmul(x, h, modulation.gate(GATE_SELF))

        modulated = inputs.prompt is not None
        h = modulation.norm(x, SCALE_TEXT, SHIFT_TEXT, self.norm_eps) if modulated else self._norm(x)
        keys_values = self._text_keys_values(prefix, inputs)
        attention = getattr(self, f"{prefix}attn2")
        h = attention(h, mask=inputs.text_bias, keys_values=keys_values, reading=inputs.text_reading)
        return torch.addcmul(x, h, modulation.gate(GATE_TEXT)) if modulated else x + h

    def _text_keys_values(self, prefix: str, inputs: StreamInputs) -> tuple[torch.Tensor, torch.Tensor]:
        attention: Attention = getattr(self, f"{prefix}attn2")
        if inputs.text_cache is None:
            return attention.keys_values(self._text_context(prefix, inputs))
        key = (attention, inputs.rows)
        if key not in inputs.text_cache:
            inputs.text_cache[key] = attention.keys_values(self._text_context(prefix, inputs))
        return inputs.text_cache[key]

    def _text_context(self, prefix: str, inputs: StreamInputs) -> torch.Tensor:
        if inputs.prompt is None:
            return inputs.context
        table = getattr(self, f"{prefix}prompt_scale_shift_table")
        return inputs.prompt.with_table(table, inputs.context).modulate(inputs.context, SCALE_PROMPT, SHIFT_PROMPT)

    def _exchange(
        self,
        video: torch.Tensor,
        audio: torch.Tensor,
        video_inputs: StreamInputs,
        audio_inputs: StreamInputs,
        *,
        a2v: Rows | None,
        v2a: Rows | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention from each stream to the other; both directions read the streams as they are on entry."""
        if a2v == () and v2a == ():
            return video, audio
        video_side = _Side(video, self.scale_shift_table_a2v_ca_video, video_inputs.cross, self.norm_eps)
        audio_side = _Side(audio, self.scale_shift_table_a2v_ca_audio, audio_inputs.cross, self.norm_eps)
        if a2v != ():
            video = _read_other_stream(
                self.audio_to_video_attn, video, video_side, audio_side, rows=a2v, scale=SCALE_A2V, shift=SHIFT_A2V
            )
        if v2a != ():
            audio = _read_other_stream(
                self.video_to_audio_attn, audio, audio_side, video_side, rows=v2a, scale=SCALE_V2A, shift=SHIFT_V2A
            )
        return video, audio

    def _feed_forward(self, prefix: str, x: torch.Tensor, modulation: TableModulation) -> torch.Tensor:
        h = getattr(self, f"{prefix}ff")(modulation.norm(x, SCALE_FF, SHIFT_FF, self.norm_eps))
        return torch.addcmul(x, h, modulation.gate(GATE_FF))

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, x.shape[-1:], eps=self.norm_eps)


class _Side:
    """A stream as the attention between the streams sees it; both directions share its norm and its modulation."""

    def __init__(self, x: torch.Tensor, table: torch.Tensor, inputs: CrossInputs, eps: float) -> None:
        self.x, self.table, self.inputs, self.eps = x, table, inputs, eps
        self.modulation = inputs.scale_shift.with_table(table, x, vectors=GATE_CROSS)
        self.norm = rms_norm(x, x.shape[-1:], eps=eps) if self.modulation.kernel is None else None

    def modulated(self, rows: Rows | None, scale: int, shift: int) -> torch.Tensor:
        """Rows ``rows``, normalised and modulated."""
        modulation = self.modulation.take(rows)
        if self.norm is None:
            return modulation.norm(take_rows(self.x, rows), scale, shift, self.eps)
        return modulation.modulate(take_rows(self.norm, rows), scale, shift)


def _read_other_stream(
    attention: Attention, x: torch.Tensor, own: _Side, other: _Side, *, rows: Rows | None, scale: int, shift: int
) -> torch.Tensor:
    """``x`` plus, in rows ``rows``, the gated attention from stream ``own`` to stream ``other``."""
    h = attention(
        own.modulated(rows, scale, shift),
        other.modulated(rows, scale, shift),
        rope=own.inputs.rope.take(rows),
        context_rope=other.inputs.rope.take(rows),
    )
    gate = own.inputs.gate.take(rows).gate(own.table, GATE_CROSS)
    return put_rows(x, rows, torch.addcmul(take_rows(x, rows), h, gate))


def modulation_rows(options: TransformerOptions) -> int:
    """Modulation vectors per token: three for self-attention, three for feed-forward, three for text if modulated."""
    return 9 if options.text_adaln else 6
