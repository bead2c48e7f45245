"""One film, one file, and one picture, whatever the encoder's memory held before (findings/x264-reproducible.sh)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ltx_core_impl.media.image import h264_round_trip
from ltx_core_impl.media.video_writer import write_video

FILMS = 12


def _use_memory(generator: np.random.Generator) -> None:
    """So that what the encoder gets as fresh memory holds other bytes each time."""
    used = [generator.integers(0, 255, int(size), dtype=np.uint8) for size in generator.integers(1000, 120_000, 300)]
    del used


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 255, (17, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    files = set()
    for _ in range(FILMS):
        _use_memory(generator)
        write_video(tmp_path / "film.mp4", [torch.from_numpy(blocks)], fps=8.0)
        files.add((tmp_path / "film.mp4").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("crf", [10, 33])
def test_the_same_image_is_degraded_alike(crf: int) -> None:
    generator = np.random.default_rng(0)
    image = torch.from_numpy(generator.integers(0, 255, (12, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1))
    pictures = set()
    for _ in range(FILMS):
        _use_memory(generator)
        pictures.add(h264_round_trip(image, crf).numpy().tobytes())
    assert len(pictures) == 1
