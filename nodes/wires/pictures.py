"""From IMAGE, MASK and AUDIO on a wire to what the library takes, and where a clip's latent says it goes."""

from __future__ import annotations

import logging
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...ltx_core_impl import media
from ...ltx_core_impl.types import Audio, SpatioTemporalScaleFactors, VideoLatentShape
from .checks import InputError, check_frame_rate, latent_samples
from .finite import require_finite
from .geometry import video_geometry
from .handles import ComponentHandle, describe

logger = logging.getLogger(__name__)

SHORT_SOUND = 0.5
"""A sound that lasts less than this part of its picture is said."""
MAX_RATE = 2**31 - 1
"""Hertz that a sound file can state."""
SILENCE_RATE = 48_000
"""Samples per second of the silence that stands in for a missing sound."""


class Clip(NamedTuple):
    """A clip as its latent describes it: sizes in latent cells and in pixels."""

    latent: VideoLatentShape
    scale: SpatioTemporalScaleFactors

    @property
    def frames(self) -> int:
        """Pixel frames."""
        return self.latent.upscale(self.scale).frames

    @property
    def height(self) -> int:
        """Pixel rows."""
        return self.latent.height * self.scale.height

    @property
    def width(self) -> int:
        """Pixel columns."""
        return self.latent.width * self.scale.width


def clip_of(latent: Any, vae: ComponentHandle | None, input_name: str = "video_latent") -> Clip:
    """The clip of a video LATENT. Raises `InputError` for anything else."""
    samples = latent_samples(latent, "video", input_name)
    return Clip(VideoLatentShape.from_torch_shape(samples.shape), video_geometry(vae).scale)


def frame_rate_of(latent: dict, input_name: str = "video_latent") -> float:
    """The frame rate that a video LATENT carries. Raises `InputError` when it carries none."""
    rate = latent.get("frame_rate")
    if rate is None:
        raise InputError(
            f"The frame rate of {input_name} is not known: it does not carry one. Make it with 'LTX-2 Empty Latents' "
            "or 'LTX-2 Video VAE Encode'."
        )
    check_frame_rate(rate)
    return rate


def require_pictures(images: Any, input_name: str) -> Tensor:
    """IMAGE as ``(F, H, W, 3)`` in [0, 1], alpha dropped, grey made colour. Raises `InputError` for anything else."""
    fits = isinstance(images, torch.Tensor) and images.ndim == 4 and 0 not in images.shape
    if not fits or images.shape[-1] not in (1, 3, 4):
        shape = f" of shape {tuple(images.shape)}" if isinstance(images, torch.Tensor) else ""
        raise InputError(
            f"{input_name} needs pictures (frames, height, width, 3 colours); it got {describe(images)}{shape}."
        )
    return images.expand(-1, -1, -1, 3) if images.shape[-1] == 1 else images[..., :3]


def require_mask(mask: Any, input_name: str) -> Tensor:
    """MASK as ``(F, H, W)`` in [0, 1]. Raises `InputError` for anything else."""
    if not isinstance(mask, torch.Tensor) or mask.ndim not in (2, 3) or 0 in mask.shape:
        shape = f" of shape {tuple(mask.shape)}" if isinstance(mask, torch.Tensor) else ""
        raise InputError(f"{input_name} needs a mask (frames, height, width); it got {describe(mask)}{shape}.")
    return mask.float().clamp(0.0, 1.0).reshape(-1, *mask.shape[-2:])


def require_mask_for(mask: Any, pictures: Tensor, input_name: str) -> Tensor:
    """MASK as ``(1 or F, H, W)`` for ``pictures`` of the input "images". Raises `InputError` for another number."""
    marked = require_mask(mask, input_name)
    if len(marked) not in (1, len(pictures)):
        raise InputError(
            f"{input_name} has {len(marked)} frames, images has {len(pictures)}. Give it 1 frame or {len(pictures)}."
        )
    return marked


def require_sound(audio: Any) -> Audio:
    """AUDIO as float32 ``(B, 1 or 2, samples)`` and its rate in Hz. Raises `InputError` for anything else.

    A sound is whatever answers to "waveform" and "sample_rate", also when it is read only then. More than two channels
    are mixed down as those of a file.
    """
    waveform, rate = _sound_parts(audio)
    if not isinstance(waveform, torch.Tensor) or waveform.ndim != 3 or 0 in waveform.shape:
        raise InputError(
            f"audio needs a sound (AUDIO) of shape (batch, channels, samples) with at least one sample; it got "
            f"{tuple(waveform.shape) if isinstance(waveform, torch.Tensor) else describe(audio)}. Check the file that "
            "it was loaded from."
        )
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 1 <= rate <= MAX_RATE:
        raise InputError(f"audio has a sample rate of {rate!s:.20}; it must be a whole number of hertz above 0.")
    require_finite(waveform, "audio", "Check the node that made it, or the file.")
    sound = Audio(waveform=waveform.float(), sampling_rate=int(rate))
    if waveform.shape[1] <= 2:
        return sound
    try:
        return Audio(media.mixed_to_stereo(sound.waveform, sound.sampling_rate), sound.sampling_rate)
    except ValueError as error:
        raise InputError(f"audio does not fit. {error}") from None


def _sound_parts(audio: Any) -> tuple[Any, Any]:
    """Waveform and sample rate; None for what is not there."""
    if isinstance(audio, torch.Tensor | str | bytes | list | tuple) or not hasattr(audio, "__getitem__"):
        return None, None
    try:
        return audio["waveform"], audio["sample_rate"]
    except (KeyError, IndexError, TypeError, AttributeError):
        return None, None
    except (OSError, ValueError, RuntimeError) as error:  # a sound that is read now
        raise InputError(f"audio could not be read: {error}. Check the file that it is loaded from.") from error


def say_short_sound(sound: Audio, seconds: float, name: str) -> None:
    """Log a sound that ends long before its picture of ``seconds``: mostly somebody lost the rest of it."""
    lasts = sound.waveform.shape[-1] / sound.sampling_rate
    if lasts < SHORT_SOUND * seconds:
        logger.warning(
            "The sound of %s lasts %.2f s, the picture %.2f s; silence follows it. Where it should be longer: ComfyUI "
            "0.14 to 0.18 gives only the beginning of a loaded film's sound; load it with 'Load Audio', or update.",
            name,
            lasts,
            seconds,
        )


def as_encoded(images: Tensor, vae: ComponentHandle) -> Tensor:
    """IMAGE values as a VAE is to see them: the 8 bits they were read from, or for one in float32 as they are."""
    return images.float() if vae.float32 else as_bytes(images)


def as_bytes(images: Tensor) -> Tensor:
    """IMAGE values as the 8-bit values that they were read from."""
    return (images * 255.0).round().clamp(0, 255).to(torch.uint8)
