"""One film, one file, whatever the encoder's memory held before (findings/x264-reproducible.sh)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ltx_core_impl.media.video_writer import write_video

FILMS = 12


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 255, (17, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    files = set()
    for _ in range(FILMS):
        used = [
            generator.integers(0, 255, int(size), dtype=np.uint8) for size in generator.integers(1000, 120_000, 300)
        ]
        del used  # what the encoder gets as fresh memory holds other bytes each time
        write_video(tmp_path / "film.mp4", [torch.from_numpy(blocks)], fps=8.0)
        files.add((tmp_path / "film.mp4").read_bytes())
    assert len(files) == 1
