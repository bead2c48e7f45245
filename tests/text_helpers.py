"""Text models of the golden checkpoints, for the tests of the text part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    EmbeddingsProcessor,
    EmbeddingsProcessorConfigurator,
    load_text_encoder,
)
from tests.conftest import GOLDEN, GOLDEN_25, checkpoint_path, config

GEMMA3 = GOLDEN / "gemma-tiny"
GEMMA4 = GOLDEN_25 / "text_encoders" / "gemma4-tiny-with-proj-ltx-2.5-bf16.safetensors"
TRANSFORMER_25 = GOLDEN_25 / "diffusion_models" / "ltx-2.5-tiny-transformer-bf16.safetensors"

PROMPTS = {
    "text-pos": "a red circle moves slowly to the left while a low tone plays",
    "text-neg": "worst quality, blurry, distorted, out of sync audio",
}
_PREFIXES = {
    "model.diffusion_model.video_embeddings_connector.": "video_connector.",
    "model.diffusion_model.audio_embeddings_connector.": "audio_connector.",
    "text_embedding_projection.": "feature_extractor.",
}


def encoder_path(version: str) -> Path:
    """The text encoder that goes with a checkpoint version."""
    return GEMMA4 if version == "2.5" else GEMMA3


def processor_paths(version: str) -> list[Path]:
    """The files that hold connectors and text projection."""
    return [TRANSFORMER_25, GEMMA4] if version == "2.5" else [checkpoint_path(version)]


def load_processor(paths: Sequence[Path]) -> EmbeddingsProcessor:
    """The embeddings processor in float32, config from the first file."""
    state = {}
    for path in paths:
        for key, value in load_file(path).items():
            for old, new in _PREFIXES.items():
                if key.startswith(old):
                    state[new + key[len(old) :]] = value.float()
    with torch.device("meta"):
        processor = EmbeddingsProcessorConfigurator.from_config(config(paths[0]))
    processor.load_state_dict(state, assign=True)
    return processor.requires_grad_(False)


def load_model(version: str, max_length: int = 1024) -> AVGemmaTextEncoderModel:
    """The whole text model in float32."""
    encoder = load_text_encoder(encoder_path(version), dtype=torch.float32, max_length=max_length)
    return AVGemmaTextEncoderModel(encoder, load_processor(processor_paths(version)))
