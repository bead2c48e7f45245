"""Tensors of a component that its config leaves unused: they are named, since without them it is another model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .checkpoint import Checkpoint
from .errors import CheckpointError
from .key_maps.select import select_key_map
from .plan import Source, Step

_SHOWN = 3
_MARKER = "scaled_fp8"
"""Of ComfyUI's older scaled files: says that there are scales, and is no part of the model."""

UNUSED_STATISTICS = (
    "per_channel_statistics.channel",
    "per_channel_statistics.mean-of-stds",
    "per_channel_statistics.mean-of-stds_over_std-of-means",
)
"""Written by the training code beside the two statistics that are used (spec 01 §2.5)."""


class LeftoverTensorsError(CheckpointError):
    """A component has tensors that its config leaves unused; ``keys`` names them as they are in the file."""

    def __init__(self, message: str, component: str, keys: Iterable[str]) -> None:
        super().__init__(message)
        self.component = component
        self.keys = tuple(keys)


def check_leftovers(
    checkpoint: Checkpoint,
    component: str,
    sources: Mapping[str, Source],
    steps: Iterable[Step],
    companions: tuple[str, ...] = (),
) -> None:
    """Refuse tensors of ``component`` that nothing of the model is read from.

    Args:
        companions: parts of the names of tensors that the model is right to leave out.

    Raises:
        LeftoverTensorsError: names component, file and the first of the tensors.
    """
    used = {source.key for step in steps for source in (step.source, *step.auxiliary.values(), step.gate) if source}
    left = [
        source.key
        for name, source in sources.items()
        if source.key not in used
        and name not in (_MARKER, *UNUSED_STATISTICS)
        and not any(part in name for part in companions)
    ]
    left = sorted(set(left) - _of_others(checkpoint, component, left))
    if left:
        listed = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
        raise LeftoverTensorsError(
            f"{checkpoint.path}: {len(left)} tensors of the {component} are of no use to the model that the config "
            f"describes: {listed}. Config and tensors are of different models; use the file as published",
            component,
            left,
        )


def _of_others(checkpoint: Checkpoint, component: str, keys: list[str]) -> set[str]:
    """Keys that another component of the same file takes by a prefix of its own."""
    taken: set[str] = set()
    for other in checkpoint.components:
        if other in (component, "text_encoder"):
            continue
        rules = select_key_map(other, checkpoint.shapes)
        if any(prefix == "" for prefix, _ in rules.prefixes):
            continue
        taken.update(key for key in keys if rules.apply_to_key(key) is not None)
    return taken
