"""Encoding in chunks: the latent of the whole video, without the whole video."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ltx_core_impl.model.video_vae import SpatialTiling, TemporalTiling, TilingConfig, encode_chunks
from tests.unit.video_vae_fixtures import encoder, video_input

ENCODER = encoder("T22")
TILINGS = [
    TilingConfig(),
    TilingConfig(temporal=TemporalTiling(size=24, overlap=16)),
    TilingConfig(spatial=SpatialTiling(size=96, overlap=64), temporal=TemporalTiling(size=32, overlap=16)),
]


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_give_the_latent_of_the_whole_video(tiling: TilingConfig, chunk: int) -> None:
    video = video_input(1, 3, 57, 128, 64)
    actual = encode_chunks(video.split(chunk, dim=2), ENCODER, size=(57, 128, 64), tiling_config=tiling)
    assert torch.equal(actual, ENCODER.tiled_encode(video, tiling))


def test_no_more_is_read_than_a_tile_needs() -> None:
    read: list[int] = []
    done: list[tuple[int, int]] = []

    def chunks() -> Iterator[torch.Tensor]:
        for frame in range(200):
            read.append(frame)
            yield torch.zeros(1, 3, 1, 32, 32)

    encode_chunks(
        chunks(),
        ENCODER,
        size=(89, 32, 32),
        tiling_config=TILINGS[1],
        callback=lambda frames: done.append((frames, len(read))),
    )
    assert len(done) > 5 and all(frames == count for frames, count in done)
    assert done[-1] == (89, 89)


def test_a_video_that_ends_early_is_refused() -> None:
    with pytest.raises(ValueError, match="ended after 9 of 17 frames"):
        encode_chunks([torch.zeros(1, 3, 9, 32, 32)], ENCODER, size=(17, 32, 32))
    with pytest.raises(ValueError, match=r"\(64, 32\) came where \(32, 32\)"):
        encode_chunks([torch.zeros(1, 3, 9, 64, 32)], ENCODER, size=(9, 32, 32))
