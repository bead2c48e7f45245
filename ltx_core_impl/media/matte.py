"""Mattes: cleaning a generated one, taking the old background out of its picture, laying it over a new one.

Alpha is straight, 1 is kept: ``picture * alpha + plate * (1 - alpha)`` (spec 08 §7.1 and §7.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .resize import resize_and_center_crop

FRAMES_AT_ONCE = 8
_LEAST_ALPHA = 0.25
_LEAST_BACKGROUND = 1e-4
_FULL_UNMIX_FROM = 0.1
_LEAST_CONTRAST = 1e-4


@dataclass(frozen=True)
class MatteSettings:
    """What is done to a matte, in this order; the defaults change nothing.

    Attributes:
        invert: black is kept instead of white. What follows, ``mix`` too, starts from the inverted matte.
        expand: pixels by which the white part grows on all sides (a square), -128 to 128; negative shrinks it.
        black_clip, white_clip: values this close to 0 or 1 become 0 or 1, what lies between is stretched; 0 to 0.5.
        feather: sigma in pixels of a Gaussian blur, 0 to 64.
        mix: share of all this in the result; 0 is the matte as it came (or inverted).
    """

    invert: bool = False
    expand: int = 0
    black_clip: float = 0.0
    white_clip: float = 0.0
    feather: float = 0.0
    mix: float = 1.0


def matte_of(pictures: Tensor) -> Tensor:
    """The matte ``(F, H, W)`` that pictures ``(F, H, W, C)`` show: their alpha where there are four channels, else
    red."""
    return pictures[..., 3 if pictures.shape[-1] == 4 else 0]


def refined_matte(matte: Tensor, settings: MatteSettings) -> Tensor:
    """A matte ``(F, H, W)`` in [0, 1] after the steps of the settings, float32."""
    parts = [_refined(part[:, None].float(), settings)[:, 0] for part in matte.split(FRAMES_AT_ONCE)]
    return torch.cat(parts)


def _refined(matte: Tensor, settings: MatteSettings) -> Tensor:
    raw = 1 - matte if settings.invert else matte
    changed = raw
    if settings.expand > 0:
        changed = _grown(changed, settings.expand)
    elif settings.expand < 0:
        changed = 1 - _grown(1 - changed, -settings.expand)
    if settings.black_clip or settings.white_clip:
        low, high = settings.black_clip, 1 - settings.white_clip
        high = high if high > low else low + _LEAST_CONTRAST
        changed = ((changed - low) / (high - low)).clamp(0.0, 1.0)
    if settings.feather:
        changed = gaussian_blur(changed, settings.feather)
    return torch.lerp(raw, changed, settings.mix).clamp(0.0, 1.0)


def _grown(matte: Tensor, pixels: int) -> Tensor:
    """The largest value within ``pixels``, rows and columns one after the other; beyond the edge nothing is larger."""
    size = 2 * pixels + 1
    rows = F.max_pool2d(matte, (size, 1), stride=1, padding=(pixels, 0))
    return F.max_pool2d(rows, (1, size), stride=1, padding=(0, pixels))


def gaussian_blur(planes: Tensor, sigma: float) -> Tensor:
    """Planes ``(F, C, H, W)`` behind a Gaussian of ``sigma`` pixels, cut at 3 sigma; the edge is repeated beyond."""
    radius = max(1, round(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=planes.device) / sigma) ** 2)
    taps = (taps / taps.sum()).to(planes.dtype)
    channels = planes.shape[1]
    padded = F.pad(planes, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, taps.view(1, 1, -1, 1).expand(channels, -1, -1, -1), groups=channels)
    return F.conv2d(rows, taps.view(1, 1, 1, -1).expand(channels, -1, -1, -1), groups=channels)


def unmixed(pictures: Tensor, alpha: Tensor, amount: float, radius: float) -> Tensor:
    """Pictures without the old background that shines through where the matte is soft.

    The background is what lies around, weighted by how much of it is seen. Every pixel moves away from it as far as
    its three colours stay in range together, so that no hue changes.

    Args:
        pictures: ``(F, H, W, 3)`` in [0, 1], the subject over its old background.
        alpha: ``(F, H, W)`` in [0, 1].
        amount: 0 changes nothing, 1 takes out all.
        radius: sigma in pixels of what counts as around, at least 0.5.

    Returns:
        ``(F, H, W, 3)`` float32.
    """
    parts = zip(pictures.split(FRAMES_AT_ONCE), alpha.split(FRAMES_AT_ONCE), strict=True)
    return torch.cat([_unmixed(one.float(), soft.float()[..., None], amount, radius) for one, soft in parts])


def _unmixed(pictures: Tensor, alpha: Tensor, amount: float, radius: float) -> Tensor:
    sigma = max(0.5, radius)
    seen = (1 - alpha) ** 2
    weighted, weight = (gaussian_blur(one.movedim(-1, 1), sigma).movedim(1, -1) for one in (pictures * seen, seen))
    background = (weighted / weight.clamp(min=_LEAST_BACKGROUND)).clamp(0.0, 1.0)
    opaque = alpha.clamp(min=_LEAST_ALPHA)
    way = (pictures - (1 - opaque) * background) / opaque - pictures
    room = torch.where(way > 0, 1 - pictures, pictures)
    farthest = torch.where(way == 0, torch.ones_like(way), room / way.abs()).amin(dim=-1, keepdim=True).clamp(max=1.0)
    share = amount * (alpha / _FULL_UNMIX_FROM).clamp(0.0, 1.0)
    return pictures + share * farthest * way


COVER, CONTAIN, STRETCH = "cover", "contain", "stretch"
FITS = (COVER, CONTAIN, STRETCH)


def fitted_plate(plate: Tensor, height: int, width: int, fit: str) -> Tensor:
    """A background ``(F, h, w, 3)`` in another size, bilinear: "cover" cuts the centre out, "contain" leaves black
    bars, "stretch" changes its shape."""
    if fit == COVER:
        return resize_and_center_crop(plate, height, width).movedim(1, -1)
    size = (height, width)
    if fit == CONTAIN:
        scale = min(height / plate.shape[1], width / plate.shape[2])
        size = tuple(
            max(1, min(whole, round(side * scale))) for side, whole in zip(plate.shape[1:3], size, strict=True)
        )
    planes = F.interpolate(plate.movedim(-1, 1).float(), size=size, mode="bilinear", align_corners=False)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return F.pad(planes, (left, width - size[1] - left, top, height - size[0] - top)).movedim(1, -1)


def composited(pictures: Tensor, alpha: Tensor, plate: Tensor | None, fit: str = COVER, loop: bool = False) -> Tensor:
    """Pictures over a background, with even sides as films want them: black is added at the right and the bottom.

    Args:
        pictures: ``(F, H, W, 3)`` in [0, 1].
        alpha: ``(F, H, W)`` in [0, 1].
        plate: background ``(f, h, w, 3)`` of any size; None is black. A shorter one holds its last frame.
        fit: how the background is brought to the size; one of `FITS`.
        loop: a shorter background starts again instead.

    Returns:
        ``(F, H, W, 3)`` float32, H and W even.
    """
    count, height, width = alpha.shape
    result = torch.zeros(count, height + height % 2, width + width % 2, 3, device=pictures.device)
    for frames in torch.arange(count).split(FRAMES_AT_ONCE):
        chosen = slice(int(frames[0]), int(frames[-1]) + 1)
        kept = alpha[chosen, ..., None].float()
        over = pictures[chosen].float() * kept
        if plate is not None:
            shown = frames % len(plate) if loop else frames.clamp(max=len(plate) - 1)
            over += fitted_plate(plate[shown].to(pictures.device), height, width, fit) * (1 - kept)
        result[chosen, :height, :width] = over
    return result
