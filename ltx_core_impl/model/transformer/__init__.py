"""The dual-stream diffusion transformer."""

from __future__ import annotations

from ...on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".attention": ("Attention", "set_attention_function"),
        ".attention_functions": (
            "AttentionBackendUnavailable",
            "AttentionFunction",
            "attend",
            "attention_function",
            "available_attention_backends",
        ),
        ".configurator": ("LTXAudioOnlyModelConfigurator", "LTXModelConfigurator", "LTXVideoOnlyModelConfigurator"),
        ".feed_forward": ("CaptionProjection", "FeedForward"),
        ".modality": ("Modality", "TokenGroups"),
        ".model": ("LTXModel", "X0Model"),
        ".options": ("LTXModelType", "StreamOptions", "TransformerOptions"),
        ".rope": ("RopeTable", "RopeType", "apply_rotary_emb", "precompute_rope"),
    },
)
