"""The options a transformer is built from (spec 02 §2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .rope import RopeType


class LTXModelType(Enum):
    """Which streams a transformer has."""

    AUDIO_VIDEO = "ltx av model"
    VIDEO_ONLY = "ltx video only model"
    AUDIO_ONLY = "ltx audio only model"

    @property
    def has_video(self) -> bool:
        """Whether there is a video stream."""
        return self is not LTXModelType.AUDIO_ONLY

    @property
    def has_audio(self) -> bool:
        """Whether there is an audio stream."""
        return self is not LTXModelType.VIDEO_ONLY


@dataclass(frozen=True)
class StreamOptions:
    """Sizes of one stream.

    Attributes:
        heads: attention heads.
        head_dim: channels per head; the stream is ``heads * head_dim`` wide.
        in_channels: channels of a latent token.
        out_channels: channels of a predicted token.
        context_dim: width of the text that its text attention reads.
        max_pos: coordinates that RoPE normalises to 1, one per axis.
        caption_channels: width of the incoming text when the model projects it itself (LTX-2), else ``None``.
        ff_bias: whether the feed-forward layers have biases.
        keyframe_embedding: whether tokens of a single pixel frame get a learned mark (LTX-2.5 video).
    """

    heads: int
    head_dim: int
    in_channels: int
    out_channels: int
    context_dim: int
    max_pos: tuple[int, ...]
    caption_channels: int | None = None
    ff_bias: bool = True
    keyframe_embedding: bool = False

    @property
    def dim(self) -> int:
        """Width of the residual stream."""
        return self.heads * self.head_dim


@dataclass(frozen=True)
class TransformerOptions:
    """Everything that decides what an :class:`LTXModel` computes.

    Attributes:
        video: the video stream, ``None`` in an audio-only model.
        audio: the audio stream, ``None`` in a video-only model.
        num_layers: transformer blocks.
        norm_eps: epsilon of every norm.
        timestep_scale: factor on timesteps and sigmas before their sinusoidal embedding.
        cross_gate_timestep_scale: the same for the gates of the audio-video attentions.
        rope_type: channel pairing of the rotations.
        rope_theta: ratio of the highest to the lowest RoPE frequency.
        rope_float64_grid: compute the RoPE frequencies in float64.
        gated_attention: per-head gates in every attention.
        text_adaln: modulate the text attention (LTX-2.3 and later).
        prompt_timestep: whether the text side of that modulation depends on sigma.
        cross_modulation_from_own_timesteps: modulate the audio-video attention of a stream by its own timesteps per
            token (LTX-2.5) instead of by the other stream's sigma (LTX-2, LTX-2.3; spec 02 §6.4).
    """

    video: StreamOptions | None
    audio: StreamOptions | None
    num_layers: int = 48
    norm_eps: float = 1e-6
    timestep_scale: float = 1000
    cross_gate_timestep_scale: float = 1
    rope_type: RopeType = RopeType.INTERLEAVED
    rope_theta: float = 10000.0
    rope_float64_grid: bool = False
    gated_attention: bool = False
    text_adaln: bool = False
    prompt_timestep: bool = True
    cross_modulation_from_own_timesteps: bool = False

    @property
    def model_type(self) -> LTXModelType:
        """Which streams there are."""
        if self.video is None and self.audio is None:
            raise ValueError("A transformer needs a video stream, an audio stream or both.")
        if self.audio is None:
            return LTXModelType.VIDEO_ONLY
        return LTXModelType.AUDIO_ONLY if self.video is None else LTXModelType.AUDIO_VIDEO
