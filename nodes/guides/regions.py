"""Which parts of a latent are generated and which are kept: by time, by mask, or not at all."""

from __future__ import annotations

from typing import NamedTuple

import torch
from comfy_api.latest import io
from torch import Tensor

from ...ltx_core_impl import conditioning
from ...ltx_core_impl.types import AudioLatentShape
from ..latents.modalities import noise_mask_of
from ..wires.checks import (
    InputError,
    any_latent_samples,
    check_widgets,
    latent_samples,
    message_or_true,
    optional_handle,
)
from ..wires.geometry import audio_geometry
from ..wires.inputs import unusual_audio_vae_input, unusual_video_vae_input
from ..wires.pictures import Clip, clip_of, frame_rate_of, require_mask

CATEGORY = "LTX-2/regions"
INSIDE, OUTSIDE = "inside", "outside"
MAX_SECONDS, MAX_GROW = 100_000.0, 1024


class LTX2FreezeLatent(io.ComfyNode):
    """Nothing of a latent is generated."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2FreezeLatent",
            display_name="LTX-2 Freeze Latent",
            category=CATEGORY,
            description="Keeps a latent as it is while the other one is generated to match: a given sound for audio to "
            "video, a given picture for video to audio, the sound of the first stage in the second.",
            inputs=[
                io.Latent.Input("latent", tooltip="Video or audio latent, encoded or from a sampler."),
                io.Boolean.Input(
                    "frozen",
                    default=True,
                    tooltip="On: the sampler keeps it and shows it to the model as it is. Off: it is generated as "
                    "usual, from the noise level of the first sigma.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For 'LTX-2 Sampler'.")],
        )

    @classmethod
    def execute(cls, latent, frozen) -> io.NodeOutput:
        samples, modality = any_latent_samples(latent, "latent")
        rest = {key: value for key, value in latent.items() if key != "noise_mask"}
        if not frozen:
            return io.NodeOutput(rest)
        grid = samples.shape[2:] if modality == "video" else (samples.shape[2], 1)
        return io.NodeOutput({**rest, "noise_mask": torch.zeros(1, 1, *grid)})


class LTX2RetakeRegion(io.ComfyNode):
    """A time window is generated anew, or everything but a time window."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2RetakeRegion",
            display_name="LTX-2 Retake Region",
            category=CATEGORY,
            description="Generates a time window of an existing clip anew and keeps the rest (retake), or keeps the "
            "window and generates what surrounds it (extend). For picture, sound or both.",
            inputs=[
                io.Float.Input(
                    "start_time",
                    default=1.0,
                    min=0.0,
                    max=MAX_SECONDS,
                    step=0.01,
                    tooltip="Start of the window in seconds from the start of the clip.",
                ),
                io.Float.Input(
                    "end_time",
                    default=3.0,
                    min=0.0,
                    max=MAX_SECONDS,
                    step=0.01,
                    tooltip="End of the window in seconds. Latent frames (8 frames of picture, 0.04 s of sound) that "
                    "the region touches are generated as a whole.",
                ),
                io.Combo.Input(
                    "generate",
                    options=[INSIDE, OUTSIDE],
                    default=INSIDE,
                    tooltip="inside: the window is new, the rest is kept (retake). outside: the window is kept, the "
                    "rest is new (extend).",
                ),
                io.Boolean.Input(
                    "generate_video",
                    default=True,
                    tooltip="On: the region applies to the picture. Off: all of the picture is kept.",
                ),
                io.Boolean.Input(
                    "generate_audio",
                    default=True,
                    tooltip="On: the region applies to the sound. Off: all of the sound is kept.",
                ),
                io.Float.Input(
                    "ramp",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Seconds over which the change fades out in the kept part next to the region. 0 = a hard "
                    "cut (as the reference does); 0.3 hides a jump.",
                ),
                io.Latent.Input("video_latent", optional=True, tooltip="The encoded clip, with its frame rate."),
                io.Latent.Input("audio_latent", optional=True, tooltip="The encoded sound of the clip."),
                unusual_video_vae_input(),
                unusual_audio_vae_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="The clip with its noise mask, for the sampler."),
                io.Latent.Output(display_name="audio_latent", tooltip="The sound with its noise mask."),
                io.Mask.Output(
                    display_name="blend_mask",
                    tooltip="White where the picture is new, one per frame: lay the result over the source with "
                    "'Image Composite Masked', and every kept frame is the source's own.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, start_time, end_time, generate, generate_video, generate_audio) -> bool | str:
        def check() -> None:
            check_widgets(cls, start_time=start_time, end_time=end_time, generate=generate)
            _check_window(start_time, end_time)
            if generate_video is False and generate_audio is False:
                raise InputError(_NOTHING)

        return message_or_true(check)

    @classmethod
    def execute(
        cls,
        start_time,
        end_time,
        generate,
        generate_video,
        generate_audio,
        ramp,
        video_latent=None,
        audio_latent=None,
        video_vae=None,
        audio_vae=None,
    ) -> io.NodeOutput:
        check_widgets(cls, start_time=start_time, end_time=end_time, generate=generate, ramp=ramp)
        _check_window(start_time, end_time)
        video_handle, audio_handle = optional_handle(video_vae, "video_vae"), optional_handle(audio_vae, "audio_vae")
        regions = ((generate_video, video_latent), (generate_audio, audio_latent))
        if not any(wanted and latent is not None for wanted, latent in regions):
            raise InputError(_NOTHING)

        region = _Region(start_time, end_time, generate, ramp)
        video = audio = blend = None
        if video_latent is not None:
            clip = clip_of(video_latent, video_handle)
            mask = region.mask(_video_spans(clip, frame_rate_of(video_latent)), "video", generate_video)
            video = _masked(video_latent, mask[:, None, None].expand(clip.latent[2:]), "video_latent")
            blend = _blend_mask(video, clip)
        if audio_latent is not None:
            samples = latent_samples(audio_latent, "audio", "audio_latent")
            patchifier = audio_geometry(audio_handle).patchifier
            spans = patchifier.bounds_seconds(AudioLatentShape.from_torch_shape(samples.shape))[0, 0]
            mask = region.mask(spans, "audio", generate_audio)
            audio = _masked(audio_latent, mask[:, None], "audio_latent")
        return io.NodeOutput(video, audio, blend)


_NOTHING = "Nothing is left to generate: switch generate_video or generate_audio on for a latent that is connected."


class _Region(NamedTuple):
    """What is generated in time, in seconds."""

    start: float
    end: float
    generate: str
    ramp: float

    def mask(self, spans: Tensor, modality: str, wanted: bool) -> Tensor:
        """The noise mask of latent frames with these time spans ``(F, 2)``; zeros unless the modality is wanted.

        Raises `InputError` where the region misses all frames.
        """
        if not wanted:
            return torch.zeros(len(spans))
        mask = conditioning.time_window_mask(
            spans, self.start, self.end, ramp=self.ramp, outside=self.generate == OUTSIDE
        )
        if not mask.any():
            raise InputError(
                f"Nothing of {modality}_latent is generated: it lasts {spans[-1, 1].item():.2f} s and {self.generate} "
                f"the window of {self.start} to {self.end} s there is none of it. Change the window, or switch "
                f"generate_{modality} off."
            )
        return mask


def _check_window(start: float | None, end: float | None) -> None:
    if None not in (start, end) and not start < end:
        raise InputError(
            f"The window goes from {start} to {end} s; end_time must be later than start_time. Exchange them, or move "
            "one."
        )


def _video_spans(clip: Clip, fps: float) -> Tensor:
    one_column = clip.latent._replace(batch=1, height=1, width=1)
    return conditioning.VideoLatentTools(one_column, fps=fps, scale_factors=clip.scale).target_positions()[0, 0]


def _masked(latent: dict, mask: Tensor, input_name: str) -> dict:
    """The latent with a noise mask on its grid; with one it has already, what both generate is generated."""
    old = noise_mask_of(latent, input_name)
    mask = mask[None, None]
    return {**latent, "noise_mask": mask.contiguous() if old is None else old.to(mask) * mask}


def _blend_mask(latent: dict, clip: Clip) -> Tensor:
    mask = latent["noise_mask"].amax(dim=0)[0]
    return conditioning.pixel_mask_from_latent(mask, clip.scale.time, clip.height, clip.width)


class LTX2InpaintRegion(io.ComfyNode):
    """A masked part of the picture is generated anew."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2InpaintRegion",
            display_name="LTX-2 Inpaint Region",
            category=CATEGORY,
            description="Generates the white part of a mask anew and keeps the rest of the picture: in-painting, and "
            "with 'Pad Image for Outpainting' before it out-painting. Chain it with 'LTX-2 Retake Region' for a part "
            "of the picture in a part of the time.",
            inputs=[
                io.Latent.Input("video_latent", tooltip="The encoded clip."),
                io.Mask.Input(
                    "mask",
                    tooltip="White = new, black = kept, grey = changed a little. One frame for the whole clip, or one "
                    "per frame; it is fitted to the picture's size.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=0,
                    max=MAX_GROW,
                    tooltip="Pixels of the mask by which the white part is made larger on all sides; 16 covers an "
                    "object's soft edge. The model works in cells of 32 x 32 pixels and 8 frames: each cell with any "
                    "white is new.",
                ),
                unusual_video_vae_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="The clip with its noise mask, for the sampler."),
                io.Mask.Output(
                    display_name="blend_mask",
                    tooltip="White where the picture is new, in the clip's size: lay the result over the source with "
                    "'Image Composite Masked', and every kept pixel is the source's own.",
                ),
            ],
        )

    @classmethod
    def execute(cls, video_latent, mask, grow, video_vae=None) -> io.NodeOutput:
        check_widgets(cls, grow=grow)
        clip = clip_of(video_latent, optional_handle(video_vae, "video_vae"))
        marked = conditioning.grow_mask(require_mask(mask, "mask"), grow)
        if not marked.any():
            raise InputError("mask is black everywhere: nothing would be generated. Paint what is to be new white.")
        cells = conditioning.latent_mask_from_pixels(marked, clip.latent, clip.scale.time)
        result = _masked(video_latent, cells, "video_latent")
        if not result["noise_mask"].any():
            raise InputError(
                "Nothing is left to generate: mask and the region that video_latent has already do not overlap."
            )
        return io.NodeOutput(result, _blend_mask(result, clip))


NODES = [LTX2FreezeLatent, LTX2RetakeRegion, LTX2InpaintRegion]
