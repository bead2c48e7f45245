"""What whole-run tests share: given noise and the tools of the tiny golden runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor

from ltx_core_impl.components.noisers import apply_noise
from ltx_core_impl.conditioning.rules import LTX_2_5_RULES, LTX_2_RULES, ReferenceRules
from ltx_core_impl.conditioning.tools import AudioLatentTools, VideoLatentTools
from ltx_core_impl.types import AudioLatentShape, LatentState, VideoLatentShape, VideoPixelShape

RULES = {"2.0": LTX_2_RULES, "2.3": LTX_2_RULES, "2.5": LTX_2_5_RULES}


class GivenNoise:
    """A noiser that adds tensors in the order they are given, in token layout."""

    def __init__(self, noises: Iterable[Tensor]) -> None:
        self._noises = iter(noises)

    def __call__(self, latent_state: LatentState, noise_scale: float = 1.0) -> LatentState:
        return apply_noise(latent_state, next(self._noises), noise_scale)


@contextmanager
def given_loop_noise(noises: Iterable[Tensor]) -> Iterator[None]:
    """Feed the stochastic loops recorded noise."""
    remaining = iter(noises)

    def recorded(like: Tensor, generator: object, dtype: torch.dtype | None = None) -> Tensor:
        noise = next(remaining)
        assert noise.shape == like.shape
        return noise

    with patch("ltx_core_impl.sampling.loops.draw_noise", recorded):
        yield
    assert next(remaining, None) is None, "the loop drew less noise than was recorded"


def tools(
    pixels: VideoPixelShape, rules: ReferenceRules = LTX_2_RULES, channels: int = 128
) -> tuple[VideoLatentTools, AudioLatentTools]:
    """Video and audio tools of a run of the given size."""
    return (
        VideoLatentTools(
            VideoLatentShape.from_pixel_shape(pixels, latent_channels=channels), fps=pixels.fps, rules=rules
        ),
        AudioLatentTools(AudioLatentShape.from_video_pixel_shape(pixels), rules=rules),
    )
