"""Prompts to contexts: tokenizer, Gemma 3 or 4, feature extractors, connectors, prompt enhancement (spec 05)."""

from __future__ import annotations

from ...on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".adapters": ("match_loras",),
        ".compatibility": ("TextEncoderMismatchError", "check_gemma_version", "check_projection_fits"),
        ".config": ("GemmaConfig", "TextEncoderFileError"),
        ".configurator": (
            "EmbeddingsProcessorConfigurator",
            "UnknownTextProjectionError",
            "VideoEmbeddingsProcessorConfigurator",
        ),
        ".embeddings_connector": ("Embeddings1DConnector", "convert_to_additive_mask"),
        ".embeddings_processor": ("EmbeddingsProcessor", "EmbeddingsProcessorOutput"),
        ".encoder": (
            "AVGemmaEncoderOutput",
            "AVGemmaTextEncoderModel",
            "GemmaTextEncoder",
            "VideoGemmaEncoderOutput",
            "VideoGemmaTextEncoderModel",
            "load_text_encoder",
        ),
        ".enhancement": ("PromptEnhancementError", "clean_response", "enhance_prompt"),
        ".feature_extractor": ("FeatureExtractorV1", "FeatureExtractorV2"),
        ".files": ("GemmaFiles", "open_gemma"),
        ".generation": ("Sampling",),
        ".judging": ("judge_text_encoder",),
        ".loading": ("Gemma", "load_gemma"),
        ".tokenizer": ("LTXVGemmaTokenizer",),
        ".writer": ("PromptWriter", "judge_writer", "load_writer", "open_writer"),
    },
)
