"""LTX-2 in plain PyTorch: text, image, video and sound in, video with synchronised sound out.

The names that code outside needs are here; each is imported when it is first asked for.
"""

from __future__ import annotations

from .on_demand import names_on_demand

_MODULES = {
    ".types": (
        "Audio",
        "AudioLatentShape",
        "LatentState",
        "SpatioTemporalScaleFactors",
        "VideoLatentShape",
        "VideoPixelShape",
    ),
    ".loader": ("LoraPathStrengthAndSDOps", "SDOps", "SingleGPUModelBuilder", "open_checkpoint", "open_lora"),
    ".quantization": ("QuantizationPolicy",),
    ".model.transformer": (
        "LTXAudioOnlyModelConfigurator",
        "LTXModel",
        "LTXModelConfigurator",
        "LTXModelType",
        "LTXVideoOnlyModelConfigurator",
        "Modality",
        "X0Model",
    ),
    ".model.video_vae": (
        "SpatialTiling",
        "TemporalTiling",
        "TilingConfig",
        "VideoDecoder",
        "VideoDecoderConfigurator",
        "VideoEncoder",
        "VideoEncoderConfigurator",
        "decode_video",
    ),
    ".model.audio_vae": (
        "AudioDecoder",
        "AudioDecoderConfigurator",
        "AudioEncoder",
        "AudioEncoderConfigurator",
        "AudioProcessor",
        "Vocoder",
        "VocoderConfigurator",
        "VocoderWithBWE",
        "decode_audio",
        "encode_audio",
    ),
    ".model.upsampler": ("LatentUpsampler", "LatentUpsamplerConfigurator", "upsample_video"),
    ".text_encoders.gemma": (
        "AVGemmaTextEncoderModel",
        "Embeddings1DConnector",
        "EmbeddingsProcessor",
        "EmbeddingsProcessorConfigurator",
        "VideoGemmaTextEncoderModel",
        "load_text_encoder",
    ),
    ".guidance": ("BatchedPerturbationConfig", "Perturbation", "PerturbationConfig", "PerturbationType"),
    ".components": (
        "AudioPatchifier",
        "BetaScheduler",
        "CFGGuider",
        "CFGStarRescalingGuider",
        "EulerDiffusionStep",
        "GaussianNoiser",
        "LTX2Scheduler",
        "LinearQuadraticScheduler",
        "LtxAPGGuider",
        "MultiModalGuider",
        "MultiModalGuiderFactory",
        "MultiModalGuiderParams",
        "Res2sDiffusionStep",
        "STGGuider",
        "VideoLatentPatchifier",
    ),
    ".conditioning": (
        "AudioConditionByReferenceLatent",
        "AudioLatentTools",
        "ConditioningItemAttentionStrengthWrapper",
        "TemporalRegionMask",
        "VideoConditionByKeyframeIndex",
        "VideoConditionByLatentIndex",
        "VideoConditionByMask",
        "VideoConditionByReferenceLatent",
        "VideoLatentTools",
    ),
    ".sampling": (
        "GuidedDenoiser",
        "SimpleDenoiser",
        "StageModality",
        "denoise_stage",
        "euler_denoising_loop",
        "gradient_estimating_euler_denoising_loop",
        "res2s_denoising_loop",
    ),
}

__getattr__, __dir__, __all__ = names_on_demand(__name__, _MODULES)
