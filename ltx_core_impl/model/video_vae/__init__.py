"""Video VAE: encoders, decoders, tiling (spec 03)."""

from __future__ import annotations

from ...on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".axis_tiling": ("AxisCount", "AxisTiling", "PerAxisTiling"),
        ".chunked_encoding": ("encode_chunks",),
        ".clip_decoding": ("decode_video", "to_frames"),
        ".configurator": ("VideoDecoderConfigurator", "VideoEncoderConfigurator"),
        ".decoder": ("VideoDecoder",),
        ".diffusion": ("DiffusionVideoDecoder", "auto_tiling"),
        ".encoder": ("VideoEncoder",),
        ".memory": ("convolution_bytes",),
        ".preview": ("PreviewMap", "fit_preview"),
        ".statistics": ("PerChannelStatistics",),
        ".tile_plan": ("Tiling",),
        ".tiling": ("SpatialTiling", "TemporalTiling", "TilingConfig"),
    },
)
