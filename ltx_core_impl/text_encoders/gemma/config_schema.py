"""What the Hugging Face config of a text encoder must look like: every value that Gemma reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...loader.config_rules import Among, Fields, ListOf, Null, Number, Text, Whole
from ...loader.errors import ConfigError

_THETA, _FACTOR = Number(0, 1e12), Number(0, 1e6)
_ROTATION = Fields({"rope_theta": _THETA, "factor": _FACTOR, "partial_rotary_factor": Number(0, 1)})
_TEXT = Fields(
    {
        "num_hidden_layers": Whole(1, 1024),
        "layer_types": Null(ListOf(Among(("sliding_attention", "full_attention")), 1, 1024)),
        "sliding_window": Null(Whole(1, 1 << 20)),
        "sliding_window_pattern": Null(Whole(1, 1024)),
        "_sliding_window_pattern": Null(Whole(1, 1024)),
        "query_pre_attn_scalar": Number(0, 1e6),
        "rms_norm_eps": Number(0, 1),
        "attention_bias": Among((False,)),
        "attention_dropout": Number(0, 1, above=False),
        "initializer_range": Number(0, 100, above=False),
        "hidden_activation": Null(Among(("gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu", "silu", "relu"))),
        "max_position_embeddings": Whole(1, 1 << 30),
        "attn_logit_softcapping": Null(Number(0, 1e6)),
        "final_logit_softcapping": Null(Number(0, 1e6)),
        "rope_theta": _THETA,
        "rope_local_base_freq": _THETA,
        "rope_scaling": Null(Fields({"factor": _FACTOR})),
        "rope_parameters": Null(Fields({"sliding_attention": _ROTATION, "full_attention": _ROTATION})),
    }
)
_WHOLE = Fields(
    {
        "model_type": Null(Text()),
        "gemma_version": Null(Text()),
        "mm_tokens_per_image": Whole(1, 1 << 16),
        "vision_config": Null(Fields({"num_attention_heads": Whole(1, 1024), "layer_norm_eps": Number(0, 1)})),
        "text_config": _TEXT,
    }
)
_PARTS = ("text_config", "vision_config", "audio_config")


def check_gemma_config(config: Mapping[str, Any], where: str) -> None:
    """Judge a config; an empty one, of a single file, says nothing.

    Raises:
        ConfigError: a value of the wrong type or out of range, or a config of a whole model without its text part;
            names file and key.
    """
    if not config:
        return
    _WHOLE.check(config, where)
    if "text_config" in config:
        return
    whole = any(part in config for part in _PARTS) or config.get("model_type") in ("gemma3", "gemma4_unified")
    if whole:
        raise ConfigError(
            f"{where} has no text_config, which describes the language model; without it the rotary bases and windows "
            "would be guessed. Copy config.json from the Gemma repository again"
        )
    _TEXT.check(config, where)
