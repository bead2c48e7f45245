"""Builds transformers from the ``config`` of a checkpoint (spec 01 §3.7-3.8, 02 §2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from .attention_functions import AttentionBackendUnavailable
from .model import LTXModel
from .options import StreamOptions, TransformerOptions
from .rope import RopeType

logger = logging.getLogger(__name__)

_EXPECTED = {
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
}
_EXPECTED_OF_BOTH_STREAMS = {
    "use_audio_video_cross_attention": True,
    "share_ff": False,
    "av_cross_ada_norm": True,
}


class MissingConfigKeyError(KeyError, ValueError):
    """A key without which the model cannot be sized is missing in a checkpoint's config."""

    def __str__(self) -> str:
        return (
            f"Config key {self.args[0]} is missing from the transformer section; the model cannot be built without it."
        )


class LTXModelConfigurator:
    """Audio-video transformer."""

    component: ClassVar[str] = "transformer"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LTXModel:
        """The model that the ``transformer`` section of ``config`` describes.

        Raises:
            MissingConfigKeyError: the model projects captions itself and their width is missing.
            ValueError: a value asks for something this architecture does not have.
        """
        section = config.get("transformer", {})
        video, audio = _video_stream(section), _audio_stream(section)
        _expect(section, _EXPECTED | _EXPECTED_OF_BOTH_STREAMS)
        if video.heads != audio.heads:
            raise ValueError(
                f"Config value audio_num_attention_heads is {audio.heads}, expected {video.heads}: "
                "the attention between the streams needs as many heads in both."
            )
        return _build(section, video, audio)


class LTXVideoOnlyModelConfigurator:
    """Video transformer; also reads audio-video files, whose other tensors it leaves out."""

    component: ClassVar[str] = "transformer"
    leaves_out: ClassVar[tuple[str, ...]] = ("audio", "a2v", "v2a", "av_ca")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LTXModel:
        """The video stream of the model that ``config`` describes; errors as in :class:`LTXModelConfigurator`."""
        section = config.get("transformer", {})
        video = _video_stream(section)
        _expect(section, _EXPECTED)
        return _build(section, video, None)


class LTXAudioOnlyModelConfigurator:
    """Audio transformer; reads audio-video files, whose other tensors it leaves out."""

    component: ClassVar[str] = "transformer"
    leaves_out: ClassVar[tuple[str, ...]] = ("",)  # the names of the video stream carry no mark of it

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LTXModel:
        """The audio stream of the model that ``config`` describes; errors as in :class:`LTXModelConfigurator`."""
        section = config.get("transformer", {})
        audio = _audio_stream(section)
        _expect(section, _EXPECTED)
        return _build(section, None, audio)


def _build(section: Mapping[str, Any], video: StreamOptions | None, audio: StreamOptions | None) -> LTXModel:
    is_2_5 = _is_ltx_2_5(section)
    model = LTXModel(
        TransformerOptions(
            video=video,
            audio=audio,
            num_layers=section.get("num_layers", 48),
            norm_eps=section.get("norm_eps", 1e-6),
            timestep_scale=section.get("timestep_scale_multiplier", 1000),
            cross_gate_timestep_scale=section.get("av_ca_timestep_scale_multiplier", 1),
            rope_type=rope_type_of(section),
            rope_theta=section.get("positional_embedding_theta", 10000.0),
            rope_float64_grid=section.get("frequencies_precision") == "float64",
            gated_attention=section.get("apply_gated_attention", False),
            text_adaln=section.get("cross_attention_adaln", False),
            prompt_timestep=section.get("use_prompt_adaln_single", True),
            cross_modulation_from_own_timesteps=is_2_5,
        )
    )
    try:
        model.set_attention(section.get("attention_type", "default"))
    except AttentionBackendUnavailable as error:
        logger.warning("%s The model uses PyTorch's attention, which computes the same.", error)
    except ValueError as error:
        raise ValueError(f"Config value attention_type: {error}") from error
    return model


def rope_type_of(section: Mapping[str, Any]) -> RopeType:
    """Channel pairing of a checkpoint's transformer and connectors; the default changed with LTX-2.5."""
    return RopeType(section.get("rope_type", "split" if _is_ltx_2_5(section) else "interleaved"))


def _video_stream(section: Mapping[str, Any]) -> StreamOptions:
    return StreamOptions(
        heads=section.get("num_attention_heads", 32),
        head_dim=section.get("attention_head_dim", 128),
        in_channels=section.get("in_channels", 128),
        out_channels=section.get("out_channels", 128),
        context_dim=section.get("cross_attention_dim", 4096),
        max_pos=tuple(section.get("positional_embedding_max_pos") or (20, 2048, 2048)),
        caption_channels=_caption_channels(section),
        ff_bias=section.get("ff_bias", True),
        keyframe_embedding=section.get("use_keyframes_abs_pos_embedding", False),
    )


def _audio_stream(section: Mapping[str, Any]) -> StreamOptions:
    return StreamOptions(
        heads=section.get("audio_num_attention_heads", 32),
        head_dim=section.get("audio_attention_head_dim", 64),
        in_channels=section.get("audio_in_channels", 128),
        out_channels=section.get("audio_out_channels", 128),
        context_dim=section.get("audio_cross_attention_dim", 2048),
        max_pos=tuple(section.get("audio_positional_embedding_max_pos") or (20,)),
        caption_channels=_caption_channels(section),
        ff_bias=section.get("audio_ff_bias", True),
    )


def _caption_channels(section: Mapping[str, Any]) -> int | None:
    """LTX-2 projects the text inside the transformer; later models do so before the connectors."""
    if section.get("caption_proj_before_connector", False):
        return None
    if "caption_channels" not in section:
        raise MissingConfigKeyError("caption_channels")
    return section["caption_channels"]


def _is_ltx_2_5(section: Mapping[str, Any]) -> bool:
    """LTX-2.5 has no version key of its own: it is known by the options that came with it."""
    return (
        section.get("use_keyframes_abs_pos_embedding", False)
        or not section.get("ff_bias", True)
        or not section.get("audio_ff_bias", True)
        or not section.get("use_prompt_adaln_single", True)
    )


def _expect(section: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for key, value in expected.items():
        if section.get(key) != value:
            raise ValueError(f"Config value {key} is {section.get(key)}, expected {value}")
