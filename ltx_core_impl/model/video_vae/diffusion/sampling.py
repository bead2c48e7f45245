"""Denoising pixels in a few Euler steps (spec 03 §13.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def denoise(predict: Callable[[Tensor, float], Tensor], noise: Tensor, num_steps: int, predicts_x0: bool) -> Tensor:
    """From ``noise`` at t = 1 to the clean video, in ``num_steps`` equal steps.

    ``predict(x, t)`` gives the clean video if ``predicts_x0``, else the velocity (noise minus clean). The last
    step of an x0 model is its prediction.
    """
    x = noise
    times = [1 - step / num_steps for step in range(num_steps)]
    for t, next_t in zip(times, [*times[1:], 0.0], strict=True):
        prediction = predict(x, t)
        if predicts_x0 and next_t == 0:
            return prediction
        accumulate = torch.promote_types(x.dtype, torch.float32)
        current, prediction = x.to(accumulate), prediction.to(accumulate)
        velocity = (current - prediction) / t if predicts_x0 else prediction
        x = (current - (t - next_t) * velocity).to(x.dtype)
    return x
