"""Building the embeddings processor from a checkpoint's config (spec 05 §7.1, §9.1; spec 01 §3.7)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from ...loader.errors import ConfigError
from ...model.transformer.configurator import rope_type_of
from .embeddings_connector import Embeddings1DConnector
from .embeddings_processor import EmbeddingsProcessor
from .feature_extractor import FeatureExtractorV1, FeatureExtractorV2

logger = logging.getLogger(__name__)

# Gemma 3 12B and Gemma 4 12B: the embedding and 48 layers. Loading adopts another number from the weights.
NUM_HIDDEN_STATES = 49
CAPTION_CHANNELS = 3840

_V2_FLAGS = {
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
}


class UnknownTextProjectionError(ConfigError, NotImplementedError):
    """The config describes a text projection that no published model has."""


class EmbeddingsProcessorConfigurator:
    """Feature extractor and both connectors."""

    component: ClassVar[str] = "embeddings_processor"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EmbeddingsProcessor:
        """Build from the whole ``config``; only its ``transformer`` section is read.

        Raises:
            UnknownTextProjectionError: the four caption-projection flags fit neither LTX-2 nor LTX-2.3.
        """
        transformer = config.get("transformer", {})
        return EmbeddingsProcessor(
            feature_extractor=_feature_extractor(transformer),
            video_connector=_video_connector(transformer),
            audio_connector=_audio_connector(transformer),
        )

    @staticmethod
    def complete_config(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, Any]:
        """The config with all flags of the text projection where the tensors show it: some repacks lost a part of them.

        Flags with unknown values are left for :meth:`from_config` to refuse.
        """
        return _with_all_flags(config, shapes)


class VideoEmbeddingsProcessorConfigurator:
    """The same for checkpoints without an audio stream."""

    component: ClassVar[str] = "embeddings_processor"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EmbeddingsProcessor:
        """Build from the whole ``config``; errors as :meth:`EmbeddingsProcessorConfigurator.from_config`."""
        transformer = config.get("transformer", {})
        return EmbeddingsProcessor(_feature_extractor(transformer), _video_connector(transformer), audio_connector=None)

    @staticmethod
    def complete_config(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, Any]:
        """As :meth:`EmbeddingsProcessorConfigurator.complete_config`."""
        return _with_all_flags(config, shapes)


def _with_all_flags(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, Any]:
    transformer = config.get("transformer", {})
    present = [key for key in _V2_FLAGS if key in transformer]
    missing = [key for key in _V2_FLAGS if key not in transformer]
    if not (present and missing) or "feature_extractor.video_aggregate_embed.weight" not in shapes:
        return config
    logger.warning("The config lacks %s; the tensors are those of LTX-2.3 or later, which is taken.", missing)
    return {**config, "transformer": {**{key: _V2_FLAGS[key] for key in missing}, **transformer}}


def has_dual_projection(transformer: Mapping[str, Any]) -> bool:
    """Whether the checkpoint projects text per stream (LTX-2.3, LTX-2.5) or once for both (LTX-2).

    Raises:
        UnknownTextProjectionError: some of the flags are missing, or one has an unknown value.
    """
    present = [key for key in _V2_FLAGS if key in transformer]
    if not present:
        return False
    missing = [key for key in _V2_FLAGS if key not in transformer]
    if missing:
        raise UnknownTextProjectionError(
            f"Partial V2 config — missing keys: {', '.join(missing)} (present: {', '.join(present)}). Use the "
            "checkpoint as published; a repack lost part of its config."
        )
    for key, expected in _V2_FLAGS.items():
        if transformer[key] != expected:
            raise UnknownTextProjectionError(f"Unknown config: {key} is {transformer[key]}, expected {expected}.")
    return True


def _feature_extractor(transformer: Mapping[str, Any]) -> FeatureExtractorV1 | FeatureExtractorV2:
    caption_channels = transformer.get("caption_channels", CAPTION_CHANNELS)
    in_features = caption_channels * NUM_HIDDEN_STATES
    if not has_dual_projection(transformer):
        return FeatureExtractorV1(in_features, out_features=caption_channels)
    video_features = transformer.get("num_attention_heads", 32) * transformer.get("attention_head_dim", 128)
    audio_features = transformer.get("audio_num_attention_heads", 32) * transformer.get("audio_attention_head_dim", 64)
    return FeatureExtractorV2(in_features, video_features=video_features, audio_features=audio_features)


def _video_connector(transformer: Mapping[str, Any]) -> Embeddings1DConnector:
    return _connector(
        transformer,
        heads=transformer.get("connector_num_attention_heads", 30),
        head_dim=transformer.get("connector_attention_head_dim", 128),
        num_layers=transformer.get("connector_num_layers", 2),
    )


def _audio_connector(transformer: Mapping[str, Any]) -> Embeddings1DConnector:
    def value(key: str, default: int) -> int:
        return transformer.get(f"audio_{key}", transformer.get(key, default))

    return _connector(
        transformer,
        heads=value("connector_num_attention_heads", 30),
        head_dim=value("connector_attention_head_dim", 128),
        num_layers=value("connector_num_layers", 2),
    )


def _connector(transformer: Mapping[str, Any], heads: int, head_dim: int, num_layers: int) -> Embeddings1DConnector:
    return Embeddings1DConnector(
        heads=heads,
        head_dim=head_dim,
        num_layers=num_layers,
        max_pos=transformer.get("connector_positional_embedding_max_pos", [1]),
        gated=transformer.get("connector_apply_gated_attention", False),
        rope_type=rope_type_of(transformer),
        float64_grid=transformer.get("frequencies_precision") == "float64",
        ff_bias=transformer.get("connector_ff_bias", True),
    )
