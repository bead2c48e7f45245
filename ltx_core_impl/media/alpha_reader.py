"""The alpha of decoded frames: which streams have one, who decodes it, and its values (spec 08 §7.1)."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .display import Display, shown_size

# FFmpeg's own decoders of VP8 and VP9 leave out the alpha, which lies in a stream of its own inside the packets.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_DEEPEST = 16


def has_alpha(stream: av.VideoStream) -> bool:
    """Whether the pictures of a stream have alpha that can be decoded here."""
    if stream.codec_context.pix_fmt is None:
        return False
    if any(component.is_alpha for component in stream.codec_context.format.components):
        return True
    return _alpha_codec(stream) is not None


def alpha_decoder(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """A decoder that gives the alpha of a stream whose usual one does not; None where the usual one does."""
    name = _alpha_codec(stream)
    if name is None:
        return None
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _alpha_codec(stream: av.VideoStream) -> str | None:
    name = _WITH_ALPHA.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1":
        return None
    try:
        av.Codec(name, "r")
    except av.codec.codec.UnknownCodecError:  # a PyAV that was built without libvpx
        return None
    return name


@dataclass
class AlphaDisplay(Display):
    """Alpha of frames as `Display` shows their colours: upright, with square pixels, in the size of the first one."""

    def __call__(self, frame: av.VideoFrame) -> Tensor:
        """The alpha of a frame, float32 ``(H, W)`` in [0, 1]; 1 is opaque, and so is a frame without alpha."""
        self.size = self.size or shown_size(frame.width, frame.height, self.stream.sample_aspect_ratio)
        alpha = torch.from_numpy(_alpha(frame))
        size = self.size[::-1]
        if alpha.shape != size:
            alpha = F.interpolate(alpha[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        return torch.rot90(alpha, k=round(frame.rotation / 90))


def _alpha(frame: av.VideoFrame) -> np.ndarray:
    components = frame.format.components
    if not any(component.is_alpha for component in components):
        return np.ones((frame.height, frame.width), np.float32)
    bits = components[-1].bits
    if len(frame.planes) != 4 or bits > _DEEPEST:
        return frame.to_ndarray(format="rgba64le")[..., 3].astype(np.float32) / 65535
    # Read from its plane: a conversion would make 4080 / 4095 of full alpha in 12 bits.
    plane = frame.planes[3]
    kind = np.dtype("u1" if bits <= 8 else ">u2" if frame.format.name.endswith("be") else "<u2")
    codes = np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : frame.width]
    return codes.astype(np.float32) / (2**bits - 1)
