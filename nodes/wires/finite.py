"""Results that are no numbers are said by the node that made them, not by the last one of the graph."""

from __future__ import annotations

from torch import Tensor

from .checks import InputError

USUAL_CAUSES = (
    "Usually that is a damaged model file (compare its size or hash with the published one), a precision of fp8 in "
    "which a layer overflows (choose bf16), or a LoRA whose strength is far too high."
)


def require_finite(values: Tensor, name: str, advice: str = USUAL_CAUSES) -> Tensor:
    """The values themselves. Raises `InputError` when one of them is infinite or not a number."""
    if not values.isfinite().all():
        wrong = 1 - values.isfinite().float().mean().item()
        raise InputError(f"{name} holds values that are infinite or not a number ({wrong:.1%} of them). {advice}")
    return values
