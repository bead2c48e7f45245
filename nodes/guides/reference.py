"""Reference videos for IC-LoRAs, and reference sound."""

from __future__ import annotations

import logging

from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import conditioning, loader, media, sampling
from ...ltx_core_impl.types import AudioLatentShape, VideoLatentShape
from ..vae.encoding import encoded_video
from ..vae.vae_tiling import TileSizes
from ..wires import sockets
from ..wires.checks import (
    InputError,
    check_frames,
    check_widgets,
    latent_samples,
    message_or_true,
    optional_handle,
    require_handle,
)
from ..wires.geometry import audio_geometry
from ..wires.handles import ComponentHandle, Guides, LoraRef, ModelHandle
from ..wires.inputs import (
    MAX_LENGTH,
    fraction_input,
    guides_input,
    guides_output,
    ic_lora_model_input,
    reference_strength_input,
    target_input,
    unusual_audio_vae_input,
)
from ..wires.pictures import Clip, as_encoded, clip_of, require_mask_for, require_pictures

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/guides"
TILE_OVERLAP, TEMPORAL_TILE, TEMPORAL_OVERLAP = 64, 64, 24
MAX_FRAME = 16384
FRAME_STEP = 8


# What a LoRA says


def _factors(lora: LoraRef) -> tuple[float, float]:
    """How much smaller and sparser than the clip this LoRA wants its reference; (1, 1) for an ordinary LoRA."""
    file = loader.open_lora(lora.file.path)
    space = file.reference_downscale_factor
    if space == 1:
        space = file.reference_spatial_scale_factor
    return space, file.reference_temporal_scale_factor


def reference_factors(model: ModelHandle) -> tuple[int, int]:
    """Downscale factor and temporal factor that the model's LoRAs want of a reference; 1 when none says otherwise.

    Raises `InputError` for LoRAs that contradict each other and for factors that are not whole.
    """
    found: list[set[float]] = [set(), set()]
    for lora in model.loras:
        for factors, factor in zip(found, _factors(lora), strict=True):
            factors |= {factor} - {1.0}
    for name, factors in zip(("downscale", "temporal"), found, strict=True):
        if len(factors) > 1 or any(factor != int(factor) for factor in factors):
            raise InputError(
                f"The LoRAs of {model.file.name} want reference {name} factors of {sorted(factors)}; one whole number "
                "is needed. Use one IC-LoRA at a time."
            )
    return tuple(int(factors.pop()) if factors else 1 for factors in found)


def check_references(model: ModelHandle, guides: Guides) -> None:
    """An IC-LoRA needs a reference to work on (refused without); a reference needs an IC-LoRA (logged)."""
    items = [getattr(item, "conditioning", item) for item in guides.video]
    kinds = (conditioning.VideoConditionByReferenceLatent, conditioning.VideoConditionByWindowedReference)
    has_reference = any(isinstance(item, kinds) for item in items)
    active = [lora for lora in model.loras if lora.strength != 0]
    if has_reference and not active:
        logger.warning(
            "A reference video is connected, but %s has no LoRA: without an IC-LoRA the model was never shown what to "
            "do with it. Add 'LTX-2 Load LoRA'.",
            model.file.name,
        )
    if has_reference:
        return
    for lora in active:
        if _factors(lora) != (1.0, 1.0):
            raise InputError(
                f"{lora.file.name} is an IC-LoRA: it works on a reference video, and guides holds none. Add 'LTX-2 "
                "Reference Video Guide', or give this sampler the model without this LoRA."
            )


# Reference video


class LTX2ReferenceVideoGuide(io.ComfyNode):
    """A control video, or a video to be transformed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ReferenceVideoGuide",
            display_name="LTX-2 Reference Video Guide",
            category=CATEGORY,
            description="Shows the model a whole video beside the one it makes, as IC-LoRAs expect it: depth, pose or "
            "edges to follow, a clip to restyle, sharpen, dub or upscale. The size comes from the LoRA.",
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="The reference video, at the frame rate of the clip and of any size: it is scaled to cover "
                    "the clip and the centre is cut out. Longer ones are cut to the clip, shorter ones to 8k + 1.",
                ),
                ic_lora_model_input(),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model; it encodes the video."),
                target_input(),
                reference_strength_input(),
                fraction_input(
                    "attention_strength", 1.0, "How much the picture looks at the reference: 1 = fully, 0 = not at all."
                ),
                io.Int.Input(
                    "tile_size",
                    default=0,
                    min=0,
                    max=8192,
                    step=32,
                    tooltip="0 encodes the reference at once. For long or large ones a tile side in pixels, a multiple "
                    "of 32 (512), saves memory.",
                ),
                io.Mask.Input(
                    "attention_mask",
                    optional=True,
                    tooltip="Where the reference counts: white = attention_strength, black = not at all. One frame, or "
                    "one per frame of images; any size.",
                ),
                sockets.Guides.Input("guides", optional=True, tooltip="Guides to add this one to; images come first."),
                io.Int.Input(
                    "tile_frames",
                    default=0,
                    min=0,
                    max=MAX_LENGTH,
                    optional=True,
                    tooltip="For 'LTX-2 Tiled Fusion' of longer clips: its tile_frames. Every window in time gets its "
                    "part of the reference encoded as a clip of its own. 0 = encoded once.",
                ),
                io.Int.Input(
                    "frame_index",
                    default=0,
                    min=-MAX_FRAME,
                    max=MAX_FRAME,
                    optional=True,
                    tooltip="Frame of the clip at which the reference starts; 0 = with the clip, as most IC-LoRAs want "
                    "it. Below 0 = before the clip, as in the newer official node: a still at -1 is just before the "
                    "first frame. It is not counted from the end, as it is in 'LTX-2 Image Guide' and in core's "
                    "LTXVAddGuide.",
                ),
            ],
            outputs=[guides_output()],
        )

    @classmethod
    def validate_inputs(cls, strength, attention_strength, tile_size, tile_frames=0, frame_index=0) -> bool | str:
        return message_or_true(lambda: cls._check(strength, attention_strength, tile_size, tile_frames, frame_index))

    @classmethod
    def _check(
        cls,
        strength: float | None,
        attention_strength: float | None,
        tile_size: int | None,
        tile_frames: int | None,
        frame_index: int | None,
    ) -> None:
        check_widgets(
            cls,
            strength=strength,
            attention_strength=attention_strength,
            tile_size=tile_size,
            tile_frames=tile_frames,
            frame_index=frame_index,
        )
        if tile_size is not None:
            _tiles(tile_size).together()
        if tile_frames:
            check_frames(tile_frames, FRAME_STEP, "tile_frames")
        if tile_frames and frame_index:
            raise InputError(
                f"tile_frames is {tile_frames} and frame_index is {frame_index}: windows in time need a reference that "
                "starts with the clip. Set one of them to 0."
            )

    @classmethod
    def execute(
        cls,
        images,
        model,
        video_vae,
        video_latent,
        strength,
        attention_strength,
        tile_size,
        attention_mask=None,
        guides=None,
        tile_frames=0,
        frame_index=0,
    ) -> io.NodeOutput:
        model_handle = require_handle(model, "transformer", "model")
        handle = require_handle(video_vae, "video_vae", "video_vae")
        cls._check(strength, attention_strength, tile_size, tile_frames, frame_index)
        clip = clip_of(video_latent, handle)
        pictures = require_pictures(images, "images")
        mask = None if attention_mask is None else require_mask_for(attention_mask, pictures, "attention_mask")
        factor, stride = reference_factors(model_handle)
        height, width = _reference_size(clip, factor)
        chosen = (
            _chosen_frames(len(pictures), clip, stride)
            if frame_index == 0
            else _placed_frames(len(pictures), clip, stride, frame_index)
        )
        # The encoder's first latent frame is a single frame, which those of a later film are not: it is given away.
        given_away = int(frame_index != 0 and len(chosen) > 1)
        encoded = [chosen[0]] * given_away + chosen
        sizes = _tiles(tile_size)
        if tile_frames and tile_frames < clip.frames:
            _check_windowed(factor, stride, len(chosen), clip, mask is not None or attention_strength != 1.0)
            item = _windowed(pictures, clip, handle, sizes, tile_frames, strength)
            return io.NodeOutput((guides or Guides()).with_video(item))
        video = media.conditioning_video(as_encoded(pictures[encoded], handle), height, width)
        latent = encoded_video(video, handle, sizes, sizes.together())
        shape = VideoLatentShape.from_torch_shape(latent.shape)
        item = conditioning.VideoConditionByReferenceLatent(
            latent=latent[:, :, given_away:],
            downscale_factor=factor,
            temporal_scale_factor=stride,
            strength=strength,
            frame_idx=frame_index,
            num_pixel_frames=len(chosen),
        )
        if mask is not None:
            mask = mask.expand(len(pictures), -1, -1)[encoded][None, None]
            weights = conditioning.attention_weights_from_mask(mask, shape, strength=attention_strength)
            kept = weights[..., given_away * shape.height * shape.width :]
            item = conditioning.ConditioningItemAttentionStrengthWrapper(item, kept)
        elif attention_strength != 1.0:
            item = conditioning.ConditioningItemAttentionStrengthWrapper(item, attention_strength)
        return io.NodeOutput((guides or Guides()).with_video(item))


def _reference_size(clip: Clip, factor: int) -> tuple[int, int]:
    if clip.latent.height % factor or clip.latent.width % factor:
        steps = [cell * factor for cell in (clip.scale.width, clip.scale.height)]
        raise InputError(
            f"The IC-LoRA wants a reference {factor} times smaller than the clip, which is {clip.width} x "
            f"{clip.height}. Make the width a multiple of {steps[0]} and the height one of {steps[1]}."
        )
    return clip.height // factor, clip.width // factor


def _chosen_frames(count: int, clip: Clip, stride: int) -> list[int]:
    """The first frame, then every ``stride``-th from the second on; as many as the clip has room for, 8k + 1."""
    frames = [0, *range(1, min(count, clip.frames), stride)]
    return frames[: sampling.snap_frames(len(frames), clip.scale.time)]


def _placed_frames(count: int, clip: Clip, stride: int, start: int) -> list[int]:
    """Frames of a reference that does not start with the clip: a single one, or 8k of them, up to the clip's end."""
    step = clip.scale.time
    if stride != 1:
        raise InputError(
            f"frame_index is {start}, but the IC-LoRA wants a reference {stride} times sparser in time, which starts "
            "with the clip. Set frame_index to 0."
        )
    room = clip.frames - start
    if room < 1:
        raise InputError(
            f"frame_index is {start}; the clip has {clip.frames} frames. Use 0 to {clip.frames - 1}, or a negative "
            "number for before the clip."
        )
    frames = min(count, room) // step * step or 1
    if start > 0 and frames > 1 and (start - 1) % step:
        before = (start - 1) // step * step + 1
        raise InputError(
            f"frame_index is {start}; a video inside the clip starts at {step}k + 1. Set it to {before} or "
            f"{before + step}."
        )
    return list(range(frames))


def _check_windowed(factor: int, stride: int, frames: int, clip: Clip, is_weighted: bool) -> None:
    if (factor, stride) != (1, 1):
        raise InputError(
            f"tile_frames is set, but the IC-LoRA wants a reference {factor} times smaller and {stride} times sparser "
            "than the clip; windows in time need one of the clip's size and rate."
        )
    if frames < clip.frames:
        raise InputError(
            f"tile_frames is set, but images give {frames} frames for a clip of {clip.frames}: every window needs its "
            "part. Give the reference as many frames, or make the clip shorter."
        )
    if is_weighted:
        raise InputError(
            "tile_frames is set: windows in time look at their whole reference. Disconnect attention_mask and set "
            "attention_strength to 1."
        )


def _windowed(
    pictures: Tensor, clip: Clip, vae: ComponentHandle, sizes: TileSizes, tile_frames: int, strength: float
) -> conditioning.VideoConditionByWindowedReference:
    """The reference encoded for every window in time."""
    scale = clip.scale.time
    starts = sampling.axis_origins(clip.latent.frames, (tile_frames - 1) // scale + 1)
    latents = []
    for start in starts:
        part = pictures[start * scale : start * scale + tile_frames]
        video = media.conditioning_video(as_encoded(part, vae), clip.height, clip.width)
        latents.append(encoded_video(video, vae, sizes, sizes.together()))
    return conditioning.VideoConditionByWindowedReference(tuple(latents), tuple(starts), strength)


def _tiles(tile_size: int) -> TileSizes:
    if not tile_size:
        return TileSizes(0, 0, 0, 0)
    return TileSizes(tile_size, min(TILE_OVERLAP, tile_size // 2), TEMPORAL_TILE, TEMPORAL_OVERLAP)


# Reference sound


class LTX2ReferenceAudioGuide(io.ComfyNode):
    """A voice to speak with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ReferenceAudioGuide",
            display_name="LTX-2 Reference Audio Guide",
            category=CATEGORY,
            description="Lets the model hear a recording that ends just before the clip starts, so that the new sound "
            "has the same voice. For dubbing LoRAs (LipDub, Dub-It) and speaker LoRAs.",
            inputs=[
                io.Latent.Input("reference", tooltip="The recording as audio latent, from 'LTX-2 Audio VAE Encode'."),
                fraction_input("strength", 1.0, "How clean the recording is heard: 1 = as it is, which dubbing wants."),
                unusual_audio_vae_input(),
                guides_input(),
            ],
            outputs=[guides_output()],
        )

    @classmethod
    def validate_inputs(cls, strength) -> bool | str:
        return message_or_true(lambda: check_widgets(cls, strength=strength))

    @classmethod
    def execute(cls, reference, strength, audio_vae=None, guides=None) -> io.NodeOutput:
        samples = latent_samples(reference, "audio", "reference")
        check_widgets(cls, strength=strength)
        patchifier = audio_geometry(optional_handle(audio_vae, "audio_vae")).patchifier
        item = conditioning.AudioConditionByReferenceLatent(
            tokens=patchifier.patchify(samples),
            positions=conditioning.positions_before_start(AudioLatentShape.from_torch_shape(samples.shape), patchifier),
            strength=strength,
        )
        return io.NodeOutput((guides or Guides()).with_audio(item))


NODES = [LTX2ReferenceVideoGuide, LTX2ReferenceAudioGuide]
