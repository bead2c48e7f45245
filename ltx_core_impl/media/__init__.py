"""Reading and writing images, video and sound with PyAV, chunk by chunk (spec 07 §7)."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        "..light.curves": ("srgb_curve",),
        ".alpha_writer": ("PngSequence", "ProResWriter", "VP9Writer", "with_alpha"),
        ".audio_reader": ("mixed_to_stereo", "read_audio"),
        ".audio_track": ("write_wav",),
        ".clips": ("fill_masked", "fit_frames", "fit_waveform", "pad_frames", "resize_mask"),
        ".display": ("WorkingCode",),
        ".exr": ("write_exr",),
        ".exr_reader": ("EXTENSION", "exr_files", "exr_info", "read_exr_sequence"),
        ".image": ("h264_round_trip", "load_image"),
        ".resize": ("conditioning_image", "conditioning_video", "resize_and_center_crop", "resize_and_reflect_pad"),
        ".sheet": ("MOST_PANELS", "reference_sheet"),
        ".tone_mapping": ("tone_mapped",),
        ".track_text": ("parse_tracks",),
        ".tracks": ("draw_tracks", "spline"),
        ".video_reader": (
            "NoVideoStreamError",
            "VideoInfo",
            "count_at_rate",
            "probe_video",
            "read_at_rate",
            "read_frames",
            "read_time_range",
        ),
        ".video_writer": ("VideoWriter", "frame_rate", "write_video"),
    },
)
