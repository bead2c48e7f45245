"""Reading and writing images, video and sound with PyAV, chunk by chunk (spec 07 §7)."""

from .audio_reader import read_audio
from .audio_track import write_wav
from .image import h264_round_trip, load_image
from .resize import conditioning_image, conditioning_video, resize_and_center_crop, resize_and_reflect_pad
from .video_reader import NoVideoStreamError, VideoInfo, probe_video, read_at_rate, read_frames, read_time_range
from .video_writer import VideoWriter, frame_rate, write_video

__all__ = [
    "NoVideoStreamError",
    "VideoInfo",
    "VideoWriter",
    "conditioning_image",
    "conditioning_video",
    "frame_rate",
    "h264_round_trip",
    "load_image",
    "probe_video",
    "read_at_rate",
    "read_audio",
    "read_frames",
    "read_time_range",
    "resize_and_center_crop",
    "resize_and_reflect_pad",
    "write_video",
    "write_wav",
]
