"""How the names of every source layout become model names; one module per source."""

from __future__ import annotations

from .combined import (
    AUDIO_VAE_DECODER_COMFY_KEYS_FILTER,
    AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER,
    EMBEDDINGS_PROCESSOR_KEY_OPS,
    GEMMA_LLM_KEY_OPS,
    LTXV_LORA_COMFY_RENAMING_MAP,
    LTXV_MODEL_COMFY_RENAMING_MAP,
    VAE_DECODER_COMFY_KEYS_FILTER,
    VAE_ENCODER_COMFY_KEYS_FILTER,
    VOCODER_COMFY_KEYS_FILTER,
)
from .key_map import KeyMap
from .select import select_key_map

__all__ = [
    "AUDIO_VAE_DECODER_COMFY_KEYS_FILTER",
    "AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER",
    "EMBEDDINGS_PROCESSOR_KEY_OPS",
    "GEMMA_LLM_KEY_OPS",
    "LTXV_LORA_COMFY_RENAMING_MAP",
    "LTXV_MODEL_COMFY_RENAMING_MAP",
    "VAE_DECODER_COMFY_KEYS_FILTER",
    "VAE_ENCODER_COMFY_KEYS_FILTER",
    "VOCODER_COMFY_KEYS_FILTER",
    "KeyMap",
    "select_key_map",
]
