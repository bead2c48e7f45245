"""The widgets of other nodes by the order in which the front-end saves their values.

Facts about ComfyUI's own nodes and the official pack's (spec 07 section 8), for files that name no widget. ``*``
after a seed stands for its "control after generate".
"""

from __future__ import annotations

WIDGETS: dict[str, str] = {
    # ComfyUI: loading
    "CheckpointLoaderSimple": "ckpt_name",
    "UNETLoader": "unet_name weight_dtype",
    "CLIPLoader": "clip_name type device",
    "VAELoader": "vae_name",
    "LoraLoader": "lora_name strength_model strength_clip",
    "LoraLoaderModelOnly": "lora_name strength_model",
    "LTXAVTextEncoderLoader": "text_encoder ckpt_name device",
    "LTXVAudioVAELoader": "ckpt_name",
    "LTXVAudioVAELoader1": "ckpt_name",
    "LatentUpscaleModelLoader": "model_name",
    "ModelPatchLoader": "name",
    # ComfyUI: text
    "CLIPTextEncode": "text",
    "LTXVConditioning": "frame_rate",
    "TextGenerateLTX2Prompt": "prompt max_length sampling_mode",
    "TextGenerate": "prompt max_length sampling_mode",
    # ComfyUI: latents
    "EmptyLTXVLatentVideo": "width height length batch_size",
    "LTXVEmptyLatentAudio": "frames_number frame_rate batch_size",
    "LTXVImgToVideo": "width height length batch_size strength",
    "LTXVImgToVideoInplace": "strength bypass",
    "LTXVAddGuide": "frame_idx strength",
    "LTXVPreprocess": "img_compression",
    "LTXVReferenceAudio": "identity_guidance_scale start_percent end_percent",
    "LTXVAddGeneratedKeyframes": "interval_frames frame_indices",
    "LTXVDurationPredictor": "frame_rate min_seconds max_seconds",
    # ComfyUI: sampling
    "KSampler": "seed * steps cfg sampler_name scheduler denoise",
    "KSamplerSelect": "sampler_name",
    "SamplerEulerAncestral": "eta s_noise",
    "RandomNoise": "noise_seed *",
    "ManualSigmas": "sigmas",
    "BasicScheduler": "scheduler steps denoise",
    "LTXVScheduler": "steps max_shift base_shift stretch terminal",
    "ModelSamplingLTXV": "max_shift base_shift",
    "SplitSigmas": "step",
    "SetFirstSigma": "sigma",
    "CFGGuider": "cfg",
    "LTXVDualCFGGuider": "video_cfg audio_cfg",
    "LTXVSpatioTemporalGuidance": "scale blocks start_percent end_percent",
    "LTXVModalityGuidance": "modality_scale start_percent end_percent",
    # ComfyUI: pictures, sound, numbers
    "VAEDecodeTiled": "tile_size overlap temporal_size temporal_overlap",
    "VAEEncodeTiled": "tile_size overlap temporal_size temporal_overlap",
    "LoadImage": "image",
    "LoadImageMask": "image channel",
    "LoadVideo": "file",
    "LoadAudio": "audio",
    "SaveVideo": "filename_prefix format codec",
    "SaveAudio": "filename_prefix",
    "SaveImage": "filename_prefix",
    "CreateVideo": "fps",
    "ImageScale": "upscale_method width height crop",
    "ImageScaleBy": "upscale_method scale_by",
    "ImageScaleToMaxDimension": "upscale_method largest_size",
    "ResizeAndPadImage": "target_width target_height padding_color interpolation",
    "ImageFromBatch": "batch_index length",
    "RepeatImageBatch": "amount",
    "ImageToMask": "channel",
    "EmptyImage": "width height batch_size color",
    "SolidMask": "value width height",
    "Canny": "low_threshold high_threshold",
    "TrimAudioDuration": "start_index duration",
    "Video Slice": "start_time duration strict_duration",
    "PrimitiveInt": "value *",
    "PrimitiveFloat": "value",
    "PrimitiveBoolean": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "ComfySwitchNode": "switch",
    "ComfyMathExpression": "expression",
    # Official pack
    "LTXVGemmaCLIPModelLoader": "gemma_path ltxv_path max_length",
    "LTXICLoRALoaderModelOnly": "lora_name strength_model",
    "LowVRAMCheckpointLoader": "ckpt_name",
    "LowVRAMAudioVAELoader": "ckpt_name",
    "LowVRAMLatentUpscaleModelLoader": "model_name",
    "LTXVGemmaEnhancePrompt": "prompt system_prompt max_tokens bypass_i2v seed *",
    "LTXVImgToVideoConditionOnly": "strength bypass",
    "LTXVImgToVideoAdvanced": "width height length batch_size crf blur_radius interpolation crop strength",
    "LTXVAddGuideAdvanced": "frame_idx strength crf blur_radius interpolation crop",
    "LTXVAddLatentGuide": "latent_idx strength",
    "LTXAddVideoICLoRAGuide": (
        "frame_idx strength latent_downscale_factor crop use_tiled_encode tile_size tile_overlap"
    ),
    "LTXAddVideoICLoRAGuideAdvanced": (
        "frame_idx strength latent_downscale_factor crop use_tiled_encode tile_size tile_overlap attention_strength"
    ),
    "LTXVAdainLatent": "factor per_frame",
    "LTXVStatNormLatent": "target_mean target_std percentile factor clip_outliers",
    "LTXVApplySTG": "block_indices",
    "STGGuider": "cfg stg rescale",
    "GuiderParameters": "modality cfg stg perturb_attn rescale modality_scale skip_step cross_attn",
    "MultimodalGuider": "skip_blocks",
    "LTXVTiledVAEDecode": ("horizontal_tiles vertical_tiles overlap last_frame_fix working_device working_dtype"),
    "LTXVSpatioTemporalTiledVAEDecode": (
        "spatial_tiles spatial_overlap temporal_tile_length temporal_overlap last_frame_fix working_device "
        "working_dtype"
    ),
    "LTXVLaplacianPyramidBlend": "trim_to_shortest mask_low_res_dilation",
    "LTXVDilateVideoMask": "spatial_radius temporal_radius",
    "LTXVSparseTrackEditor": "points_store coordinates points_to_sample",
    "LTXVDrawTracks": "tracks width height",
    "LTXFloatToInt": "a",
    "LTXVSetAudioVideoMaskByTime": (
        "start_time end_time video_fps mask_video mask_audio mask_init_value_video mask_init_value_audio slope_len"
    ),
    "LTXVLoopingSampler": (
        "temporal_tile_size temporal_overlap guiding_strength temporal_overlap_cond_strength cond_image_strength "
        "horizontal_tiles vertical_tiles spatial_overlap adain_factor guiding_start_step guiding_end_step "
        "optional_cond_image_indices"
    ),
}

RESIZE: dict[str, str] = {
    "scale dimensions": "resize_type resize_type.width resize_type.height resize_type.crop scale_method",
    "scale longer dimension": "resize_type resize_type.longer_size scale_method",
    "scale by multiplier": "resize_type resize_type.multiplier scale_method",
}
"""Widgets of `ResizeImageMaskNode` by its first one, as ComfyUI's own templates name them."""

HDR_DECODE: dict[bool, str] = {
    False: "exposure save_exr output_dir filename_prefix half_precision",
    True: "transfer exposure save_exr exr_color_space output_dir filename_prefix half_precision",
}
"""Widgets of `LTXVHDRDecodePostprocess`, for LTX-2.3 alone and since LTX-2.5, when the first one became a text."""


def widget_names(type: str, values: list) -> list[str] | None:
    """The names of the widgets with these values; None where they are not known."""
    if type == "ResizeImageMaskNode" and values:
        names = RESIZE.get(values[0])
    elif type == "LTXVHDRDecodePostprocess":
        names = HDR_DECODE[bool(values) and isinstance(values[0], str)]
    else:
        names = WIDGETS.get(type)
    return None if names is None else names.split()
