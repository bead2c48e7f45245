"""Video VAE: encoder, decoder, tiling (spec 03)."""

from .configurator import VideoDecoderConfigurator, VideoEncoderConfigurator
from .decode_video import decode_video, to_frames
from .decoder import VideoDecoder
from .encoder import VideoEncoder
from .statistics import PerChannelStatistics
from .tiling import SpatialTiling, TemporalTiling, TilingConfig

__all__ = [
    "PerChannelStatistics",
    "SpatialTiling",
    "TemporalTiling",
    "TilingConfig",
    "VideoDecoder",
    "VideoDecoderConfigurator",
    "VideoEncoder",
    "VideoEncoderConfigurator",
    "decode_video",
    "to_frames",
]
