"""Reading and writing images, video and sound with PyAV, chunk by chunk (spec 07 §7)."""

from ..light.curves import srgb_curve
from .alpha_writer import PngSequence, ProResWriter, VP9Writer, with_alpha
from .audio_reader import mixed_to_stereo, read_audio
from .audio_track import write_wav
from .exr import write_exr
from .image import h264_round_trip, load_image
from .resize import conditioning_image, conditioning_video, resize_and_center_crop, resize_and_reflect_pad
from .tone_mapping import tone_mapped
from .track_text import parse_tracks
from .tracks import draw_tracks, spline
from .video_reader import (
    NoVideoStreamError,
    VideoInfo,
    count_at_rate,
    probe_video,
    read_at_rate,
    read_frames,
    read_time_range,
)
from .video_writer import VideoWriter, frame_rate, write_video

__all__ = [
    "NoVideoStreamError",
    "PngSequence",
    "ProResWriter",
    "VP9Writer",
    "VideoInfo",
    "VideoWriter",
    "conditioning_image",
    "conditioning_video",
    "count_at_rate",
    "draw_tracks",
    "frame_rate",
    "h264_round_trip",
    "load_image",
    "mixed_to_stereo",
    "parse_tracks",
    "probe_video",
    "read_at_rate",
    "read_audio",
    "read_frames",
    "read_time_range",
    "resize_and_center_crop",
    "resize_and_reflect_pad",
    "spline",
    "srgb_curve",
    "tone_mapped",
    "with_alpha",
    "write_exr",
    "write_video",
    "write_wav",
]
