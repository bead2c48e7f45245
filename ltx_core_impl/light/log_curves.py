"""The working spaces of the HDR LoRAs: a log curve together with the primaries that it is defined on (spec 03 §14)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .curves import acescct_compress, acescct_decompress, logc3_compress, logc3_decompress
from .primaries import convert_primaries

# As ltx-core rounds it (spec 03 §14). Files that are read by `spaces.to_code` are not written with it: it differs from
# `primaries.matrix` by 5e-6, which a dark channel beside a bright one shows.
ACESCG_TO_REC709 = torch.tensor(
    [[1.70505, -0.62179, -0.08326], [-0.13026, 1.1408, -0.01055], [-0.024, -0.12897, 1.15297]],
    dtype=torch.float64,
    device="cpu",
)
REC709_TO_ACESCG = torch.linalg.inv(ACESCG_TO_REC709)


@dataclass(frozen=True)
class HdrCurve:
    """A curve and the primaries it is defined on.

    Attributes:
        compress, decompress: linear light in those primaries <-> curve values.
        from_rec709, to_rec709: 3×3 matrices; None for a curve on Rec.709.
    """

    compress: Callable[[Tensor], Tensor]
    decompress: Callable[[Tensor], Tensor]
    from_rec709: Tensor | None = None
    to_rec709: Tensor | None = None

    def to_working_space(self, linear: Tensor) -> Tensor:
        """Linear Rec.709 ``(..., 3)`` -> curve values."""
        if self.from_rec709 is not None:
            linear = convert_primaries(linear, self.from_rec709)
        return self.compress(linear.clamp_min(0))

    def to_linear(self, curve: Tensor) -> Tensor:
        """Curve values ``(..., 3)`` -> linear Rec.709, not below 0."""
        linear = self.decompress(curve)
        if self.to_rec709 is not None:
            linear = convert_primaries(linear, self.to_rec709)
        return linear.clamp_min(0)


LOGC3 = HdrCurve(compress=logc3_compress, decompress=logc3_decompress)
ACESCCT = HdrCurve(
    compress=acescct_compress,
    decompress=acescct_decompress,
    from_rec709=REC709_TO_ACESCG,
    to_rec709=ACESCG_TO_REC709,
)
