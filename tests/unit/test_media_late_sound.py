"""Sound that begins later than its picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from ltx_core_impl.media import read_audio

RATE, SECONDS, DELAY = 48000, 1.0, 0.5


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """Two seconds of picture, and a tone from 0.5 s to 1.5 s in a track that begins there."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=24)
        video.width = video.height = 64
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        for _ in range(48):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        tone = np.full((1, 2 * round(RATE * SECONDS)), 16384, np.int16)
        block = av.AudioFrame.from_ndarray(tone, format="s16", layout="stereo")
        block.sample_rate, block.pts, block.time_base = RATE, round(DELAY * RATE), Fraction(1, RATE)
        container.mux(sound.encode(block))
        container.mux(video.encode())
        container.mux(sound.encode())
    return path


@pytest.mark.parametrize(("start", "duration"), [(0.0, None), (0.0, 1.0), (0.25, 0.75), (0.75, 0.5)])
def test_sound_stays_where_it_is_in_the_file(late: Path, start: float, duration: float | None) -> None:
    audio = read_audio(late, start=start, duration=duration)
    times = start + (torch.arange(audio.waveform.shape[1]) + 0.5) / audio.sampling_rate
    expected = ((times > DELAY) & (times < DELAY + SECONDS)).float() * 0.5
    assert audio.waveform.shape[1] == round((duration or DELAY + SECONDS) * RATE)
    torch.testing.assert_close(audio.waveform, expected.expand(2, -1), atol=1e-4, rtol=0)
