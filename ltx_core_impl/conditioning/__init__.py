"""Latent tools and conditioning items."""

from .attention_mask import attention_weights_from_mask
from .attention_strength import ConditioningItemAttentionStrengthWrapper
from .item import ConditioningError, ConditioningItem, appended_tokens
from .keyframe_slots import VideoGeneratedKeyframeSlots, spread_keyframes
from .reference_audio import AudioConditionByReferenceLatent, positions_before_start
from .region_mask import TemporalRegionMask
from .rules import LTX_2_5_RULES, LTX_2_RULES, ReferenceRules
from .tools import AudioLatentTools, LatentTools, VideoLatentTools
from .video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByMask,
    VideoConditionByReferenceLatent,
)
from .windowed_reference import VideoConditionByWindowedReference

__all__ = [
    "LTX_2_5_RULES",
    "LTX_2_RULES",
    "AudioConditionByReferenceLatent",
    "AudioLatentTools",
    "ConditioningError",
    "ConditioningItem",
    "ConditioningItemAttentionStrengthWrapper",
    "LatentTools",
    "ReferenceRules",
    "TemporalRegionMask",
    "VideoConditionByKeyframeIndex",
    "VideoConditionByLatentIndex",
    "VideoConditionByMask",
    "VideoConditionByReferenceLatent",
    "VideoConditionByWindowedReference",
    "VideoGeneratedKeyframeSlots",
    "VideoLatentTools",
    "appended_tokens",
    "attention_weights_from_mask",
    "positions_before_start",
    "spread_keyframes",
]
