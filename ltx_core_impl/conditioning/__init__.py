"""Latent tools and conditioning items."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".attention_mask": ("attention_weights_from_mask",),
        ".attention_strength": ("ConditioningItemAttentionStrengthWrapper",),
        ".item": ("ConditioningError", "ConditioningItem", "appended_tokens"),
        ".keyframe_slots": (
            "VideoGeneratedKeyframeSlots",
            "clips_as_keyframes",
            "join_keyframes",
            "keyframes_as_clips",
            "spread_keyframes",
        ),
        ".noise_mask": (
            "LatentNoiseMask",
            "grow_mask",
            "latent_mask_from_pixels",
            "pixel_mask_from_latent",
            "restore_kept",
            "time_window_mask",
        ),
        ".reference_audio": ("AudioConditionByReferenceLatent", "positions_before_start"),
        ".region_mask": ("TemporalRegionMask",),
        ".rules": ("LTX_2_5_RULES", "LTX_2_RULES", "ReferenceRules"),
        ".tools": ("AudioLatentTools", "LatentTools", "VideoLatentTools"),
        ".video_items": (
            "VideoConditionByKeyframeIndex",
            "VideoConditionByLatentIndex",
            "VideoConditionByMask",
            "VideoConditionByReferenceLatent",
        ),
        ".windowed_reference": ("VideoConditionByWindowedReference",),
    },
)
