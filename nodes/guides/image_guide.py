"""Images as guides: first frame, last frame, keyframes."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import conditioning, media
from ...ltx_core_impl.presets import preset_for_version
from ..vae.encoding import encoded_video
from ..wires import sockets
from ..wires.checks import InputError, check_frames, check_multiple, check_widgets, message_or_true, require_handle
from ..wires.handles import ComponentHandle, Guides
from ..wires.inputs import fraction_input, guides_input, guides_output, target_input
from ..wires.pictures import Clip, as_encoded, clip_of, require_pictures

CATEGORY = "LTX-2/guides"
MODEL_DEFAULT = -1
MAX_FRAME = 16384


class LTX2ImageGuide(io.ComfyNode):
    """A picture at a frame of the clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ImageGuide",
            display_name="LTX-2 Image Guide",
            category=CATEGORY,
            description="Shows the model a picture at a frame of the clip: the first frame, the last one, or any in "
            "between. Chain several for keyframes. In two-stage graphs each stage gets guides of its own size.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="One picture of any size; it is scaled to cover the clip and its centre is cut out. Also a "
                    "piece of film: 8k + 1 pictures at frame 0, or 8k pictures at frame 1, 9, 17 ...",
                ),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model; it encodes the picture."),
                target_input(),
                io.Int.Input(
                    "frame_index",
                    default=0,
                    min=-MAX_FRAME,
                    max=MAX_FRAME,
                    tooltip="Frame that shows the picture: 0 is the first, -1 the last, -2 the one before it. With "
                    "before_start: -1 is just before the first frame, -2 earlier.",
                ),
                fraction_input(
                    "strength",
                    1.0,
                    "1: the frame is the picture. Less leaves freedom, for example more motion: 0.7. 0: none.",
                ),
                io.Int.Input(
                    "crf",
                    default=MODEL_DEFAULT,
                    min=MODEL_DEFAULT,
                    max=51,
                    tooltip="H.264 compression of the picture, so that it looks like a video frame and starts to move: "
                    "-1 = what the model version was trained with (33; 18 from LTX-2.4 on), 0 = none, higher = more "
                    "motion and less detail.",
                ),
                io.Boolean.Input(
                    "as_keyframe",
                    default=False,
                    tooltip="Frame 0 only. Off: the picture replaces the first frame (image to video). On: it stands "
                    "beside the clip as the other frames' pictures always do (keyframe interpolation).",
                ),
                guides_input(),
                io.Boolean.Input(
                    "before_start",
                    default=False,
                    optional=True,
                    tooltip="What a negative frame_index means. Off: counted from the end, as in core's LTXVAddGuide "
                    "(-1 = last frame). On: before the clip, as in the newer official IC-LoRA guide (-1 = just before "
                    "the first frame): something seen earlier that takes no frame of the clip.",
                ),
            ],
            outputs=[guides_output()],
        )

    @classmethod
    def validate_inputs(cls, strength, crf) -> bool | str:
        return message_or_true(lambda: check_widgets(cls, strength=strength, crf=crf))

    @classmethod
    def execute(
        cls,
        image,
        video_vae,
        video_latent,
        frame_index,
        strength,
        crf,
        as_keyframe,
        guides=None,
        before_start=False,
    ) -> io.NodeOutput:
        handle = require_handle(video_vae, "video_vae", "video_vae")
        check_widgets(cls, strength=strength, crf=crf)
        clip = clip_of(video_latent, handle)
        pictures = require_pictures(image, "image")
        guides = guides or Guides()
        frame = _frame(frame_index, clip, before_start)
        _check_length(len(pictures), frame, clip)
        replaces = frame == 0 and not as_keyframe
        _check_free(guides, frame, len(pictures), replaces, strength)
        quality = preset_for_version(handle.version).image_crf if crf == MODEL_DEFAULT else crf
        latent = _encoded(pictures, handle, clip, quality, starts=frame == 0)
        if replaces:
            item = conditioning.VideoConditionByLatentIndex(latent=latent, strength=strength, latent_idx=0)
        else:
            item = conditioning.VideoConditionByKeyframeIndex(
                keyframes=latent, frame_idx=frame, strength=strength, num_pixel_frames=len(pictures)
            )
        return io.NodeOutput(guides.with_video(item))


def _frame(index: int, clip: Clip, before_start: bool) -> int:
    if before_start and index < 0:
        return index
    frame = index + clip.frames if index < 0 else index
    if not 0 <= frame < clip.frames:
        raise InputError(
            f"frame_index is {index}; the clip has {clip.frames} frames. Use 0 to {clip.frames - 1}, or -1 (the last) "
            f"to -{clip.frames}."
        )
    return frame


def _check_length(pictures: int, frame: int, clip: Clip) -> None:
    """A piece of film covers whole latent frames: the first one shows a single frame, every later one ``step``."""
    if pictures == 1:
        return
    step = clip.scale.time
    if frame < 0:
        check_multiple("the number of pictures in image", pictures, step, "frames")
        if frame + pictures > 0:
            raise InputError(
                f"image holds {pictures} pictures from frame {frame} on, which reaches into the clip. Set frame_index "
                f"to {-pictures} or less."
            )
        return
    if frame == 0:
        check_frames(pictures, step, "the number of pictures in image")
    else:
        check_multiple("the number of pictures in image", pictures, step, "frames")
        if (frame - 1) % step:
            before = (frame - 1) // step * step + 1
            raise InputError(
                f"image holds {pictures} pictures for frame {frame}; a piece of film starts at frame 0 or at {step}k + "
                f"1. Set frame_index to {before} or {before + step}, or give one picture ('Image From Batch')."
            )
    if frame + pictures > clip.frames:
        raise InputError(
            f"image holds {pictures} pictures from frame {frame} on; the clip has only {clip.frames} frames. Use fewer."
        )


def _check_free(guides: Guides, frame: int, pictures: int, replaces: bool, strength: float) -> None:
    """Two pictures that must both be the same frame contradict each other."""
    for item in guides.video:
        if isinstance(item, conditioning.VideoConditionByLatentIndex):
            taken, both_replace = range(1), replaces
        elif isinstance(item, conditioning.VideoConditionByKeyframeIndex):
            taken, both_replace = range(item.frame_idx, item.frame_idx + item.num_pixel_frames), False
        else:
            continue
        overlap = frame < taken.stop and taken.start < frame + pictures
        if overlap and (both_replace or item.strength == strength == 1.0):
            raise InputError(
                f"Two pictures claim frame {max(frame, taken.start)}. Give them different frames, or lower the "
                "strength of one so that they can mix."
            )


def _encoded(pictures: Tensor, handle: ComponentHandle, clip: Clip, crf: int, starts: bool) -> Tensor:
    frames = as_encoded(pictures, handle).cpu()
    if crf and frames.is_floating_point():
        raise InputError(
            f"crf is {crf}; the compression works on 8 bits, which a VAE in float32 is there to avoid. Set crf to 0."
        )
    if len(frames) == 1:
        return encoded_video(media.conditioning_image(frames[0], clip.height, clip.width, crf), handle)
    degraded = torch.stack([media.h264_round_trip(frame, crf) for frame in frames])
    video = media.conditioning_video(degraded, clip.height, clip.width)
    if starts:
        return encoded_video(video, handle)
    # The encoder's first latent frame is a single frame, which later ones are not: it is given away (spec 07 §6.5).
    return encoded_video(torch.cat([video[:, :, :1], video], dim=2), handle)[:, :, 1:]


NODES = [LTX2ImageGuide]
