"""The live preview of a run."""

from __future__ import annotations

import weakref

from PIL import Image
from torch import Tensor

from ...ltx_core_impl.model.video_vae.preview import PreviewMap, fit_preview
from ..loading import components
from ..wires.handles import ComponentHandle

_maps: weakref.WeakKeyDictionary[ComponentHandle, PreviewMap] = weakref.WeakKeyDictionary()
_SIDE = 512


class Preview:
    """Pictures of latents in the colours of a video VAE; the map is fitted once per VAE."""

    def __init__(self, vae: ComponentHandle) -> None:
        if vae not in _maps:
            with components.video_encoder(vae, pixels=0) as encoder:
                _maps[vae] = fit_preview(encoder)
        self._map = _maps[vae]

    def __call__(self, latent: Tensor) -> Image.Image:
        """The middle frame of the first clip of a latent ``(B, C, F, H, W)``, enlarged for the eye."""
        picture = self._map.picture(latent[0, :, latent.shape[2] // 2])
        image = Image.fromarray(picture.cpu().numpy())
        factor = max(1, _SIDE // max(image.size))
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.BILINEAR)
