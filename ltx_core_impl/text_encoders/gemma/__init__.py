"""Prompts to contexts: tokenizer, Gemma 3 or 4, feature extractors, connectors, prompt enhancement (spec 05)."""

from .adapters import match_loras
from .compatibility import TextEncoderMismatchError, check_gemma_version, check_projection_fits
from .config import GemmaConfig, TextEncoderFileError
from .configurator import (
    EmbeddingsProcessorConfigurator,
    UnknownTextProjectionError,
    VideoEmbeddingsProcessorConfigurator,
)
from .embeddings_connector import Embeddings1DConnector, convert_to_additive_mask
from .embeddings_processor import EmbeddingsProcessor, EmbeddingsProcessorOutput
from .encoder import (
    AVGemmaEncoderOutput,
    AVGemmaTextEncoderModel,
    GemmaTextEncoder,
    VideoGemmaEncoderOutput,
    VideoGemmaTextEncoderModel,
    load_text_encoder,
)
from .enhancement import PromptEnhancementError, clean_response, enhance_prompt
from .feature_extractor import FeatureExtractorV1, FeatureExtractorV2
from .files import GemmaFiles, open_gemma
from .generation import Sampling
from .loading import Gemma, load_gemma
from .tokenizer import LTXVGemmaTokenizer
from .writer import PromptWriter, load_writer, open_writer

__all__ = [
    "AVGemmaEncoderOutput",
    "AVGemmaTextEncoderModel",
    "Embeddings1DConnector",
    "EmbeddingsProcessor",
    "EmbeddingsProcessorConfigurator",
    "EmbeddingsProcessorOutput",
    "FeatureExtractorV1",
    "FeatureExtractorV2",
    "Gemma",
    "GemmaConfig",
    "GemmaFiles",
    "GemmaTextEncoder",
    "LTXVGemmaTokenizer",
    "PromptEnhancementError",
    "PromptWriter",
    "Sampling",
    "TextEncoderFileError",
    "TextEncoderMismatchError",
    "UnknownTextProjectionError",
    "VideoEmbeddingsProcessorConfigurator",
    "VideoGemmaEncoderOutput",
    "VideoGemmaTextEncoderModel",
    "check_gemma_version",
    "check_projection_fits",
    "clean_response",
    "convert_to_additive_mask",
    "enhance_prompt",
    "load_gemma",
    "load_text_encoder",
    "load_writer",
    "match_loras",
    "open_gemma",
    "open_writer",
]
