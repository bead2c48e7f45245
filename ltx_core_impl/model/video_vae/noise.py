"""Standard-normal noise for decoding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_noise(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard-normal noise in the dtype and on the device of ``like``.

    Drawn where the generator lives and then moved, so that a CPU generator gives the same video on every device.
    """
    device = generator.device if generator is not None else like.device
    return torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)
