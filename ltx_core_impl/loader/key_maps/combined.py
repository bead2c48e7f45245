"""The rule sets for the combined file, under their public names (spec 01 §6.1)."""

from __future__ import annotations

import torch

from ...operations import KeyValueOperationResult, SDOps


def _without_vocoder_prefix(key: str, value: torch.Tensor) -> list[KeyValueOperationResult]:
    """The prefix is removed once: the LTX-2.3 vocoder has an inner ``vocoder.`` that a replacement would hit too."""
    return [KeyValueOperationResult(key.removeprefix("vocoder."), value)]


def _vae_filter(name: str, family: str, part: str) -> SDOps:
    statistics = "per_channel_statistics."
    return (
        SDOps(name)
        .with_matching(prefix=f"{family}{part}.")
        .with_matching(prefix=f"{family}{statistics}")
        .with_replacement(f"{family}{part}.", "")
        .with_replacement(f"{family}{statistics}", statistics)
    )


LTXV_MODEL_COMFY_RENAMING_MAP = (
    SDOps("LTXV_MODEL_COMFY_PREFIX_MAP")
    .with_matching(prefix="model.diffusion_model.")
    .with_replacement("model.diffusion_model.", "")
)
LTXV_LORA_COMFY_RENAMING_MAP = (
    SDOps("LTXV_LORA_COMFY_PREFIX_MAP").with_matching().with_replacement("diffusion_model.", "")
)
VAE_ENCODER_COMFY_KEYS_FILTER = _vae_filter("VAE_ENCODER_COMFY_KEYS_FILTER", "vae.", "encoder")
VAE_DECODER_COMFY_KEYS_FILTER = _vae_filter("VAE_DECODER_COMFY_KEYS_FILTER", "vae.", "decoder")
AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER = _vae_filter("AUDIO_VAE_ENCODER_COMFY_KEYS_FILTER", "audio_vae.", "encoder")
AUDIO_VAE_DECODER_COMFY_KEYS_FILTER = _vae_filter("AUDIO_VAE_DECODER_COMFY_KEYS_FILTER", "audio_vae.", "decoder")
VOCODER_COMFY_KEYS_FILTER = (
    SDOps("VOCODER_COMFY_KEYS_FILTER")
    .with_matching(prefix="vocoder.")
    .with_kv_operation(_without_vocoder_prefix, key_prefix="vocoder.")
)
EMBEDDINGS_PROCESSOR_KEY_OPS = (
    SDOps("EMBEDDINGS_PROCESSOR_KEY_OPS")
    .with_matching(prefix="text_embedding_projection.aggregate_embed.")
    .with_matching(prefix="text_embedding_projection.video_aggregate_embed.")
    .with_matching(prefix="text_embedding_projection.audio_aggregate_embed.")
    .with_matching(prefix="model.diffusion_model.video_embeddings_connector.")
    .with_matching(prefix="model.diffusion_model.audio_embeddings_connector.")
    .with_replacement("text_embedding_projection.", "feature_extractor.")
    .with_replacement("model.diffusion_model.video_embeddings_connector.", "video_connector.")
    .with_replacement("model.diffusion_model.audio_embeddings_connector.", "audio_connector.")
)


def _also_as_head(key: str, value: torch.Tensor) -> list[KeyValueOperationResult]:
    """The output head is tied to the embedding and stored only once."""
    return [KeyValueOperationResult(key, value), KeyValueOperationResult("model.lm_head.weight", value)]


GEMMA_LLM_KEY_OPS = (
    SDOps("GEMMA_LLM_KEY_OPS")
    .with_matching(prefix="language_model.model.")
    .with_matching(prefix="vision_tower.")
    .with_matching(prefix="multi_modal_projector.")
    .with_replacement("language_model.model.", "model.model.language_model.")
    .with_replacement("vision_tower.", "model.model.vision_tower.")
    .with_replacement("multi_modal_projector.", "model.model.multi_modal_projector.")
    .with_kv_operation(_also_as_head, key_prefix="model.model.language_model.embed_tokens.weight")
)
