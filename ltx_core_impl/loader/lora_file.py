"""LoRA files: what they change, read from the header; the matrices follow lazily, pair by pair (spec 01 §7)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..quantization.formats import FP8_DTYPES
from .checkpoint import Checkpoint, open_checkpoint
from .errors import LoraError
from .folders import PathLike
from .key_maps.lora_names import ModuleNames, split_lora_key
from .sd_ops import SDOps
from .tensor_file import TensorFile
from .version import ModelVersion, version_from_metadata

logger = logging.getLogger(__name__)


class LoraPathStrengthAndSDOps(NamedTuple):
    """A LoRA to be fused: file, strength, and the renaming of its keys (None: every known dialect is understood)."""

    path: PathLike
    strength: float = 1.0
    sd_ops: SDOps | None = None


class LoraPair(NamedTuple):
    """The keys of one change ``ΔW = strength · alpha/r · (up @ down)`` in its file."""

    down: str
    up: str
    alpha: str | None


@dataclass(frozen=True)
class LoraReport:
    """Which modules a LoRA changes, and which of its keys have no counterpart in the model."""

    path: str
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]


@dataclass(frozen=True)
class LoraFile:
    """A LoRA by its header: complete pairs by the module name the file uses, and the keys that belong to none."""

    checkpoint: Checkpoint
    pairs: Mapping[str, LoraPair]
    unused: tuple[str, ...]

    @property
    def path(self) -> str:
        return str(self.checkpoint.path)

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.checkpoint.headers[0].metadata

    @property
    def version(self) -> ModelVersion | None:
        """The model version the file says it is for, None when it does not say."""
        return version_from_metadata(self.metadata.get("model_version"))

    @property
    def reference_downscale_factor(self) -> float:
        """How much smaller than the output the reference video of an IC-LoRA is; 1 when the file does not say.

        Raises:
            LoraError: not a number >= 1.
        """
        return self._factor("reference_downscale_factor")

    @property
    def reference_spatial_scale_factor(self) -> float:
        """As ``reference_downscale_factor``, under the name newer IC-LoRAs use."""
        return self._factor("reference_spatial_scale_factor")

    @property
    def reference_temporal_scale_factor(self) -> float:
        """How much sparser in time the reference video of an IC-LoRA is; 1 when the file does not say."""
        return self._factor("reference_temporal_scale_factor")

    @property
    def hdr_transform(self) -> str | None:
        """``"logc3"`` for an HDR LoRA, None otherwise."""
        value = self.metadata.get("hdr_transform") or self.metadata.get("use_hdr_transform")
        return "logc3" if value in ("true", "True") else value

    def _factor(self, key: str) -> float:
        text = self.metadata.get(key, "1")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 1):
            raise LoraError(f"{self.path} has {key} {text!r}; a number >= 1 is needed")
        return value

    def shapes_of(self, pair: LoraPair) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of down ``(r, in)`` and up ``(out, r)``."""
        return self.checkpoint.shapes[pair.down], self.checkpoint.shapes[pair.up]


def open_lora(path: PathLike, sd_ops: SDOps | None = None) -> LoraFile:
    """Read what a LoRA file changes, without its matrices.

    Raises:
        CheckpointError: unreadable file.
        LoraError: no pair of LoRA matrices in it, or a kind of adapter that would be wrong if half applied (DoRA).
    """
    checkpoint = open_checkpoint(path)
    parts: dict[str, dict[str, str]] = {}
    unused = []
    for key in checkpoint.shapes:
        name = key if sd_ops is None else sd_ops.apply_to_key(key)
        split = None if name is None else split_lora_key(name)
        if split is None:
            unused.append(key)
        else:
            parts.setdefault(split.module, {})[split.role] = key
    _refuse_other_adapters(checkpoint, unused)
    pairs = {
        module: LoraPair(found["down"], found["up"], found.get("alpha"))
        for module, found in parts.items()
        if "down" in found and "up" in found
    }
    unused += [key for module, found in parts.items() if module not in pairs for key in found.values()]
    if not pairs:
        raise LoraError(
            f"{checkpoint.path} has no LoRA matrices (lora_A/lora_B or lora_down/lora_up), first key "
            f"{next(iter(checkpoint.shapes))!r}; choose a LoRA file"
        )
    return LoraFile(checkpoint, pairs, tuple(unused))


_OTHER_ADAPTERS = {
    ".dora_scale": "a DoRA",
    ".lora_mid.weight": "a LoRA with three matrices per layer",
    ".lokr_w": "a LoKr",
    ".hada_w": "a LoHa",
    ".oft_": "an OFT",
    ".a1.weight": "a GLoRA",
}


def _refuse_other_adapters(checkpoint: Checkpoint, keys: Iterable[str]) -> None:
    """Adapters whose change is no product of two matrices: half applied, they would do something else."""
    for key in keys:
        kind = next((kind for part, kind in _OTHER_ADAPTERS.items() if part in key), None)
        if kind is not None:
            raise LoraError(f"{checkpoint.path} is {kind} ({key}), which is not supported; use a plain LoRA")


class LoraFusion:
    """LoRAs matched to one model; gives each weight's summed change when it is asked for.

    A context manager: the files stay open while weights are fused.
    """

    def __init__(self, loras: list[tuple[LoraFile, float]], modules: Mapping[str, tuple[int, ...]]) -> None:
        """Match every LoRA against the model.

        Args:
            loras: opened files with their strengths.
            modules: shape ``(out, in)`` of every weight that may be changed, by module name.

        Raises:
            LoraError: a LoRA that changes nothing of this model, or whose shapes do not fit.
        """
        names = ModuleNames(modules)
        self.reports: list[LoraReport] = []
        self._by_module: dict[str, list[tuple[int, LoraPair]]] = {}
        self._strengths = [strength for _, strength in loras]
        self._headers = [lora.checkpoint.headers[0] for lora, _ in loras]
        self._files: list[TensorFile] = []
        for index, (lora, _) in enumerate(loras):
            matched = {name: pair for key, pair in lora.pairs.items() if (name := names.find(key))}
            for name, pair in matched.items():
                _check_shapes(lora, name, pair, modules[name])
                self._by_module.setdefault(name, []).append((index, pair))
            self.reports.append(_report(lora, matched))

    def changes(self, module: str) -> bool:
        """Whether any LoRA changes this module's weight."""
        return module in self._by_module

    def __enter__(self) -> LoraFusion:
        self._files = [TensorFile(header).__enter__() for header in self._headers]
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.__exit__(None, None, None)
        self._files = []

    def delta(
        self, module: str, dtype: torch.dtype, device: torch.device, load_device: torch.device
    ) -> torch.Tensor | None:
        """Sum of all changes ``(out, in)`` of a module's weight in ``dtype`` on ``device``; None when there is none.

        The matrices are read on ``load_device`` first.
        """
        products = []
        for index, pair in self._by_module.get(module, ()):
            file = self._files[index]
            down, up = (file.read_copy(key, load_device).to(device) for key in (pair.down, pair.up))
            strength = self._strengths[index]
            if pair.alpha is not None:
                strength = strength * file.read(pair.alpha).float().item() / down.shape[0]
            products.append(lora_product(down, up, strength).to(dtype))
        if not products:
            return None
        return products[0] if len(products) == 1 else torch.stack(products).sum(dim=0)


def lora_product(down: torch.Tensor, up: torch.Tensor, strength: float) -> torch.Tensor:
    """``(up · strength) @ down`` in the dtype of the matrices; fp8 ones are cast to bf16 first.

    The strength multiplies *before* the product and is rounded to that dtype, as the reference does (spec 01 §7.2).
    """
    down, up = (m.to(torch.bfloat16) if m.dtype in FP8_DTYPES else m for m in (down, up))
    dtype = torch.promote_types(down.dtype, up.dtype)
    return torch.matmul(up.to(dtype) * strength, down.to(dtype))


def _check_shapes(lora: LoraFile, name: str, pair: LoraPair, shape: tuple[int, ...]) -> None:
    down, up = lora.shapes_of(pair)
    if len(down) == len(up) == len(shape) == 2 and up[1] == down[0] and (up[0], down[1]) == tuple(shape):
        return
    raise LoraError(
        f"{lora.path} does not fit this model: for {name} it has matrices {up} and {down}, which change a weight of "
        f"shape {(*up[:1], *down[1:])}, the model's is {tuple(shape)}; it was made for another model version"
    )


def _report(lora: LoraFile, matched: Mapping[str, LoraPair]) -> LoraReport:
    used = {key for pair in matched.values() for key in pair if key}
    unmatched = tuple(key for key in lora.checkpoint.shapes if key not in used)
    if not matched:
        raise LoraError(
            f"{lora.path} changes nothing of this model: none of its {len(lora.pairs)} layers is in it, first "
            f"{next(iter(lora.pairs))!r}; it was made for another model or component"
        )
    for key in unmatched:
        logger.debug("%s: lora key not used: %s", lora.path, key)
    if unmatched:
        logger.warning("%s: %d keys not used by this model, first %s", lora.path, len(unmatched), unmatched[0])
    return LoraReport(lora.path, tuple(matched), unmatched)
