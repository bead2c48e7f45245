"""Reference videos for IC-LoRAs, and reference sound."""

from __future__ import annotations

import logging

from comfy_api.latest import io
from torch import Tensor

from ..ltx_core_impl.conditioning.attention_mask import attention_weights_from_mask
from ..ltx_core_impl.conditioning.attention_strength import ConditioningItemAttentionStrengthWrapper
from ..ltx_core_impl.conditioning.reference_audio import AudioConditionByReferenceLatent, positions_before_start
from ..ltx_core_impl.conditioning.video_items import VideoConditionByReferenceLatent
from ..ltx_core_impl.loader.lora_file import open_lora
from ..ltx_core_impl.media import conditioning_video
from ..ltx_core_impl.model.video_vae import SpatialTiling, TemporalTiling, TilingConfig
from ..ltx_core_impl.sampling.grid import snap_frames
from ..ltx_core_impl.types import AudioLatentShape, VideoLatentShape
from . import components, host, sockets
from .checks import InputError, check_between, latent_samples, message_or_true, require_handle
from .geometry import audio_geometry
from .handles import ComponentHandle, Guides, LoraRef, ModelHandle
from .pictures import Clip, as_bytes, clip_of, require_mask, require_pictures

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/guides"
TILE_OVERLAP, TEMPORAL_TILE, TEMPORAL_OVERLAP = 64, 64, 24


# What a LoRA says


def _factors(lora: LoraRef) -> tuple[float, float]:
    """How much smaller and sparser than the clip this LoRA wants its reference; (1, 1) for an ordinary LoRA."""
    file = open_lora(lora.file.path)
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
    has_reference = any(isinstance(item, VideoConditionByReferenceLatent) for item in items)
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
                sockets.Model.Input(
                    "model", tooltip="The model with the IC-LoRA; the LoRA file says how small the reference must be."
                ),
                sockets.VideoVAE.Input("video_vae", tooltip="The VAE of the model; it encodes the video."),
                io.Latent.Input(
                    "video_latent", tooltip="The latent that will be sampled; it tells the size and length of the clip."
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How clean the reference is shown: 1 = as it is; less mixes it with noise.",
                ),
                io.Float.Input(
                    "attention_strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much the picture looks at the reference: 1 = fully, 0 = not at all.",
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
            ],
            outputs=[sockets.Guides.Output(display_name="guides", tooltip="For 'LTX-2 Sampler' or the next guide.")],
        )

    @classmethod
    def validate_inputs(cls, strength, attention_strength, tile_size) -> bool | str:
        return message_or_true(lambda: cls._check(strength, attention_strength, tile_size))

    @staticmethod
    def _check(strength: float | None, attention_strength: float | None, tile_size: int | None) -> None:
        for name, value in (("strength", strength), ("attention_strength", attention_strength)):
            if value is not None:
                check_between(name, value, 0.0, 1.0)
        if tile_size:
            _tiling(tile_size)

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
    ) -> io.NodeOutput:
        model_handle = require_handle(model, "transformer", "model")
        handle = require_handle(video_vae, "video_vae", "video_vae")
        cls._check(strength, attention_strength, tile_size)
        clip = clip_of(video_latent, handle)
        pictures = require_pictures(images, "images")
        mask = None if attention_mask is None else require_mask(attention_mask, "attention_mask")
        if mask is not None and len(mask) not in (1, len(pictures)):
            raise InputError(
                f"attention_mask has {len(mask)} frames, images has {len(pictures)}. Give it 1 frame or "
                f"{len(pictures)}."
            )
        factor, stride = reference_factors(model_handle)
        height, width = _reference_size(clip, factor)
        chosen = _chosen_frames(len(pictures), clip, stride)
        video = conditioning_video(as_bytes(pictures[chosen]), height, width)
        latent = _encoded(video, handle, tile_size)
        item = VideoConditionByReferenceLatent(
            latent=latent, downscale_factor=factor, temporal_scale_factor=stride, strength=strength
        )
        if mask is not None:
            mask = mask.expand(len(pictures), -1, -1)[chosen][None, None]
            shape = VideoLatentShape.from_torch_shape(latent.shape)
            item = ConditioningItemAttentionStrengthWrapper(
                item, attention_weights_from_mask(mask, shape, strength=attention_strength)
            )
        elif attention_strength != 1.0:
            item = ConditioningItemAttentionStrengthWrapper(item, attention_strength)
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
    return frames[: snap_frames(len(frames), clip.scale.time)]


def _tiling(tile_size: int) -> TilingConfig:
    return TilingConfig(
        spatial=SpatialTiling(size=tile_size, overlap=min(TILE_OVERLAP, tile_size // 2)),
        temporal=TemporalTiling(size=TEMPORAL_TILE, overlap=TEMPORAL_OVERLAP),
    )


def _encoded(video: Tensor, handle: ComponentHandle, tile_size: int) -> Tensor:
    with components.video_encoder(handle, pixels=tile_size**2 * TEMPORAL_TILE or video[0, 0].numel()) as encoder:
        if tile_size:
            latent = encoder.tiled_encode(video, _tiling(tile_size))
        else:
            latent = encoder(components.like(video, encoder))
    return latent.float().to(host.output_device())


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
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How clean the recording is heard: 1 = as it is, which dubbing wants.",
                ),
                sockets.AudioVAE.Input(
                    "audio_vae", optional=True, tooltip="For checkpoints whose sound rates differ from the published."
                ),
                sockets.Guides.Input("guides", optional=True, tooltip="Guides to add this one to."),
            ],
            outputs=[sockets.Guides.Output(display_name="guides", tooltip="For 'LTX-2 Sampler' or the next guide.")],
        )

    @classmethod
    def validate_inputs(cls, strength) -> bool | str:
        return message_or_true(lambda: strength is None or check_between("strength", strength, 0.0, 1.0))

    @classmethod
    def execute(cls, reference, strength, audio_vae=None, guides=None) -> io.NodeOutput:
        samples = latent_samples(reference, "audio", "reference")
        check_between("strength", strength, 0.0, 1.0)
        if audio_vae is not None:
            require_handle(audio_vae, "audio_vae", "audio_vae")
        patchifier = audio_geometry(audio_vae).patchifier
        item = AudioConditionByReferenceLatent(
            tokens=patchifier.patchify(samples),
            positions=positions_before_start(AudioLatentShape.from_torch_shape(samples.shape), patchifier),
            strength=strength,
        )
        return io.NodeOutput((guides or Guides()).with_audio(item))


NODES = [LTX2ReferenceVideoGuide, LTX2ReferenceAudioGuide]
