"""Video VAE: encoders, decoders, tiling (spec 03)."""

from .axis_tiling import AxisCount, AxisTiling, PerAxisTiling
from .configurator import VideoDecoderConfigurator, VideoEncoderConfigurator
from .decode_video import decode_video, to_frames
from .decoder import VideoDecoder
from .diffusion import DiffusionVideoDecoder, auto_tiling
from .encode_chunks import encode_chunks
from .encoder import VideoEncoder
from .statistics import PerChannelStatistics
from .tiling import SpatialTiling, TemporalTiling, TilingConfig

__all__ = [
    "AxisCount",
    "AxisTiling",
    "DiffusionVideoDecoder",
    "PerAxisTiling",
    "PerChannelStatistics",
    "SpatialTiling",
    "TemporalTiling",
    "TilingConfig",
    "VideoDecoder",
    "VideoDecoderConfigurator",
    "VideoEncoder",
    "VideoEncoderConfigurator",
    "auto_tiling",
    "decode_video",
    "encode_chunks",
    "to_frames",
]
