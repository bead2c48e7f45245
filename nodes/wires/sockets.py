"""Socket types of the pack. Native ComfyUI types are used wherever they mean the same."""

from __future__ import annotations

from comfy_api.latest import io

Model = io.Custom("LTX2_MODEL")
VideoVAE = io.Custom("LTX2_VIDEO_VAE")
AudioVAE = io.Custom("LTX2_AUDIO_VAE")
Vocoder = io.Custom("LTX2_VOCODER")
TextProjection = io.Custom("LTX2_TEXT_PROJECTION")
TextEncoder = io.Custom("LTX2_TEXT_ENCODER")
Context = io.Custom("LTX2_CONTEXT")
Guidance = io.Custom("LTX2_GUIDANCE")
Perturbation = io.Custom("LTX2_PERTURBATION")
Guider = io.Custom("LTX2_GUIDER")
Guides = io.Custom("LTX2_GUIDES")
Mel = io.Custom("LTX2_MEL")
Upscaler = io.Custom("LTX2_UPSCALER")
Segments = io.Custom("LTX2_SEGMENTS")
Windows = io.Custom("LTX2_WINDOWS")
Corrections = io.Custom("LTX2_CORRECTIONS")
