"""Video and sound files: exact counts, rates, durations, colours and failures (spec 04 §3.2, §12, spec 07 §7)."""

from __future__ import annotations

import math
import struct
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from ltx_core_impl.media import (
    NoVideoStreamError,
    VideoWriter,
    count_at_rate,
    frame_rate,
    probe_video,
    read_at_rate,
    read_audio,
    read_frames,
    read_time_range,
    write_video,
    write_wav,
)
from ltx_core_impl.media.color import rgb_to_i420
from ltx_core_impl.types import Audio

NTSC = Fraction(24000, 1001)
# The length of a sound track is noted in milliseconds, rounded up.
MOVIE_TICK = Fraction(1, 1000)


def grey_frames(levels: list[int], height: int = 32, width: int = 48) -> Tensor:
    """One flat grey uint8 frame per level."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, height, width, 3)


def levels_of(chunks: Iterator[Tensor]) -> list[int]:
    """Mean grey level of each frame."""
    return [round(frame.float().mean().item()) for chunk in chunks for frame in chunk]


def tone(seconds: float, rate: int, channels: int = 2) -> Audio:
    wave_form = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(round(seconds * rate)) / rate)
    return Audio(wave_form.expand(channels, -1), rate)


@pytest.fixture
def staircase(tmp_path: Path) -> Path:
    """25 fps, 20 frames of grey 0, 12, 24, ..."""
    path = tmp_path / "staircase.mp4"
    write_video(path, [grey_frames([12 * i for i in range(20)])], fps=25, crf=5)
    return path


def write_variable_rate(path: Path, times_ms: list[int], levels: list[int]) -> None:
    """Pictures at times; the last one stays as long as the one before it."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for time, picture in zip(times_ms, grey_frames(levels), strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.numpy()), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        last = stream.encode()
        last[-1].duration = times_ms[-1] - times_ms[-2]
        container.mux(last)


def rotate_by_90(path: Path) -> None:
    """Write a quarter turn into the track header's display matrix."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("colour", "codes"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((1, 0, 0), (62, 102, 240)),
        ((0, 1, 0), (172, 41, 26)),
        ((0, 0, 1), (31, 240, 117)),
        ((0.5, 0.25, 0.75), (90, 177, 150)),
    ],
)
def test_code_values(colour: tuple[float, ...], codes: tuple[int, ...]) -> None:
    planar = rgb_to_i420(torch.tensor(colour).expand(4, 4, 3))
    assert planar.flatten().tolist() == [codes[0]] * 16 + [codes[1]] * 4 + [codes[2]] * 4
    if all(value in (0, 1) for value in colour):
        eight_bit = (torch.tensor(colour) * 255).to(torch.uint8).expand(4, 4, 3)
        assert torch.equal(rgb_to_i420(eight_bit), planar)


def test_every_grey_is_neutral_and_chroma_is_averaged() -> None:
    for level in range(256):
        assert rgb_to_i420(torch.full((2, 2, 3), level, dtype=torch.uint8)).flatten()[4:].tolist() == [128, 128]
    picture = torch.zeros(2, 2, 3)
    picture[0, 0] = torch.tensor([1.0, 0.0, 0.0])
    planar = rgb_to_i420(picture).flatten().tolist()
    assert planar == [62, 16, 16, 16, int(128 - 0.1146 * 224 / 4), int(128 + 0.5 * 224 / 4)]


def test_out_of_range_floats_are_clamped_and_strides_do_not_matter() -> None:
    picture = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0)).permute(1, 2, 0)
    assert torch.equal(rgb_to_i420(picture), rgb_to_i420(picture.clamp(0, 1).contiguous()))


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (23.976, NTSC),
        (24000 / 1001, NTSC),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (24.0, Fraction(24)),
        (25, Fraction(25)),
        (12.5, Fraction(25, 2)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
    ],
)
def test_frame_rate(fps: float | Fraction, exact: Fraction) -> None:
    assert frame_rate(fps) == exact


@pytest.mark.parametrize("fps", [0, -1.0, math.nan, math.inf])
def test_impossible_frame_rate(fps: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        frame_rate(fps)


@pytest.mark.parametrize(
    "fps", [NTSC, Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(25, 2)]
)
@pytest.mark.parametrize("frames", [1, 25])
def test_counts_and_rates_are_exact(tmp_path: Path, fps: Fraction, frames: int) -> None:
    path = tmp_path / "clip.mp4"
    assert write_video(path, [grey_frames([100] * frames)], fps=fps, audio=tone(3, 24000)) == frames
    info = probe_video(path)
    assert (info.fps, info.frames, info.width, info.height, info.has_audio) == (fps, frames, 48, 32, True)
    assert sum(len(chunk) for chunk in read_frames(path)) == frames
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.duration * video.time_base == frames / fps
        assert abs(audio.duration * audio.time_base - frames / fps) <= MOVIE_TICK


def test_colours_survive_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "colours.mp4"
    picture = torch.zeros(1, 64, 96, 3)
    picture[:, :, :32, 0] = picture[:, :, 32:64, 1] = picture[:, :, 64:, 2] = 0.8
    write_video(path, [picture], fps=24, crf=5)
    decoded = next(read_frames(path))[0]
    for column, channel in ((16, 0), (48, 1), (80, 2)):
        expected = torch.zeros(3)
        expected[channel] = 204
        assert (decoded[32, column] - expected).abs().max() <= 4
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        assert codec.pix_fmt == "yuv420p"


def test_chunks_and_floats_give_the_same_file(tmp_path: Path) -> None:
    frames = torch.randint(0, 256, (9, 32, 48, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    seen: list[int] = []
    write_video(tmp_path / "a.mp4", [frames], fps=25)
    write_video(tmp_path / "b.mp4", iter([frames[:4], frames[4:5], frames[5:]]), fps=25, callback=seen.append)
    write_video(tmp_path / "c.mp4", [frames.float() / 255], fps=25)
    assert seen == [4, 5, 9]
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_quality_setting(tmp_path: Path) -> None:
    noise = torch.rand(4, 64, 96, 3, generator=torch.Generator().manual_seed(0))
    for crf in (10, 40):
        write_video(tmp_path / f"{crf}.mp4", [noise], fps=25, crf=crf)
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size
    with pytest.raises(ValueError, match="crf"):
        VideoWriter(tmp_path / "x.mp4", fps=25, crf=52)


def test_metadata(tmp_path: Path) -> None:
    metadata = {"prompt": '{"1": {"text": "größer ✓"}}', "workflow": "{}"}
    write_video(tmp_path / "new" / "clip.mp4", [grey_frames([1])], fps=25, metadata=metadata)
    with av.open(str(tmp_path / "new" / "clip.mp4")) as container:
        assert metadata.items() <= container.metadata.items()


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_lasts_as_long_as_the_video(tmp_path: Path, seconds: float, channels: int) -> None:
    path = tmp_path / "sound.mp4"
    audio = tone(seconds, 48000, channels)
    chunks = [grey_frames([50] * 10), grey_frames([50] * 15)]
    write_video(path, chunks, fps=25, audio=Audio(audio.waveform[None], 48000))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert abs(stream.duration * stream.time_base - 1) <= Fraction(1, 48000)
        assert (stream.rate, stream.layout.nb_channels) == (48000, channels)
    sound = read_audio(path, duration=1.0).waveform
    assert sound.shape == (channels, 48000)
    heard = round(min(seconds, 1.0) * 48000)
    middle = slice(2000, heard - 2000)
    assert (sound[:, middle] - audio.waveform[:, middle]).abs().max() < 0.05
    assert sound[:, heard + 2048 :].abs().sum() < 1.0


def test_rate_unknown_to_aac_is_converted(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", [grey_frames([50] * 25)], fps=25, audio=tone(1, 10000))
    sound = read_audio(tmp_path / "odd.mp4", duration=1.0)
    assert sound.sampling_rate == 48000
    middle = slice(4000, 40000)
    assert (sound.waveform[:, middle] - tone(1, 48000).waveform[:, middle]).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(2, 0), (3, 100), (2, 2, 100), (100,)])
def test_impossible_waveforms(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sound track"):
        VideoWriter(tmp_path / "x.mp4", fps=25, audio=Audio(torch.zeros(shape), 24000))


def broken_source() -> Iterator[Tensor]:
    yield grey_frames([1] * 30)
    raise RuntimeError("decoding was interrupted")


def test_partial_file_is_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="interrupted"):
        write_video(tmp_path / "x.mp4", broken_source(), fps=25, audio=tone(1, 24000))
    with pytest.raises(ValueError, match="at least one"):
        write_video(tmp_path / "x.mp4", [], fps=25)
    with pytest.raises(ValueError, match="Crop to 48x30"):
        write_video(tmp_path / "x.mp4", [torch.zeros(1, 31, 48, 3)], fps=25)
    with pytest.raises(ValueError, match="size of the first"):
        write_video(tmp_path / "x.mp4", [grey_frames([1]), torch.zeros(1, 64, 64, 3)], fps=25)
    with pytest.raises(ValueError, match="3 colours"):
        write_video(tmp_path / "x.mp4", [torch.zeros(1, 3, 32, 48)], fps=25)
    assert list(tmp_path.iterdir()) == []


def test_frames_by_index(staircase: Path) -> None:
    expected = [12 * i for i in range(20)]
    assert levels_of(read_frames(staircase)) == pytest.approx(expected, abs=2)
    assert levels_of(read_frames(staircase, start_frame=3, max_frames=5)) == pytest.approx(expected[3:8], abs=2)
    assert [len(chunk) for chunk in read_frames(staircase, start_frame=1, chunk_frames=8)] == [8, 8, 3]
    assert levels_of(read_frames(staircase, start_frame=20)) == []
    chunk = next(read_frames(staircase))
    assert chunk.dtype == torch.uint8 and chunk.shape == (20, 32, 48, 3)


@pytest.mark.parametrize(
    ("start", "duration", "frames"),
    [(0.0, None, (0, 20)), (0.2, 0.2, (5, 10)), (0.21, 0.2, (6, 11)), (0.0, 0.04, (0, 1)), (0.72, 5.0, (18, 20))],
)
def test_frames_by_time(staircase: Path, start: float, duration: float | None, frames: tuple[int, int]) -> None:
    expected = [12 * i for i in range(*frames)]
    assert levels_of(read_time_range(staircase, start, duration)) == pytest.approx(expected, abs=2)


def test_constant_rate_from_constant_rate(staircase: Path) -> None:
    assert levels_of(read_at_rate(staircase, 12.5)) == pytest.approx([24 * i for i in range(10)], abs=2)
    assert levels_of(read_at_rate(staircase, 50, start=0.4, max_frames=4)) == pytest.approx([120, 120, 132, 132], abs=2)
    assert len(levels_of(read_at_rate(staircase, NTSC))) == math.ceil(0.8 * NTSC)


def test_variable_rate(tmp_path: Path) -> None:
    path = tmp_path / "variable.mp4"
    write_variable_rate(path, times_ms=[0, 40, 80, 400, 440, 840], levels=[0, 40, 80, 120, 160, 200])
    assert levels_of(read_frames(path)) == pytest.approx([0, 40, 80, 120, 160, 200], abs=2)
    assert levels_of(read_time_range(path, 0.05, 0.39)) == pytest.approx([80, 120], abs=2)
    held = [0, 80, 80, 80, 120, 160, 160, 160, 160, 200, 200, 200, 200]
    assert levels_of(read_at_rate(path, 10)) == pytest.approx(held, abs=2)
    assert levels_of(read_at_rate(path, 10, start=0.2, max_frames=2)) == pytest.approx([80, 80], abs=2)


@pytest.mark.parametrize("start", [0.0, 0.3, 0.79, 5.0])
@pytest.mark.parametrize("fps", [8, 12.5, NTSC, 25, 60])
def test_frames_at_a_rate_are_counted_without_decoding(
    tmp_path: Path, staircase: Path, fps: float, start: float
) -> None:
    variable = tmp_path / "variable.mp4"
    write_variable_rate(variable, times_ms=[0, 40, 80, 400, 440, 840], levels=[0, 40, 80, 120, 160, 200])
    for path in (staircase, variable):
        assert count_at_rate(path, fps, start) == len(levels_of(read_at_rate(path, fps, start)))


def test_rotation(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    picture = torch.zeros(1, 32, 64, 3)
    picture[:, :16, :32, 0] = 1.0
    write_video(path, [picture], fps=25, crf=5)
    rotate_by_90(path)
    info = probe_video(path)
    assert (info.width, info.height) == (32, 64)
    upright = next(read_frames(path))[0]
    assert upright.shape == (64, 32, 3)
    red = (upright[..., 0] > 128).nonzero()
    assert red.amin(dim=0).tolist() == [0, 16] and red.amax(dim=0).tolist() == [31, 31]


def test_reading_what_is_not_there(tmp_path: Path, staircase: Path) -> None:
    write_wav(tmp_path / "sound.wav", tone(0.5, 16000))
    with pytest.raises(NoVideoStreamError, match=r"sound\.wav has no video"):
        probe_video(tmp_path / "sound.wav")
    assert read_audio(staircase) is None
    for reader in (read_frames, read_time_range):
        with pytest.raises(ValueError, match="starts at 0"):
            next(reader(staircase, -1))
    with pytest.raises(ValueError, match="fps"):
        next(read_at_rate(staircase, 0))
    with pytest.raises(ValueError, match="longer than 0"):
        read_audio(tmp_path / "sound.wav", duration=0.0)


def test_wav_round_trip(tmp_path: Path) -> None:
    audio = tone(0.5, 16000)
    write_wav(tmp_path / "sound.wav", audio)
    sound = read_audio(tmp_path / "sound.wav")
    assert sound.sampling_rate == 16000
    assert torch.equal(sound.waveform, (audio.waveform * 32767).to(torch.int16).float() / 32768)
    part = read_audio(tmp_path / "sound.wav", start=0.123, duration=0.2)
    assert torch.equal(part.waveform, sound.waveform[:, 1968 : 1968 + 3200])
    assert read_audio(tmp_path / "sound.wav", start=0.6) is None


@pytest.mark.parametrize(("width", "scale", "zero"), [(1, 128, 128), (2, 32768, 0), (4, 2147483648, 0)])
def test_integer_samples(tmp_path: Path, width: int, scale: int, zero: int) -> None:
    values = torch.tensor([0.0, 0.5, -0.5, -1.0])
    codes = (values.double() * scale + zero).numpy().astype({1: np.uint8, 2: "<i2", 4: "<i4"}[width])
    with wave.open(str(tmp_path / "codes.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(codes.tobytes())
    assert torch.equal(read_audio(tmp_path / "codes.wav").waveform[0], values)


def test_surround_sound_is_mixed_to_stereo(tmp_path: Path) -> None:
    samples = np.zeros((6, 8000), dtype=np.float32)
    samples[0] = 0.25
    with av.open(str(tmp_path / "surround.wav"), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=8000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), format="flt", layout="5.1")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    sound = read_audio(tmp_path / "surround.wav").waveform
    assert sound.shape == (2, 8000)
    assert sound[0].min() > 0.05 and sound[1].abs().max() < 1e-6
