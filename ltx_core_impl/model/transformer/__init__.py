"""The dual-stream diffusion transformer."""

from .attention import Attention, set_attention_function
from .attention_functions import (
    AttentionBackendUnavailable,
    AttentionFunction,
    attend,
    attention_function,
    available_attention_backends,
)
from .configurator import LTXAudioOnlyModelConfigurator, LTXModelConfigurator, LTXVideoOnlyModelConfigurator
from .feed_forward import CaptionProjection, FeedForward
from .modality import Modality, TokenGroups
from .model import LTXModel, X0Model
from .options import LTXModelType, StreamOptions, TransformerOptions
from .rope import RopeTable, RopeType, apply_rotary_emb, precompute_rope

__all__ = [
    "Attention",
    "AttentionBackendUnavailable",
    "AttentionFunction",
    "CaptionProjection",
    "FeedForward",
    "LTXAudioOnlyModelConfigurator",
    "LTXModel",
    "LTXModelConfigurator",
    "LTXModelType",
    "LTXVideoOnlyModelConfigurator",
    "Modality",
    "RopeTable",
    "RopeType",
    "StreamOptions",
    "TokenGroups",
    "TransformerOptions",
    "X0Model",
    "apply_rotary_emb",
    "attend",
    "attention_function",
    "available_attention_backends",
    "precompute_rope",
    "set_attention_function",
]
