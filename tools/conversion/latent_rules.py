"""Latents: empty, encoded, joined, upscaled, frozen, and the guides put into them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.conversion.converter import Conversion, rule
from tools.conversion.reading import Item
from tools.conversion.text_rules import frame_rate
from tools.conversion.values import Latent, Model, Picture, Prompt, Vae, Wire

EMPTY_VIDEO = ("EmptyLTXVLatentVideo", "LTXVImgToVideo", "LTXVImgToVideoAdvanced")
FILM_SOURCES = ("GetVideoComponents", "LoadVideo", "Canny", "RepeatImageBatch", "LTXVDrawTracks", "VHS_LoadVideo")


def first_vae(conversion: Conversion) -> Wire | None:
    """A video VAE of the new graph, for what needs one and was not given any."""
    for values in list(conversion.memo.values()):
        for value in values:
            if isinstance(value, Vae) and value.video:
                return value.video
    return None


def _floored(value: Any, multiple: int, offset: int = 0) -> Any:
    """ComfyUI rounds a typed size down in silence; here it must be said."""
    return (value - offset) // multiple * multiple + offset if isinstance(value, int) else value


def _empty(conversion: Conversion, item: Item) -> Latent:
    node = conversion.add(
        "LTX2EmptyLatents",
        width=_floored(conversion.get(item, "width", 768), 32),
        height=_floored(conversion.get(item, "height", 512), 32),
        length=_floored(conversion.get(item, "length", 97), 8, 1),
        frame_rate=frame_rate(conversion),
        batch_size=conversion.get(item, "batch_size", 1),
    )
    return Latent(video=Wire(node, 0))


@rule("EmptyLTXVLatentVideo")
def empty_video(conversion: Conversion, item: Item) -> list[Any]:
    return [_empty(conversion, item)]


@rule("LTXVEmptyLatentAudio")
def empty_audio(conversion: Conversion, item: Item) -> list[Any]:
    """The sound of the picture that is as long, where there is one."""
    length = _floored(conversion.get(item, "frames_number", 97), 8, 1)
    for other in conversion.of_type(*EMPTY_VIDEO):
        if _floored(conversion.get(other, "length", 97), 8, 1) == length:
            video = next(v for v in conversion.outputs(other) if isinstance(v, Latent)).video
            if video is not None and conversion.nodes[video.node].type == "LTX2EmptyLatents":
                return [Latent(audio=Wire(video.node, 1))]
    rate = conversion.get(item, "frame_rate", 25)
    node = conversion.add("LTX2EmptyLatents", title="Length of the sound", length=length, frame_rate=rate)
    return [Latent(audio=Wire(node, 1))]


@rule("LTXVAudioOnlyEmptyVideoLatent")
def no_video(conversion: Conversion, item: Item) -> list[Any]:
    return [Latent()]


@rule("LTXVConcatAVLatent")
def joined(conversion: Conversion, item: Item) -> list[Any]:
    video, audio = conversion.latent(item, "video_latent"), conversion.get(item, "audio_latent")
    sound = audio.audio if isinstance(audio, Latent) else audio if isinstance(audio, Wire) else None
    if video.video is not None:
        _fit(conversion, sound, video.video)
    return [replace(video, audio=sound)]


def _fit(conversion: Conversion, sound: Wire | None, video: Wire) -> None:
    """An encoded sound is made as long as the picture that it is joined with; ComfyUI lets them differ."""
    node = conversion.nodes[sound.node] if sound is not None else None
    while node is not None and node.type == "LTX2FreezeLatent":
        node = conversion.nodes[node.inputs["latent"].node]
    if node is not None and node.type == "LTX2AudioVAEEncode":
        node.inputs.setdefault("fit_to", video)


@rule("LTXVSeparateAVLatent")
def separated(conversion: Conversion, item: Item) -> list[Any]:
    both = conversion.latent(item, "av_latent")
    return [replace(both, audio=None), Latent(audio=both.audio)]


@rule("LTXVCropGuides")
def cropped(conversion: Conversion, item: Item) -> list[Any]:
    """The sampler removes what guides appended."""
    latent = conversion.latent(item, "latent")
    return [conversion.get(item, "positive"), conversion.get(item, "negative"), replace(latent, guides=None)]


# --- Guides -----------------------------------------------------------------------------------------------------------


def _guided(conversion: Conversion, item: Item, latent: Latent, **inputs: Any) -> Latent:
    """The latent with a picture as guide."""
    picture, vae = conversion.picture(item, "image"), conversion.get(item, "vae")
    if picture is None or latent.video is None:
        conversion.note(f"To do: {item} has lost its picture or its latent.")
        return latent
    crf = picture.crf if picture.crf is not None else conversion.typed(item, "crf", 0)
    guides = conversion.wire(
        "LTX2ImageGuide",
        image=picture,
        video_vae=vae.video if isinstance(vae, Vae) else first_vae(conversion),
        video_latent=latent.video,
        crf=crf,
        guides=latent.guides,
        **inputs,
    )
    return replace(latent, guides=guides)


@rule("LTXVPreprocess")
def degraded(conversion: Conversion, item: Item) -> list[Any]:
    """The guide does it (crf)."""
    picture = conversion.picture(item, "image")
    return [picture and replace(picture, crf=conversion.typed(item, "img_compression", 35))]


@rule("LTXVImgToVideoInplace", "LTXVImgToVideoConditionOnly")
def first_frame(conversion: Conversion, item: Item) -> list[Any]:
    latent = conversion.latent(item, "latent")
    if conversion.typed(item, "bypass", False):
        conversion.note(f"Left out: {item}, which was bypassed.")
        return [latent]
    strength = conversion.get(item, "strength", 1.0)
    return [_guided(conversion, item, latent, frame_index=0, strength=strength)]


@rule("LTXVImgToVideo", "LTXVImgToVideoAdvanced")
def image_to_video(conversion: Conversion, item: Item) -> list[Any]:
    strength = conversion.get(item, "strength", 1.0)
    latent = _guided(conversion, item, _empty(conversion, item), frame_index=0, strength=strength)
    return [conversion.get(item, "positive"), conversion.get(item, "negative"), latent]


@rule("LTXVAddGuide", "LTXVAddGuideAdvanced", "LTXAddVideoICLoRAGuide", "LTXAddVideoICLoRAGuideAdvanced")
def guide(conversion: Conversion, item: Item) -> list[Any]:
    """A picture beside the clip; a film, or anything that an IC-LoRA looks at, as reference."""
    positive, negative = conversion.get(item, "positive"), conversion.get(item, "negative")
    latent = conversion.latent(item, "latent")
    parameters = conversion.get(item, "iclora_parameters")
    strength, frame = conversion.get(item, "strength", 1.0), conversion.get(item, "frame_idx", 0)
    if isinstance(strength, float) and strength > 1:
        conversion.note(f"{item}: a strength above 1 only amplifies attention; it became 1.")
        strength = 1.0
    if "ICLoRA" not in item.type and not isinstance(parameters, Model) and not _is_film(conversion, item):
        latent = _guided(conversion, item, latent, frame_index=frame, strength=strength, as_keyframe=True)
        return [positive, negative, latent]
    model = parameters if isinstance(parameters, Model) else _ic_lora_model(conversion)
    picture, vae = conversion.picture(item, "image"), conversion.get(item, "vae")
    if picture is None or latent.video is None or model is None:
        conversion.note(f"To do: {item} has lost its pictures, its latent or its model.")
        return [positive, negative, latent]
    if frame != 0:
        conversion.note(f"{item}: the reference begins with the clip here, not at frame {frame}.")
    guides = conversion.wire(
        "LTX2ReferenceVideoGuide",
        images=picture,
        model=model.wire,
        video_vae=vae.video if isinstance(vae, Vae) else first_vae(conversion),
        video_latent=latent.video,
        strength=strength,
        attention_strength=conversion.get(item, "attention_strength", 1.0),
        tile_size=512 if conversion.typed(item, "use_tiled_encode", False) else 0,
        attention_mask=conversion.get(item, "attention_mask"),
        guides=latent.guides,
    )
    return [positive, negative, replace(latent, guides=guides)]


def _is_film(conversion: Conversion, item: Item, name: str = "image") -> bool:
    """Pictures that come out of a video."""
    source, seen = conversion.origin(item, name), set()
    while source is not None and source.id not in seen:
        if source.type in FILM_SOURCES:
            return True
        seen.add(source.id)
        source = conversion.origin(source, "image") or conversion.origin(source, "input")
    return False


def _ic_lora_model(conversion: Conversion) -> Model | None:
    """The model with the IC-LoRA, or any model where there is none."""
    for types in (("LTXICLoRALoaderModelOnly",), ("LoraLoaderModelOnly",), ("CheckpointLoaderSimple", "UNETLoader")):
        for item in reversed(conversion.of_type(*types)):
            for value in conversion.outputs(item):
                if isinstance(value, Model):
                    return value
    return None


@rule("LTXVAddLatentGuide")
def latent_guide(conversion: Conversion, item: Item) -> list[Any]:
    latent, reference = conversion.latent(item, "latent"), conversion.latent(item, "guiding_latent")
    model = _ic_lora_model(conversion)
    guides = conversion.wire(
        "LTX2ReferenceLatentGuide",
        reference=reference.video,
        model=model and model.wire,
        video_latent=latent.video,
        strength=conversion.get(item, "strength", 1.0),
        latent_index=conversion.get(item, "latent_idx", 0),
        guides=latent.guides,
    )
    return [conversion.get(item, "positive"), conversion.get(item, "negative"), replace(latent, guides=guides)]


def with_reference_sound(conversion: Conversion, latent: Latent, positive: Prompt) -> Wire | None:
    """The guides of a latent, with the reference sound that hangs on the prompt."""
    if positive.reference is None:
        return latent.guides
    return conversion.wire("LTX2ReferenceAudioGuide", reference=positive.reference, guides=latent.guides)


# --- Between pictures, sound and latents ------------------------------------------------------------------------------


@rule("VAEEncode", "VAEEncodeTiled")
def encoded(conversion: Conversion, item: Item) -> list[Any] | None:
    vae, picture = conversion.get(item, "vae"), conversion.picture(item, "pixels")
    if not isinstance(vae, Vae) or picture is None:
        return None
    rate = frame_rate(conversion)
    if _is_film(conversion, item, "pixels"):  # ComfyUI leaves out rows, columns and frames that do not fit
        picture = Picture(conversion.wire("LTX2FitVideo", images=picture, frame_rate=rate))
    return [
        Latent(
            video=conversion.wire(
                "LTX2VideoVAEEncode",
                images=picture,
                video_vae=vae.video,
                tile_size=512 if item.type == "VAEEncodeTiled" else 0,
                frame_rate=rate,
            )
        )
    ]


@rule("VAEDecode", "VAEDecodeTiled", "LTXVTiledVAEDecode", "LTXVSpatioTemporalTiledVAEDecode")
def decoded(conversion: Conversion, item: Item) -> list[Any] | None:
    """Tiles are chosen by what the memory holds (auto_tiles)."""
    vae = conversion.get(item, "vae")
    if not isinstance(vae, Vae):
        return None
    latent = conversion.latent(item, "samples" if "samples" in item.inputs else "latents")
    if latent.video is None or vae.video is None:
        conversion.note(f"To do: {item} has lost its latent or its VAE.")
        return []
    wire = conversion.wire("LTX2VideoVAEDecode", video_latent=latent.video, video_vae=vae.video)
    return [Picture(wire, decoded=(latent.video, vae.video))]


@rule("LTXVAudioVAEEncode", "VAEEncodeAudio")
def encoded_sound(conversion: Conversion, item: Item) -> list[Any] | None:
    vae = conversion.get(item, "audio_vae") or conversion.get(item, "vae")
    if not isinstance(vae, Vae) or vae.audio is None:
        return None
    audio = conversion.wire("LTX2AudioVAEEncode", audio=conversion.get(item, "audio"), audio_vae=vae.audio)
    return [Latent(audio=audio)]


@rule("LTXVAudioVAEDecode", "VAEDecodeAudio")
def decoded_sound(conversion: Conversion, item: Item) -> list[Any] | None:
    vae = conversion.get(item, "audio_vae") or conversion.get(item, "vae")
    if not isinstance(vae, Vae):
        return None
    latent = conversion.get(item, "samples")
    audio = latent.audio if isinstance(latent, Latent) else latent
    if audio is None:
        conversion.note(f"To do: {item} has lost its latent.")
        return []
    mel = conversion.wire("LTX2AudioVAEDecode", audio_latent=audio, audio_vae=vae.audio)
    return [conversion.wire("LTX2Vocoder", mel=mel, vocoder=vae.vocoder)]


@rule("LTXVLatentUpsampler")
def upscaled(conversion: Conversion, item: Item) -> list[Any]:
    vae = conversion.get(item, "vae")
    node = conversion.add(
        "LTX2LatentUpscale",
        video_latent=conversion.latent(item, "samples").video,
        upscaler=conversion.get(item, "upscale_model"),
        video_vae=vae.video if isinstance(vae, Vae) else first_vae(conversion),
    )
    return [Latent(video=Wire(node, 0))]


@rule("LTXVFreezeLatent")
def frozen(conversion: Conversion, item: Item) -> list[Any]:
    return [_frozen(conversion, conversion.latent(item, "latent"))]


def _frozen(conversion: Conversion, latent: Latent) -> Latent:
    if latent.audio is not None and latent.video is None:
        return replace(latent, audio=conversion.wire("LTX2FreezeLatent", latent=latent.audio))
    return replace(latent, video=latent.video and conversion.wire("LTX2FreezeLatent", latent=latent.video))


@rule("SetLatentNoiseMask")
def masked(conversion: Conversion, item: Item) -> list[Any] | None:
    """A mask of zeros freezes; another one opens a part of the picture."""
    latent = conversion.get(item, "samples")
    if not isinstance(latent, Latent):
        return None
    source = conversion.origin(item, "mask")
    if source is not None and source.type == "SolidMask" and conversion.typed(source, "value", 1.0) == 0:
        return [_frozen(conversion, latent)]
    if latent.video is None:
        return conversion.lost(item, "A mask of sound: 'LTX-2 Retake Region' opens a part of the time.")
    region = conversion.wire("LTX2InpaintRegion", video_latent=latent.video, mask=conversion.get(item, "mask"))
    return [replace(latent, video=region)]


@rule("LTXVAdainLatent")
def adain(conversion: Conversion, item: Item) -> list[Any]:
    latent = conversion.latent(item, "latents")
    wire = conversion.wire(
        "LTX2AdainLatent",
        latent=latent.video or latent.audio,
        reference=conversion.latent(item, "reference").video,
        factor=conversion.get(item, "factor", 1.0),
        per_frame=conversion.get(item, "per_frame", False),
    )
    return [replace(latent, video=wire) if latent.video else replace(latent, audio=wire)]
