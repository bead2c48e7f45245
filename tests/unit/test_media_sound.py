"""Sound as it is in the wild: pauses, damage, many channels, no file at all (spec 04 §3.2)."""

from __future__ import annotations

import logging
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from ltx_core_impl.media import read_audio
from ltx_core_impl.media.audio_reader import mixed_to_stereo
from ltx_core_impl.media.container import UnreadableMediaError

RATE = 48000


def tone(seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * math.pi * 440 * np.arange(round(seconds * RATE)) / RATE, dtype=np.float32)[None]


def write_with_pause(path: Path, codec: str = "aac", pause: tuple[float, float] = (1.0, 2.0)) -> None:
    """Three seconds of picture; a tone that pauses between two times."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream(codec, rate=RATE, layout="mono")
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        for first, last in ((0.0, pause[0]), (pause[1], 3.0)):
            samples = tone(last - first)
            for begin in range(0, samples.shape[1] - 1023, 1024):
                block = np.ascontiguousarray(samples[:, begin : begin + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = round(first * RATE) + begin
                container.mux(audio.encode(frame))
        container.mux(audio.encode())


def loudness(waveform: torch.Tensor, first: float, last: float) -> float:
    return waveform[:, round(first * RATE) : round(last * RATE)].square().mean().sqrt().item()


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_pause_is_silence_of_its_length(tmp_path: Path, container: str) -> None:
    path = tmp_path / f"pause.{container}"
    write_with_pause(path)
    waveform = read_audio(path).waveform
    assert waveform.shape[1] / RATE == pytest.approx(3.0, abs=0.05)
    levels = [loudness(waveform, first, first + 0.8) for first in (0.1, 1.1, 2.1)]
    assert levels == pytest.approx([0.5 / 2**0.5, 0.0, 0.5 / 2**0.5], abs=0.02)
    part = read_audio(path, start=0.5, duration=1.75).waveform
    assert part.shape[1] == round(1.75 * RATE)
    # Matroska notes times in milliseconds.
    lags = range(-48, 49) if container == "mkv" else [0]
    same = [waveform[:, lag + RATE // 2 : lag + RATE // 2 + 19000] for lag in lags]
    assert min((part[:, :19000] - other).abs().max().item() for other in same) < 1e-2
    assert [loudness(part, 0.6, 1.4) < 0.01, loudness(part, 1.6, 1.75) > 0.3] == [True, True]


def test_a_damaged_packet_of_sound_costs_its_own_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "whole.mkv"
    write_with_pause(path, pause=(1.5, 1.5))
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    data = path.read_bytes()
    broken = packets[60]
    (tmp_path / "broken.mkv").write_bytes(data.replace(broken, b"\xff" * len(broken)))
    whole = read_audio(path).waveform
    with caplog.at_level(logging.WARNING):
        sound = read_audio(tmp_path / "broken.mkv").waveform
    assert sound.shape == whole.shape
    # AAC fills quiet bands with noise of its own, which a lost packet changes.
    assert torch.allclose(sound[:, 2 * RATE :], whole[:, 2 * RATE :], atol=2e-2)
    assert "1 packet of the sound could not be decoded" in caplog.text
    assert "the first at 1.2" in caplog.text


def test_a_file_that_is_cut_before_its_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    write_with_pause(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableMediaError, match=r"cut\.mp4 cannot be opened .* Copy or export it again"):
        read_audio(path)


@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
def test_channels_in_memory_are_mixed_as_those_of_a_file(tmp_path: Path, channels: int) -> None:
    waveform = torch.rand(channels, 4800, generator=torch.Generator().manual_seed(channels)) - 0.5
    layout = {3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}[channels]
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE, layout=layout)
        interleaved = np.ascontiguousarray(waveform.numpy().T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    mixed = mixed_to_stereo(torch.stack([waveform, -waveform]), RATE)
    assert mixed.shape == (2, 2, 4800)
    torch.testing.assert_close(mixed[0], read_audio(path).waveform)
    torch.testing.assert_close(mixed[1], -mixed[0])


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has 9 channels.*Mix it down"):
        mixed_to_stereo(torch.zeros(1, 9, 10), RATE)
