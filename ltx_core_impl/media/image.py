"""Reading images, and degrading them as a video codec would (spec 07 §7.1, §7.3)."""

from __future__ import annotations

import io
import logging
from os import PathLike

import av
import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

logger = logging.getLogger(__name__)

MAX_CRF = 51


def load_image(path: str | PathLike[str]) -> Tensor:
    """An image file as uint8 RGB ``(H, W, 3)``, upright by its EXIF orientation and converted to sRGB.

    Alpha is dropped, not composited. Raises OSError (PIL) when the file cannot be read.
    """
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        return torch.from_numpy(np.array(_to_srgb(upright)))


def _to_srgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError) as error:
            logger.warning("The image's colour profile was ignored: %s", error)
    return image.convert("RGB")


def check_crf(crf: int) -> None:
    """Raise ValueError unless ``crf`` is a quality of libx264: 0 (best) to 51 (worst)."""
    if not 0 <= crf <= MAX_CRF:
        raise ValueError(f"crf must lie between 0 (best) and {MAX_CRF} (worst); got {crf}.")


def h264_round_trip(image: Tensor, crf: int) -> Tensor:
    """Encode a uint8 image ``(H, W, 3)`` as one H.264 frame and decode it, to look like a video frame.

    An odd last row or column is cropped. ``crf`` 0, or a side below 2, returns the image itself.
    """
    check_crf(crf)
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    if crf == 0 or height == 0 or width == 0:
        return image
    pixels = np.ascontiguousarray(image[:height, :width].cpu().numpy())
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        # Without the cpu-independent of films: a single frame comes out the same whatever memory held before, and with
        # it the picture would be another than the one that the published pipelines condition on.
        stream = container.add_stream("libx264", rate=1, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        decoded = next(container.decode(container.streams.video[0]))
        return torch.from_numpy(decoded.to_ndarray(format="rgb24"))
