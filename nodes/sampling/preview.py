"""The live preview of a run."""

from __future__ import annotations

import weakref

import numpy as np
from PIL import Image
from torch import Tensor

from ...ltx_core_impl.model import video_vae
from .. import host
from ..loading import components
from ..wires.handles import ComponentHandle

_maps: weakref.WeakKeyDictionary[ComponentHandle, video_vae.PreviewMap] = weakref.WeakKeyDictionary()
_SIDE = 512
_FRAMES = 8


class Preview:
    """Pictures of latents in the colours of a video VAE; the map is fitted once per VAE."""

    def __init__(self, vae: ComponentHandle) -> None:
        if vae not in _maps:
            with host.silent_progress(), components.video_encoder(vae, pixels=0) as encoder:
                _maps[vae] = video_vae.fit_preview(encoder)
        self._map = _maps[vae]

    def __call__(self, latent: Tensor) -> tuple[Image.Image, list[Image.Image]]:
        """The first clip of a latent ``(B, C, F, H, W)``: its middle frame, enlarged for the eye, and a few of its
        frames in their order, a pixel for each cell; none of a single frame.
        """
        frames = latent.shape[2]
        chosen = sorted({round(place) for place in np.linspace(0, frames - 1, min(frames, _FRAMES))} | {frames // 2})
        # One picture of all frames side by side: one transfer from the card, as for a single one.
        wide = self._map.picture(latent[0][:, chosen].transpose(1, 2).flatten(2)).cpu()
        pictures = [Image.fromarray(part.contiguous().numpy()) for part in wide.chunk(len(chosen), dim=1)]
        middle = pictures[chosen.index(frames // 2)]
        factor = max(1, _SIDE // max(middle.size))
        enlarged = middle.resize((middle.width * factor, middle.height * factor), Image.Resampling.BILINEAR)
        return enlarged, pictures if len(pictures) > 1 else []
