"""How the names of every source layout become model names; one module per source."""

from __future__ import annotations

from ...on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".combined": (
            "AUDIO_VAE_DECODER_COMFY_KEYS_FILTER",
            "AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER",
            "EMBEDDINGS_PROCESSOR_KEY_OPS",
            "GEMMA_LLM_KEY_OPS",
            "LTXV_LORA_COMFY_RENAMING_MAP",
            "LTXV_MODEL_COMFY_RENAMING_MAP",
            "VAE_DECODER_COMFY_KEYS_FILTER",
            "VAE_ENCODER_COMFY_KEYS_FILTER",
            "VOCODER_COMFY_KEYS_FILTER",
        ),
        ".key_map": ("KeyMap",),
        ".select": ("select_key_map",),
    },
)
