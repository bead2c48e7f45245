"""Hidden states to the contexts of the diffusion transformer (spec 05 §10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embeddings_connector import Embeddings1DConnector, convert_to_additive_mask, convert_to_binary_mask
from .feature_extractor import FeatureExtractorV1, FeatureExtractorV2


class EmbeddingsProcessorOutput(NamedTuple):
    """Contexts ``(B, T, D_v)`` and ``(B, T, D_a)`` (``None`` without audio stream), and a mask ``(B, T)`` of ones."""

    video_encoding: Tensor
    audio_encoding: Tensor | None
    attention_mask: Tensor


class EmbeddingsProcessor(nn.Module):
    """Feature extractor and one connector per stream."""

    def __init__(
        self,
        feature_extractor: FeatureExtractorV1 | FeatureExtractorV2,
        video_connector: Embeddings1DConnector,
        audio_connector: Embeddings1DConnector | None,
    ):
        super().__init__()
        self.feature_extractor = feature_extractor
        self.video_connector = video_connector
        self.audio_connector = audio_connector

    def process_hidden_states(
        self, hidden: Tensor | Sequence[Tensor], attention_mask: Tensor
    ) -> EmbeddingsProcessorOutput:
        """Padded hidden states of a batch to contexts.

        Args:
            hidden: ``(B, T, D, L)``, or the L states ``(B, T, D)`` one by one.
            attention_mask: ``(B, T)``, non-zero for tokens; padding on either side.
        """
        hidden = hidden if isinstance(hidden, Tensor) else torch.stack(tuple(hidden), dim=-1)
        features = self.feature_extractor(hidden, mask=attention_mask)
        additive = convert_to_additive_mask(attention_mask, features.video.dtype)
        audio = None if self.audio_connector is None else features.audio
        return self.create_embeddings(features.video, audio, additive)

    def process_prompt(self, hidden: Tensor, length: int) -> EmbeddingsProcessorOutput:
        """Hidden states ``(1, n, D, L)`` of the tokens of one prompt to contexts of ``length`` positions.

        Padding takes part only as registers, so it is added after the features, which are 49 times smaller.
        """
        tokens = hidden.shape[1]
        mask = torch.ones(1, tokens, dtype=torch.long, device=hidden.device)
        features = self.feature_extractor(hidden, mask=mask)
        video = F.pad(features.video, (0, 0, length - tokens, 0))
        audio = None if self.audio_connector is None else F.pad(features.audio, (0, 0, length - tokens, 0))
        mask = F.pad(mask, (length - tokens, 0))
        return self.create_embeddings(video, audio, convert_to_additive_mask(mask, video.dtype))

    def create_embeddings(
        self, video_features: Tensor, audio_features: Tensor | None, additive_mask: Tensor
    ) -> EmbeddingsProcessorOutput:
        """Features ``(B, T, D)`` and additive mask ``(B, 1, 1, T)`` through the connectors.

        Raises:
            ValueError: audio features without an audio connector, or the reverse.
        """
        if (audio_features is None) != (self.audio_connector is None):
            have, lack = ("connector", "features") if audio_features is None else ("features", "connector")
            raise ValueError(f"The audio stream has its {have} but no {lack}; give both, or neither for video only.")
        video, output_mask = self.video_connector(video_features, additive_mask)
        binary = convert_to_binary_mask(output_mask)
        audio = None
        if self.audio_connector is not None and audio_features is not None:
            audio, _ = self.audio_connector(audio_features, additive_mask)
        return EmbeddingsProcessorOutput(
            video_encoding=video * binary[..., None], audio_encoding=audio, attention_mask=binary
        )
