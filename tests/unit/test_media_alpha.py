"""Films with alpha: what the writers write comes back, by PyAV alone and by our reader."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from ltx_core_impl.media import count_at_rate, probe_video, read_at_rate, read_audio, write_video
from ltx_core_impl.media.alpha_writer import SOUND_FILE, PngSequence, ProResWriter, VP9Writer, with_alpha
from ltx_core_impl.types import Audio
from tests.unit.test_media_video import NTSC, tone

FRAMES, HEIGHT, WIDTH = 5, 48, 64


def clip(frames: int = FRAMES) -> torch.Tensor:
    """Smooth colours; alpha with flat parts, a soft edge and noise, another one in every frame."""
    x, y = torch.linspace(0, 1, WIDTH), torch.linspace(0, 1, HEIGHT)
    colours = torch.stack([x.expand(HEIGHT, -1), y[:, None].expand(-1, WIDTH), (1 - x).expand(HEIGHT, -1)], dim=-1)
    alpha = torch.rand(frames, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))
    alpha[:, :16], alpha[:, 16:28], alpha[:, 28:40] = 0, 1, torch.linspace(0, 1, WIDTH)
    return with_alpha(colours.expand(frames, -1, -1, -1), alpha)


def test_without_a_matte_frames_are_opaque() -> None:
    rgba = with_alpha(torch.zeros(2, 4, 6, 3), None)
    assert rgba.shape == (2, 4, 6, 4) and (rgba[..., 3] == 1).all()


def write(writer: object, frames: torch.Tensor) -> None:
    with writer:
        for chunk in frames.split(2):
            writer.write(chunk)


def read_back(path: Path, alpha: bool) -> torch.Tensor:
    return torch.cat(list(read_at_rate(path, 24, alpha=alpha, chunk_frames=2)))


def test_prores_4444_keeps_alpha_to_a_code_value_of_10_bits(tmp_path: Path) -> None:
    path, frames = tmp_path / "film.mov", clip()
    write(ProResWriter(path, fps=24, audio=tone(1.0, 32000)), frames)
    with av.open(str(path)) as container:
        [video], [sound] = container.streams.video, container.streams.audio
        assert (video.codec_context.name, video.codec_context.codec_tag) == ("prores", "ap4h")
        assert (sound.codec_context.name, sound.rate) == ("pcm_s16le", 32000)
        decoded = list(container.decode(video))
    assert len(decoded) == FRAMES and decoded[0].format.name.startswith("yuva444p")
    bits = decoded[0].format.components[3].bits
    for frame, expected in zip(decoded, frames, strict=True):
        codes = np.frombuffer(frame.planes[3], "<u2").reshape(HEIGHT, -1)[:, :WIDTH] / (2**bits - 1)
        assert np.abs(codes - expected[..., 3].numpy()).max() <= 1 / 1023
    info = probe_video(path)
    assert info.has_alpha and info.has_audio and info.frames == FRAMES
    alpha = read_back(path, alpha=True)
    assert alpha.shape == (FRAMES, HEIGHT, WIDTH)
    assert (alpha - frames[..., 3]).abs().max() <= 1 / 1023
    assert (alpha[:, :16] == 0).all() and (alpha[:, 16:28] == 1).all()
    assert (read_back(path, alpha=False) - frames[..., :3]).abs().mean() < 1 / 255
    assert read_audio(path).waveform.shape == (2, round(FRAMES / 24 * 32000))


def test_vp9_without_loss_keeps_alpha_exactly(tmp_path: Path) -> None:
    path, frames = tmp_path / "film.webm", clip()
    write(VP9Writer(path, fps=24, audio=tone(1.0, 44100), crf=0), frames)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "opus"
        assert container.streams.video[0].metadata["alpha_mode"] == "1"
    write_video(tmp_path / "film.mp4", [frames[..., :3]], fps=24, crf=0)
    info = probe_video(path)
    assert info.has_alpha and info.has_audio and float(info.fps) == 24
    alpha = read_back(path, alpha=True)
    assert torch.equal((alpha * 255).round(), (frames[..., 3] * 255).round())
    assert torch.equal(read_back(path, alpha=False), read_back(tmp_path / "film.mp4", alpha=False))


def test_vp9_with_loss_keeps_alpha_to_a_code_value_where_it_is_smooth(tmp_path: Path) -> None:
    path, frames = tmp_path / "film.webm", clip()
    write(VP9Writer(path, fps=24, crf=19), frames)
    error = (read_back(path, alpha=True) - frames[..., 3]).abs() * 255
    assert error[:, :8].max() == 0 and error[:, 20:24].max() <= 1
    assert error[:, 30:38].mean() < 1
    assert path.stat().st_size < 60_000


def test_a_later_start_reads_the_alpha_of_the_same_frames(tmp_path: Path) -> None:
    path, frames = tmp_path / "film.webm", clip(12)
    write(VP9Writer(path, fps=24, crf=0), frames)
    alpha = torch.cat(list(read_at_rate(path, 24, start=7 / 24, alpha=True)))
    assert torch.equal((alpha * 255).round(), (frames[7:, ..., 3] * 255).round())


def test_png_files_hold_the_codes_the_sound_lies_beside_and_the_graph_in_the_first(tmp_path: Path) -> None:
    frames, folder = clip(), tmp_path / "sequence"
    write(PngSequence(folder, fps=24, audio=tone(0.1, 48000), metadata={"prompt": "{}"}), frames)
    files = sorted(folder.glob("*.png"))
    assert [file.name for file in files] == [f"frame_{number:05d}.png" for number in range(FRAMES)]
    for file, expected in zip(files, frames, strict=True):
        with Image.open(file) as image:
            assert image.mode == "RGBA"
            assert np.array_equal(np.array(image), (expected * 255).round().numpy().astype(np.uint8))
            assert image.info.get("prompt") == ("{}" if file == files[0] else None)
    with wave.open(str(folder / SOUND_FILE)) as sound:
        assert sound.getnframes() == round(FRAMES / 24 * 48000)


def test_bytes_are_written_as_floats_are(tmp_path: Path) -> None:
    codes = (clip(1) * 255).round()
    for number, frames in enumerate((codes / 255, codes.to(torch.uint8))):
        write(VP9Writer(tmp_path / f"{number}.webm", fps=24, crf=0), frames)
    first, second = (read_back(tmp_path / f"{number}.webm", alpha=True) for number in (0, 1))
    assert torch.equal(first, second)


def test_a_film_without_alpha_is_opaque(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, [torch.zeros(3, 32, 48, 3)], fps=24)
    assert not probe_video(path).has_alpha
    assert torch.equal(read_back(path, alpha=True), torch.ones(3, 32, 48))


@pytest.mark.parametrize("writer", [ProResWriter, VP9Writer])
def test_frames_without_alpha_and_odd_sides_are_refused_and_nothing_stays(writer: type, tmp_path: Path) -> None:
    for frames, reason in ((torch.zeros(1, 32, 48, 3), "4 channels"), (torch.zeros(1, 31, 48, 4), "even width")):
        path = tmp_path / "film"
        with pytest.raises(ValueError, match=reason), writer(path, fps=24) as film:
            film.write(frames)
        assert not path.exists()
    with pytest.raises(ValueError, match="4 channels"), PngSequence(tmp_path / "p", fps=24) as sequence:
        sequence.write(torch.zeros(1, 8, 8, 3))


def test_silence_follows_a_short_sound(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    write(VP9Writer(path, fps=24, audio=Audio(torch.ones(1, 4800) / 2, 48000), crf=40), clip(24))
    waveform = read_audio(path).waveform
    assert abs(waveform.shape[-1] - 48000) < 1000 and waveform[..., 24000:].abs().max() < 0.01


@pytest.mark.parametrize("rate", [24, 25, 30, 60, NTSC])
def test_times_in_milliseconds_neither_double_nor_lose_a_frame(tmp_path: Path, rate: float) -> None:
    """WebM rounds times: frame 1 of 24 per second comes at 0.042 s, a third of a millisecond late."""
    path, levels = tmp_path / "film.webm", torch.linspace(0, 1, 25)
    with VP9Writer(path, fps=rate, crf=0) as writer:
        writer.write(levels.view(-1, 1, 1, 1).expand(-1, 16, 16, 4))
    alpha = torch.cat(list(read_at_rate(path, rate, alpha=True)))
    assert torch.equal((alpha[:, 0, 0] * 255).round(), (levels * 255).round())
    assert count_at_rate(path, rate) == 25
    assert count_at_rate(path, rate, start=float(10 / rate)) == 15
