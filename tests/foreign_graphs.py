"""Small graphs with the node types and the links of published graphs for other LTX nodes (spec 07 §5, 08 §3 to §5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.conversion.widgets import widget_names

Prompt = dict[str, dict[str, Any]]
Source = list[Any]
"""An output, as a prompt writes it: [node, slot]."""
CHECKPOINT = "ltx-2.3-22b-distilled.safetensors"
S8 = "1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0"
S3 = "0.909375, 0.725, 0.421875, 0.0"


class Graph:
    """A prompt under construction."""

    def __init__(self) -> None:
        self.prompt: Prompt = {}

    def __call__(self, type: str, slot: int = 0, /, **inputs: Any) -> Source:
        id = str(len(self.prompt) + 1)
        self.prompt[id] = {"class_type": type, "inputs": inputs}
        return [id, slot]

    @staticmethod
    def at(source: Source, slot: int) -> Source:
        """Another output of the same node."""
        return [source[0], slot]


class Models(Graph):
    """The loaders and prompts that most graphs begin with."""

    def __init__(self, checkpoint: str = CHECKPOINT, rate: Any = 24) -> None:
        super().__init__()
        self.model = self("CheckpointLoaderSimple", ckpt_name=checkpoint)
        self.vae = self.at(self.model, 2)
        self.clip = self(
            "LTXAVTextEncoderLoader", text_encoder="gemma_3_12B_it.safetensors", ckpt_name=checkpoint, device="default"
        )
        self.audio_vae = self("LTXVAudioVAELoader", ckpt_name=checkpoint)
        self.prompts(rate)

    def prompts(self, rate: Any) -> None:
        self.positive = self("CLIPTextEncode", clip=self.clip, text="A red circle moves to the left.")
        self.negative = self("CLIPTextEncode", clip=self.clip, text="blurry")
        self.positive = self("LTXVConditioning", positive=self.positive, negative=self.negative, frame_rate=rate)
        self.negative = self.at(self.positive, 1)

    def empty(self, width: int = 768, height: int = 512, length: Any = 97) -> Source:
        return self("EmptyLTXVLatentVideo", width=width, height=height, length=length, batch_size=1)

    def empty_sound(self, length: Any = 97) -> Source:
        return self("LTXVEmptyLatentAudio", frames_number=length, frame_rate=24, batch_size=1, audio_vae=self.audio_vae)

    def both(self, video: Source, audio: Source) -> Source:
        return self("LTXVConcatAVLatent", video_latent=video, audio_latent=audio)

    def sample(
        self,
        latent: Source,
        sigmas: str | Source = S8,
        solver: str = "euler",
        cfg: float = 1,
        seed: int = 43,
        model: Source | None = None,
    ) -> Source:
        return self(
            "SamplerCustomAdvanced",
            noise=self("RandomNoise", noise_seed=seed),
            guider=self(
                "CFGGuider", model=model or self.model, positive=self.positive, negative=self.negative, cfg=cfg
            ),
            sampler=self("KSamplerSelect", sampler_name=solver),
            sigmas=self("ManualSigmas", sigmas=sigmas) if isinstance(sigmas, str) else sigmas,
            latent_image=latent,
        )

    def save(self, latent: Source, audio: Source | None = None, decoder: str = "VAEDecode", **tiles: int) -> Prompt:
        """Separates, decodes and saves a joined latent; the given sound, if any, in place of its own."""
        parts = self("LTXVSeparateAVLatent", av_latent=latent)
        images = self(
            decoder,
            vae=self.vae,
            **{"latents" if "Tiled" in decoder and "LTXV" in decoder else "samples": parts},
            **tiles,
        )
        audio = audio or self("LTXVAudioVAEDecode", samples=self.at(parts, 1), audio_vae=self.audio_vae)
        video = self("CreateVideo", images=images, audio=audio, fps=24.0)
        self("SaveVideo", video=video, filename_prefix="video/converted", format="auto", codec="auto")
        return self.prompt


def core_text_to_video() -> Prompt:
    """ComfyUI's template, LTX-2 full: half size with guidance, twice the size with the distilled LoRA."""
    g = Models("ltx-2-19b-dev.safetensors")
    sound = g.empty_sound()
    start = g.both(g.empty(), sound)
    first = g.sample(
        start,
        g("LTXVScheduler", steps=20, max_shift=2.05, base_shift=0.95, stretch=True, terminal=0.1, latent=start),
        "euler_ancestral",
        4,
    )
    parts = g("LTXVSeparateAVLatent", av_latent=first)
    g.positive = g("LTXVCropGuides", positive=g.positive, negative=g.negative, latent=parts)
    g.negative = g.at(g.positive, 1)
    upscaler = g("LatentUpscaleModelLoader", model_name="ltx-2-spatial-upscaler-x2-1.0.safetensors")
    larger = g("LTXVLatentUpsampler", samples=g.at(g.positive, 2), upscale_model=upscaler, vae=g.vae)
    model = g(
        "LoraLoaderModelOnly", model=g.model, lora_name="ltx-2-19b-distilled-lora-384.safetensors", strength_model=1.0
    )
    second = g.sample(g.both(larger, g.at(parts, 1)), S3, "euler_ancestral", seed=0, model=model)
    return g.save(second, decoder="VAEDecodeTiled", tile_size=512, overlap=64, temporal_size=4096, temporal_overlap=8)


def core_image_to_video() -> Prompt:
    """ComfyUI's template: the first frame, degraded, in place in the latent."""
    g = Models()
    image = g("LTXVPreprocess", image=g("LoadImage", image="example.png"), img_compression=18)
    placed = g("LTXVImgToVideoInplace", vae=g.vae, image=image, latent=g.empty(), strength=0.7, bypass=False)
    return g.save(g.sample(g.both(placed, g.empty_sound())))


def core_first_last_frame() -> Prompt:
    """ComfyUI's template: two pictures as keyframes, plain Euler by an eta of nought, two scales of guidance."""
    g = Models()
    latent: Source = g.empty()
    for frame in (0, -1):
        image = g("LTXVPreprocess", image=g("LoadImage", image="example.png"), img_compression=25)
        guided = g(
            "LTXVAddGuide",
            positive=g.positive,
            negative=g.negative,
            vae=g.vae,
            latent=latent,
            image=image,
            frame_idx=frame,
            strength=0.7,
        )
        g.positive, g.negative, latent = guided, g.at(guided, 1), g.at(guided, 2)
    sampled = g(
        "SamplerCustomAdvanced",
        1,
        noise=g("RandomNoise", noise_seed=42),
        guider=g(
            "LTXVDualCFGGuider", model=g.model, positive=g.positive, negative=g.negative, video_cfg=1.0, audio_cfg=1.0
        ),
        sampler=g("SamplerEulerAncestral", eta=0.0, s_noise=1.0),
        sigmas=g("ManualSigmas", sigmas=S8),
        latent_image=g.both(latent, g.empty_sound()),
    )
    parts = g("LTXVSeparateAVLatent", av_latent=sampled)
    cropped = g("LTXVCropGuides", 2, positive=g.positive, negative=g.negative, latent=parts)
    return g.save(g.both(cropped, g.at(parts, 1)))


def core_audio_to_video() -> Prompt:
    """ComfyUI's template: a given sound under a mask of noughts."""
    g = Models()
    sound = g("LoadAudio", audio="sound.wav")
    encoded = g("LTXVAudioVAEEncode", audio=sound, audio_vae=g.audio_vae)
    masked = g("SetLatentNoiseMask", samples=encoded, mask=g("SolidMask", value=0.0, width=512, height=512))
    return g.save(g.sample(g.both(g.empty(), masked)), audio=sound)


def core_ic_lora() -> Prompt:
    """ComfyUI's template: edges of a film as guide, KSampler on the joined latent."""
    g = Models()
    film = g("GetVideoComponents", video=g("LoadVideo", file="source.mp4"))
    edges = g("Canny", image=film, low_threshold=0.4, high_threshold=0.8)
    model = g(
        "LoraLoaderModelOnly",
        model=g.model,
        lora_name="ltx-2.3-22b-ic-lora-union-control-ref0.5.safetensors",
        strength_model=1.0,
    )
    parameters = g("GetICLoRAParameters", iclora_model=model)
    guided = g(
        "LTXVAddGuide",
        positive=g.positive,
        negative=g.negative,
        vae=g.vae,
        latent=g.empty(),
        image=edges,
        iclora_parameters=parameters,
        frame_idx=0,
        strength=1.0,
    )
    sampled = g(
        "KSampler",
        model=model,
        positive=guided,
        negative=g.at(guided, 1),
        latent_image=g.both(g.at(guided, 2), g.empty_sound()),
        seed=7,
        steps=8,
        cfg=1.0,
        sampler_name="euler_ancestral",
        scheduler="linear_quadratic",
        denoise=1.0,
    )
    return g.save(sampled)


def core_split_files() -> Prompt:
    """ComfyUI's template of LTX-2.5: a file per component, STG and modality guidance as patches of the model."""
    g = Models.__new__(Models)
    Graph.__init__(g)
    g.model = g("UNETLoader", unet_name="ltx-2.5-22b-distilled-transformer-bf16.safetensors", weight_dtype="default")
    g.vae = g("VAELoader", vae_name="ltx-2.5-video-vae-bf16.safetensors")
    g.audio_vae = g("VAELoader", vae_name="ltx-2.5-audio-vae-bf16.safetensors")
    g.clip = g("CLIPLoader", clip_name="gemma4-12b-with-proj-ltx-2.5-bf16.safetensors", type="ltxv", device="default")
    g.prompts(g("PrimitiveFloat", value=24.0))
    head = g("ModelPatchLoader", name="ltx-2.5-duration-head-bf16.safetensors")
    length = g(
        "LTXVDurationPredictor",
        model=g.model,
        positive=g.positive,
        duration_head=head,
        frame_rate=24.0,
        min_seconds=1.0,
        max_seconds=2.0,
    )
    model = g("LTXVSpatioTemporalGuidance", model=g.model, scale=1.0, blocks="2", start_percent=0.0, end_percent=1.0)
    model = g("LTXVModalityGuidance", model=model, modality_scale=3.0, start_percent=0.0, end_percent=1.0)
    return g.save(g.sample(g.both(g.empty(length=length), g.empty_sound(length)), "1.0, 0.5, 0.0", model=model, cfg=3))


def pack_two_stage() -> Prompt:
    """The official pack's graph: the image condition with its bypass, cfg_pp solvers, a rounded frame rate."""
    g = Models(rate=24.0)
    model = g(
        "LoraLoaderModelOnly", model=g.model, lora_name="ltx-2.3-22b-distilled-lora-384.safetensors", strength_model=0.5
    )
    image = g("LoadImage", image="example.png")
    degraded = g("LTXVPreprocess", image=image, img_compression=18)
    rate = g("LTXFloatToInt", a=g("PrimitiveFloat", value=24.0))
    sound = g("LTXVEmptyLatentAudio", frames_number=97, frame_rate=rate, batch_size=1, audio_vae=g.audio_vae)
    first_frame = g(
        "LTXVImgToVideoConditionOnly", vae=g.vae, image=degraded, latent=g.empty(), strength=0.7, bypass=False
    )
    first = g.sample(g.both(first_frame, sound), S8, "euler_ancestral_cfg_pp", model=model)
    parts = g("LTXVSeparateAVLatent", av_latent=first)
    upscaler = g("LowVRAMLatentUpscaleModelLoader", model_name="ltx-2.3-spatial-upscaler-x2-1.1.safetensors")
    larger = g("LTXVLatentUpsampler", samples=parts, upscale_model=upscaler, vae=g.vae)
    placed = g("LTXVImgToVideoConditionOnly", vae=g.vae, image=image, latent=larger, strength=1.0, bypass=True)
    second = g.sample(g.both(placed, g.at(parts, 1)), "0.85, 0.7250, 0.4219, 0.0", "euler_cfg_pp", seed=42, model=model)
    return g.save(second, decoder="LTXVTiledVAEDecode", horizontal_tiles=2, vertical_tiles=2, overlap=6)


def pack_full_model() -> Prompt:
    """The official pack's guided branch: parameters per modality, a schedule for the latent, a third party's res_2s."""
    g = Models("ltx-2.3-22b-dev.safetensors")
    audio = g(
        "GuiderParameters",
        modality="AUDIO",
        cfg=7.0,
        stg=1.0,
        perturb_attn=True,
        rescale=0.7,
        modality_scale=3.0,
        skip_step=0,
        cross_attn=True,
    )
    both = g(
        "GuiderParameters",
        modality="VIDEO",
        cfg=3.0,
        stg=1.0,
        perturb_attn=True,
        rescale=0.9,
        modality_scale=3.0,
        skip_step=0,
        cross_attn=True,
        parameters=audio,
    )
    start = g.both(g.empty(), g.empty_sound())
    sampled = g(
        "SamplerCustomAdvanced",
        noise=g("RandomNoise", noise_seed=42),
        guider=g(
            "MultimodalGuider",
            model=g.model,
            positive=g.positive,
            negative=g.negative,
            parameters=both,
            skip_blocks="2",
        ),
        sampler=g("ClownSampler_Beta"),
        sigmas=g("LTXVScheduler", steps=15, max_shift=2.05, base_shift=0.95, stretch=True, terminal=0.1, latent=start),
        latent_image=start,
    )
    return g.save(sampled)


def pack_enhancer() -> Prompt:
    """The official pack's loader of a Gemma folder, and its prompt writer."""
    g = Models()
    g.clip = g(
        "LTXVGemmaCLIPModelLoader",
        gemma_path="gemma-3-12b-it-qat-q4_0-unquantized/model-00001-of-00005.safetensors",
        ltxv_path=CHECKPOINT,
        max_length=1024,
    )
    written = g(
        "LTXVGemmaEnhancePrompt",
        clip=g.clip,
        prompt="A street musician plays the accordion in the rain.",
        system_prompt="",
        max_tokens=512,
        bypass_i2v=False,
        seed=42,
    )
    g("PreviewAny", source=written)
    g.positive = g("CLIPTextEncode", clip=g.clip, text=written)
    return g.save(g.sample(g.both(g.empty(), g.empty_sound())))


def pack_ic_lora() -> Prompt:
    """The official pack's video to video: reference from the LoRA, the source's sound frozen by the token node."""
    g = Models()
    film = g("GetVideoComponents", video=g("LoadVideo", file="source.mp4"))
    model = g(
        "LTXICLoRALoaderModelOnly",
        model=g.model,
        lora_name="ltx-2.3-22b-ic-lora-deblur-0.9.safetensors",
        strength_model=1.0,
    )
    guided = g(
        "LTXAddVideoICLoRAGuide",
        positive=g.positive,
        negative=g.negative,
        vae=g.vae,
        latent=g.empty(),
        image=film,
        frame_idx=0,
        strength=1.0,
        latent_downscale_factor=g.at(model, 1),
        crop="disabled",
        use_tiled_encode=True,
        tile_size=256,
        tile_overlap=64,
    )
    sound = g("LTXVAudioVAEEncode", audio=g.at(film, 1), audio_vae=g.audio_vae)
    frozen = g("LTXVSetAudioRefTokens", 2, positive=g.positive, negative=g.negative, audio_latent=sound)
    g.positive, g.negative = guided, g.at(guided, 1)
    sampled = g.sample(g.both(g.at(guided, 2), frozen), model=model)
    parts = g("LTXVSeparateAVLatent", av_latent=sampled)
    cropped = g("LTXVCropGuides", 2, positive=guided, negative=g.at(guided, 1), latent=parts)
    return g.save(g.both(cropped, g.at(parts, 1)), audio=g.at(film, 1))


def pack_detailer() -> Prompt:
    """The official pack's looping sampler on an encoded video, guided by itself; tiled decoding in time."""
    g = Models("ltx-2-19b-dev.safetensors")
    film = g("GetVideoComponents", video=g("LoadVideo", file="source.mp4"))
    model = g(
        "LTXICLoRALoaderModelOnly",
        model=g.model,
        lora_name="ltx-2-19b-ic-lora-detailer.safetensors",
        strength_model=1.0,
    )
    latent = g(
        "VAEEncodeTiled", pixels=film, vae=g.vae, tile_size=512, overlap=64, temporal_size=500, temporal_overlap=4
    )
    sampled = g(
        "LTXVLoopingSampler",
        model=model,
        vae=g.vae,
        noise=g("RandomNoise", noise_seed=42),
        sampler=g("KSamplerSelect", sampler_name="euler"),
        sigmas=g("ManualSigmas", sigmas=S3),
        guider=g("CFGGuider", model=model, positive=g.positive, negative=g.negative, cfg=1.0),
        latents=latent,
        optional_guiding_latents=latent,
        temporal_tile_size=56,
        temporal_overlap=24,
        guiding_strength=1.0,
        temporal_overlap_cond_strength=0.5,
        cond_image_strength=1.0,
        horizontal_tiles=1,
        vertical_tiles=1,
        spatial_overlap=1,
        adain_factor=0.0,
    )
    images = g(
        "LTXVSpatioTemporalTiledVAEDecode",
        vae=g.vae,
        latents=sampled,
        spatial_tiles=4,
        spatial_overlap=4,
        temporal_tile_length=16,
        temporal_overlap=4,
    )
    video = g("CreateVideo", images=images, audio=g.at(film, 1), fps=g.at(film, 2))
    g("SaveVideo", video=video, filename_prefix="video/converted", format="auto", codec="auto")
    return g.prompt


def pack_text_to_audio() -> Prompt:
    """The official pack's sound alone."""
    g = Models()
    model = g("LTXVAudioOnlyModel", model=g.model)
    latent = g.both(g("LTXVAudioOnlyEmptyVideoLatent"), g.empty_sound(161))
    parts = g("LTXVSeparateAVLatent", 1, av_latent=g.sample(latent, solver="euler_ancestral_cfg_pp", model=model))
    g("PreviewAudio", audio=g("LTXVAudioVAEDecode", samples=parts, audio_vae=g.audio_vae))
    return g.prompt


def pack_sdr_to_hdr() -> Prompt:
    """The official pack's HDR graph of LTX-2.3: a film as reference of its LoRA, no sound, EXR files (spec 07 §5.5)."""
    g = Models()
    film = g("GetVideoComponents", video=g("LoadVideo", file="source.mp4"))
    model = g(
        "LTXICLoRALoaderModelOnly",
        model=g.model,
        lora_name="ltx-2.3-22b-ic-lora-hdr-0.9.safetensors",
        strength_model=1.0,
    )
    guided = g(
        "LTXAddVideoICLoRAGuide",
        positive=g.positive,
        negative=g.negative,
        vae=g("LTXVVAEForceFloat32", vae=g.vae),
        latent=g.empty(),
        image=film,
        frame_idx=0,
        strength=1.0,
    )
    g.positive, g.negative = guided, g.at(guided, 1)
    sampled = g.sample(g.at(guided, 2), solver="euler_ancestral", model=model)
    cropped = g("LTXVCropGuides", 2, positive=guided, negative=g.at(guided, 1), latent=sampled)
    images = g(
        "VAEDecodeTiled", samples=cropped, vae=g.vae, tile_size=768, overlap=256, temporal_size=8, temporal_overlap=4
    )
    hdr = g(
        "LTXVHDRDecodePostprocess",
        image=images,
        exposure=7.1,
        save_exr=True,
        output_dir="output/hdr_exr3",
        filename_prefix="frame",
        half_precision=True,
    )
    video = g("CreateVideo", images=g.at(hdr, 1), audio=g.at(film, 1), fps=g.at(film, 2))
    g("SaveVideo", video=video, filename_prefix="video/converted", format="auto", codec="auto")
    return g.prompt


def pack_inpaint() -> Prompt:
    """The official pack's in-painting with its LoRA: green frames as reference, blended back (spec 07 §5.8)."""
    g = Models()
    film = g("GetVideoComponents", video=g("LoadVideo", file="source.mp4"))
    mask = g(
        "LTXVDilateVideoMask",
        mask=g("LoadImageMask", image="example.png", channel="red"),
        spatial_radius=15,
        temporal_radius=0,
    )
    green = g("LTXVInpaintPreprocess", images=film, mask=mask)
    model = g(
        "LTXICLoRALoaderModelOnly",
        model=g.model,
        lora_name="ltx-2.3-22b-ic-lora-in-outpainting-0.9.safetensors",
        strength_model=1.0,
    )
    guided = g(
        "LTXAddVideoICLoRAGuideAdvanced",
        positive=g.positive,
        negative=g.negative,
        vae=g.vae,
        latent=g.empty(),
        image=green,
        frame_idx=0,
        strength=1.0,
        latent_downscale_factor=1.0,
        crop="disabled",
        attention_strength=1.0,
    )
    g.positive, g.negative = guided, g.at(guided, 1)
    sound = g("LTXVFreezeLatent", latent=g("LTXVAudioVAEEncode", audio=g.at(film, 1), audio_vae=g.audio_vae))
    sampled = g.sample(g.both(g.at(guided, 2), sound), solver="euler_ancestral_cfg_pp", model=model)
    parts = g("LTXVSeparateAVLatent", av_latent=sampled)
    cropped = g("LTXVCropGuides", 2, positive=guided, negative=g.at(guided, 1), latent=parts)
    images = g(
        "VAEDecodeTiled", samples=cropped, vae=g.vae, tile_size=512, overlap=64, temporal_size=512, temporal_overlap=4
    )
    blended = g(
        "LTXVLaplacianPyramidBlend",
        image_a=images,
        image_b=green,
        mask=mask,
        trim_to_shortest=True,
        mask_low_res_dilation=5,
    )
    video = g("CreateVideo", images=blended, audio=g.at(film, 1), fps=g.at(film, 2))
    g("SaveVideo", video=video, filename_prefix="video/converted", format="auto", codec="auto")
    return g.prompt


def pack_hdr_still() -> Prompt:
    """The official pack's HDR image graph of LTX-2.5, from an EXR still to an HLG master (spec 08 §3.1)."""
    g = Models()
    still = g("LTXVLoadEXRSequence")
    placed = g("LTXVImgToVideoInplace", vae=g.vae, image=still, latent=g.empty(960, 544), strength=1.0, bypass=False)
    parts = g("LTXVSeparateAVLatent", av_latent=g.sample(g.both(placed, g.empty_sound())))
    images = g(
        "VAEDecodeTiled", samples=parts, vae=g.vae, tile_size=512, overlap=64, temporal_size=128, temporal_overlap=32
    )
    hdr = g(
        "LTXVHDRDecodePostprocess", image=images, transfer="acescct", exposure=0.0, save_exr=True, half_precision=True
    )
    g("LTXVSaveHLG", hdr_linear=g.at(hdr, 1))
    video = g("CreateVideo", images=g.at(hdr, 1), fps=24.0)
    g("SaveVideo", video=video, filename_prefix="video/converted", format="auto", codec="auto")
    return g.prompt


GRAPHS: dict[str, Callable[[], Prompt]] = {
    function.__name__: function
    for function in (
        core_text_to_video,
        core_image_to_video,
        core_first_last_frame,
        core_audio_to_video,
        core_ic_lora,
        core_split_files,
        pack_two_stage,
        pack_full_model,
        pack_enhancer,
        pack_ic_lora,
        pack_detailer,
        pack_text_to_audio,
        pack_sdr_to_hdr,
        pack_inpaint,
        pack_hdr_still,
    )
}


def saved(prompt: Prompt) -> dict[str, Any]:
    """The same graph as the front-end saves it: links by number, widget values by position."""
    links: list[list[Any]] = []
    nodes = []
    for id, node in prompt.items():
        inputs = []
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                links.append([len(links) + 1, int(value[0]), value[1], int(id), len(inputs), "*"])
                inputs.append({"name": name, "type": "*", "link": len(links)})
        values: list[Any] = []
        kind = [node["inputs"].get("transfer") or node["inputs"].get("exposure")]
        for name in widget_names(node["class_type"], kind) or []:
            if name == "*":
                values.append("fixed")
            else:
                value = node["inputs"].get(name)
                values.append(None if isinstance(value, list) else value)
        nodes.append(
            {
                "id": int(id),
                "type": node["class_type"],
                "mode": 0,
                "inputs": inputs,
                "outputs": [],
                "properties": {},
                "widgets_values": values,
            }
        )
    return {"nodes": nodes, "links": links, "version": 0.4}
