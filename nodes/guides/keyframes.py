"""Generated keyframes of LTX-2.5: single frames that are denoised with the clip, for detail in the next stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import conditioning
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, latent_samples, message_or_true, optional_handle, require_handle
from ..wires.geometry import video_geometry
from ..wires.handles import Guides, describe
from ..wires.inputs import (
    guides_input,
    guides_output,
    ic_lora_model_input,
    reference_strength_input,
    target_input,
    unusual_video_vae_input,
)
from ..wires.pictures import Clip, clip_of
from .reference import reference_factors

CATEGORY = "LTX-2/guides"
MAX_COUNT, MAX_LATENTS = 64, 2048
FRAMES = "keyframe_frames"
"""Key of a LATENT dict: which frame of its clip each keyframe is."""


def keyframes_latent(keyframes: Mapping[int, Tensor], clip: dict) -> dict:
    """The LATENT of keyframes ``(B, C, 1, H, W)`` by frame, made with the LATENT ``clip``: clips of one frame each."""
    kept = {key: clip[key] for key in ("frame_rate", "model_version") if key in clip}
    samples = conditioning.keyframes_as_clips(list(keyframes.values()))
    return {"samples": samples, "type": "video", FRAMES: tuple(keyframes), **kept}


def keyframes_by_frame(latent: Any, input_name: str) -> dict[int, Tensor]:
    """The keyframes ``(B, C, 1, H, W)`` of a keyframes LATENT, by frame. Raises `InputError` for any other LATENT."""
    samples = latent_samples(latent, "video", input_name)
    frames = latent.get(FRAMES)
    if not frames:
        raise InputError(
            f"{input_name} needs generated keyframes; it got {describe(latent)}. Connect the keyframes output of "
            "'LTX-2 Sampler' (upscaled or not), which has some when guides hold 'LTX-2 Keyframe Slots'."
        )
    return dict(zip(frames, conditioning.clips_as_keyframes(samples, len(frames)), strict=True))


class LTX2KeyframeSlots(io.ComfyNode):
    """Frames to be made apart from the clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2KeyframeSlots",
            display_name="LTX-2 Keyframe Slots",
            category=CATEGORY,
            description="Has the model make some frames of the clip once more, each as a picture of its own: sharper "
            "than the frames of a moving latent, and what later stages can hold on to. Only for LTX-2.5. Put it after "
            "all image guides; a run takes one of these.",
            inputs=[
                target_input("length"),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=MAX_COUNT,
                    tooltip="Number of keyframes, spread evenly inside the clip. Ignored when frames or keyframes say "
                    "where they are. Each costs as much as one latent frame (8 frames of video).",
                ),
                io.String.Input(
                    "frames",
                    default="",
                    tooltip="Frames to make, separated by commas: 24, 48, 72. Empty: count of them, spread evenly.",
                ),
                io.Latent.Input(
                    "keyframes",
                    optional=True,
                    tooltip="Keyframes of an earlier stage, of the size of this clip, to be refined at their frames.",
                ),
                unusual_video_vae_input(),
                guides_input(),
            ],
            outputs=[sockets.Guides.Output(display_name="guides", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def validate_inputs(cls, count, frames) -> bool | str:
        def check() -> None:
            check_widgets(cls, count=count)
            if frames is not None:
                parse_frames(frames)

        return message_or_true(check)

    @classmethod
    def execute(cls, video_latent, count, frames, keyframes=None, video_vae=None, guides=None) -> io.NodeOutput:
        check_widgets(cls, count=count)
        clip, guides = clip_of(video_latent, optional_handle(video_vae, "video_vae")), guides or Guides()
        if any(isinstance(item, conditioning.VideoGeneratedKeyframeSlots) for item in guides.video):
            raise InputError("guides holds keyframe slots already; name all frames in one 'LTX-2 Keyframe Slots'.")
        content = None
        chosen = parse_frames(frames)
        if keyframes is not None:
            own = keyframes_by_frame(keyframes, "keyframes")
            content = conditioning.join_keyframes(list(own.values()))
            chosen = chosen or tuple(own)
            _check_content(content, len(chosen), clip)
        chosen = chosen or tuple(conditioning.spread_keyframes(count, clip.frames))
        _check_inside(chosen, clip)
        return io.NodeOutput(
            guides.with_video(conditioning.VideoGeneratedKeyframeSlots(chosen, initial_keyframes=content))
        )


class LTX2ReferenceLatentGuide(io.ComfyNode):
    """The clip of an earlier stage as an IC-LoRA's reference."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ReferenceLatentGuide",
            display_name="LTX-2 Reference Latent Guide",
            category=CATEGORY,
            description="Shows an IC-LoRA the latent of an earlier stage as its reference video, without decoding and "
            "encoding it: for the detailing LoRA of LTX-2.5 the first stage's clip, half as large. With latent_index "
            "a latent becomes a piece of film before or inside the clip.",
            inputs=[
                io.Latent.Input("reference", tooltip="The latent to follow, for example the first stage's result."),
                ic_lora_model_input(),
                target_input("size"),
                reference_strength_input(),
                guides_input(),
                io.Int.Input(
                    "latent_index",
                    default=0,
                    min=-MAX_LATENTS,
                    max=MAX_LATENTS,
                    optional=True,
                    tooltip="Latent frame at which the reference starts: 0 = with the clip, as IC-LoRAs want it. Below "
                    "0 it lies before the clip, as something seen earlier, for every window of a long one; above 0 it "
                    "is a piece of film inside it.",
                ),
            ],
            outputs=[guides_output()],
        )

    @classmethod
    def validate_inputs(cls, strength) -> bool | str:
        return message_or_true(lambda: check_widgets(cls, strength=strength))

    @classmethod
    def execute(cls, reference, model, video_latent, strength, guides=None, latent_index=0) -> io.NodeOutput:
        handle = require_handle(model, "transformer", "model")
        check_widgets(cls, strength=strength, latent_index=latent_index)
        samples = latent_samples(reference, "video", "reference")
        target = latent_samples(video_latent, "video", "video_latent")
        guides = guides or Guides()
        if latent_index:
            return io.NodeOutput(guides.with_video(_film_at(samples, target, latent_index, strength)))
        factor, stride = reference_factors(handle)
        wanted = tuple(side / factor for side in target.shape[-2:])
        if tuple(samples.shape[-2:]) != wanted:
            raise InputError(
                f"The IC-LoRA wants a reference {factor} times smaller than the clip of {target.shape[-1]} x "
                f"{target.shape[-2]} latent cells; reference has {samples.shape[-1]} x {samples.shape[-2]}. Connect "
                "the latent before it was upscaled."
            )
        item = conditioning.VideoConditionByReferenceLatent(
            latent=samples, downscale_factor=factor, temporal_scale_factor=stride, strength=strength
        )
        return io.NodeOutput(guides.with_video(item))


def _film_at(
    samples: Tensor, target: Tensor, index: int, strength: float
) -> conditioning.VideoConditionByKeyframeIndex:
    """A latent as a piece of film that starts at another latent frame than the first, also before the clip."""
    if samples.shape[-2:] != target.shape[-2:]:
        raise InputError(
            f"latent_index is {index}: the reference is a piece of film of the clip's own size, {target.shape[-1]} x "
            f"{target.shape[-2]} latent cells; it has {samples.shape[-1]} x {samples.shape[-2]}."
        )
    if index + samples.shape[2] > target.shape[2]:
        raise InputError(
            f"reference has {samples.shape[2]} latent frames from latent_index {index} on; the clip has "
            f"{target.shape[2]}. Use a smaller index, or cut the reference."
        )
    step = video_geometry(None).scale.time
    frame = step * index if index < 0 else 1 + step * (index - 1)
    return conditioning.VideoConditionByKeyframeIndex(
        samples, frame, strength, num_pixel_frames=step * samples.shape[2]
    )


def parse_frames(text: str) -> tuple[int, ...]:
    """Frame numbers from a widget: "24, 48", "" for none. Raises `InputError` unless they increase."""
    parts = [part for part in text.replace(";", ",").split(",") if part.strip()]
    try:
        frames = tuple(int(part) for part in parts)
    except ValueError:
        raise InputError(
            f"frames is '{text}'; write frame numbers separated by commas, for example 24, 48, 72."
        ) from None
    if any(after <= before for before, after in zip((-1, *frames), frames, strict=False)):
        raise InputError(f"frames is '{text}'; frame numbers start at 0 and each must be above the one before.")
    return frames


def _check_content(content: Tensor, frames: int, clip: Clip) -> None:
    """Keyframes of an earlier stage must be as many as their frames and as large as the clip."""
    count, height, width = content.shape[-3:]
    if count != frames:
        raise InputError(f"frames names {frames} frames, keyframes holds {count}. Leave frames empty.")
    if (height, width) != (clip.latent.height, clip.latent.width):
        raise InputError(
            f"keyframes are {width * clip.scale.width} x {height * clip.scale.height}; the clip is {clip.width} x "
            f"{clip.height}. Upscale them with 'LTX-2 Latent Upscale' as the clip was."
        )


def _check_inside(frames: tuple[int, ...], clip: Clip) -> None:
    if frames[-1] >= clip.frames:
        raise InputError(
            f"A keyframe is asked for at frame {frames[-1]}; the clip has {clip.frames} frames. Use 0 to "
            f"{clip.frames - 1}."
        )


NODES = [LTX2KeyframeSlots, LTX2ReferenceLatentGuide]
