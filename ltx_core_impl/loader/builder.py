"""Building a model from files: the one entry point for loading (spec 01 §6.5)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ..operations import SDOps
from .checkpoint import Checkpoint, open_checkpoint
from .config_facts import advice
from .errors import CheckpointError, ConfigError, MissingTensorsError, ShapeMismatchError
from .folders import PathLike, resolve_files
from .key_maps.select import select_key_map
from .leftovers import LeftoverTensorsError, check_leftovers
from .lora_file import LoraFile, LoraPathStrengthAndSDOps, LoraReport, open_lora
from .lora_fusion import LoraFusion
from .materialize import CachedReader, Materializer, SourceReader
from .model_config import config_for
from .module_ops import ModelConfigurator, ModuleOps, complete_config, component_of, create_meta_model
from .plan import KeyRules, LoadPlan, Source, plan_load, plan_sources, require_component, zero_when_absent
from .registry import DummyRegistry, Registry
from .scale_values import check_scale_values
from .state_dict import SafetensorsModelStateDictLoader, StateDict, StateDictLoader, load_state_dict

logger = logging.getLogger(__name__)

_CPU = torch.device("cpu")

Progress = Callable[[int, int], None]
"""Called with (tensors done, tensors in all)."""


@dataclass(frozen=True)
class SingleGPUModelBuilder:
    """A recipe for one model; every method that changes it returns a changed copy.

    Tensors are read by several threads straight to the device, with LoRAs fused and weights cast or quantised there on
    the way, so that loading needs hardly more memory than the finished model. What is cast or quantised for the CPU
    may pass through a GPU.

    Attributes:
        model_class_configurator: builds the model from the config; its ``component`` selects the tensors.
        model_path: a file, several shards, or a folder. The first one's config counts.
        model_sd_ops: how keys are renamed. None, and rules without a matcher such as ``QuantizationPolicy.sd_ops``,
            leave that to the component and the file's layout.
        module_ops: changes to the model before it has weights, such as those of a ``QuantizationPolicy``.
        loras: fused in this order.
        model_loader: reads the tensors for a registry; another one than the default reads them always. It needs memory
            for all of them.
        registry: remembers the tensors as they are in the files, for the next build; needs a whole copy of them.
        lora_load_device: where LoRA matrices are read to first.
    """

    model_class_configurator: ModelConfigurator
    model_path: PathLike | Sequence[PathLike]
    model_sd_ops: SDOps | None = None
    module_ops: tuple[ModuleOps, ...] = ()
    loras: tuple[LoraPathStrengthAndSDOps, ...] = ()
    model_loader: StateDictLoader = field(default_factory=SafetensorsModelStateDictLoader)
    registry: Registry = field(default_factory=DummyRegistry)
    lora_load_device: torch.device = _CPU

    def lora(self, path: PathLike, strength: float = 1.0, sd_ops: SDOps | None = None) -> SingleGPUModelBuilder:
        """Fuse one more LoRA."""
        return replace(self, loras=(*self.loras, LoraPathStrengthAndSDOps(path, strength, sd_ops)))

    def with_loras(self, loras: Sequence[LoraPathStrengthAndSDOps]) -> SingleGPUModelBuilder:
        """Fuse these LoRAs and no others."""
        return replace(self, loras=tuple(loras))

    def with_sd_ops(self, sd_ops: SDOps | None) -> SingleGPUModelBuilder:
        """Rename keys by these rules."""
        return replace(self, model_sd_ops=sd_ops)

    def with_module_ops(self, module_ops: Sequence[ModuleOps]) -> SingleGPUModelBuilder:
        """Change the model by these operations and no others, e.g. ``QuantizationPolicy.fp8_cast().module_ops``."""
        return replace(self, module_ops=tuple(module_ops))

    def with_registry(self, registry: Registry) -> SingleGPUModelBuilder:
        """Remember the files' tensors in this registry."""
        return replace(self, registry=registry)

    def with_lora_load_device(self, device: torch.device | str) -> SingleGPUModelBuilder:
        """Read LoRA matrices to this device first."""
        return replace(self, lora_load_device=torch.device(device))

    def model_config(self) -> dict[str, Any]:
        """The config the model is built from; a preset where the file has none.

        Raises:
            CheckpointError: unreadable file, malformed config, or no config and no known version.
        """
        return config_for(open_checkpoint(self.model_path), component_of(self.model_class_configurator))

    def meta_model(self, config: Mapping[str, Any], module_ops: Sequence[ModuleOps] = ()) -> nn.Module:
        """The model without weights."""
        return create_meta_model(self.model_class_configurator, config, module_ops)

    def load_sd(
        self,
        paths: PathLike | Sequence[PathLike],
        registry: Registry,
        device: torch.device | None,
        sd_ops: KeyRules | None = None,
    ) -> StateDict:
        """All tensors that the rules take: from the registry, else read and remembered there."""
        return load_state_dict(paths, self.model_loader, registry, device, sd_ops)

    def validate(self) -> tuple[LoraReport, ...]:
        """Check files, config, names, shapes and LoRAs from the headers alone; what ``build`` would find, in a second.

        Raises:
            CheckpointError: as ``build``.
        """
        return tuple(self._match_loras(self._plan()).reports)

    def build(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        progress: Progress | None = None,
        report: Callable[[LoraReport], None] | None = None,
        work_device: torch.device | str | None = None,
    ) -> nn.Module:
        """The model with its weights, in eval mode.

        Args:
            device: CUDA where available, else the CPU, when None.
            dtype: dtype of all floating tensors except fp8 weights and their scales; None keeps the file's.
            progress: called after every tensor; an exception it raises ends the build.
            report: called once for each fused LoRA.
            work_device: where weights for the CPU are fused, cast and quantised; CUDA where available when None.

        Raises:
            CheckpointNotFoundError, HeaderError, ConfigError: the files are not what they should be.
            MissingTensorsError, ShapeMismatchError, UnsupportedFormatError: they do not hold this model.
            LoraError: a LoRA does not fit this model.
        """
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        plan = self._plan()
        fusion = self._match_loras(plan)
        for entry in fusion.reports if report else ():
            report(entry)
        modules = dict(plan.model.named_modules())

        work_device = _work_device(device, work_device)
        alone = {step.source.name for step in plan.steps if not step.auxiliary and step.gate is None}

        def keeps(source: Source) -> bool:
            as_stored = dtype in (None, source.stored.dtype) and not self.module_ops
            if device != work_device and source.name not in alone:
                return False  # what is computed with is together on one device
            changed = fusion.changes(source.name.rpartition(".")[0]) or fusion.changes(source.name)
            return device.type == "cpu" and as_stored and not changed

        with ExitStack() as stack:
            reader = stack.enter_context(self._reader(plan, device, work_device, keeps))
            stack.enter_context(fusion)

            def deltas(name: str, delta_dtype: torch.dtype, weight: Callable[[], torch.Tensor]) -> torch.Tensor | None:
                delta = fusion.delta(name, delta_dtype, work_device, self.lora_load_device, weight)
                return None if delta is None else delta.to(reader.device)

            materializer = Materializer(reader, device, dtype, deltas, fusion.changes)
            for done, step in enumerate(plan.steps, start=1):
                materializer.fill(modules[step.module_name], step)
                if progress:
                    progress(done, len(plan.steps))
        _fill_absent(plan.model, dtype or torch.bfloat16, device)
        _require_complete(plan.model)
        return plan.model.to(device).eval()

    def _plan(self) -> LoadPlan:
        checkpoint = open_checkpoint(self.model_path)
        component = component_of(self.model_class_configurator)
        rules: KeyRules | None = self.model_sd_ops
        if self.model_sd_ops is None or not self.model_sd_ops.selects:
            require_component(checkpoint, component)
            rules = select_key_map(component, checkpoint.shapes)
            rules = rules if self.model_sd_ops is None else rules.with_operations(self.model_sd_ops)
        sources = plan_sources(checkpoint, rules)
        shapes = {name: source.stored.shape for name, source in sources.items()}
        stated = config_for(checkpoint, component)
        unpacked = {name: shapes[name] for name, source in sources.items() if source.stored.dtype.is_floating_point}
        try:
            config = complete_config(self.model_class_configurator, stated, shapes)
            model = self.meta_model(config, self.module_ops)
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(
                f"{checkpoint.path}: {error} {advice(checkpoint.config, component, unpacked)}".strip()
            ) from error
        try:
            steps = plan_load(model, checkpoint, sources, component or type(model).__name__)
            if component and not (self.model_sd_ops and self.model_sd_ops.selects):
                companions = getattr(self.model_class_configurator, "leaves_out", ())
                check_leftovers(checkpoint, component, sources, steps, companions)
            check_scale_values(steps)
        except (MissingTensorsError, ShapeMismatchError, LeftoverTensorsError) as error:
            error.args = (
                f"{error}. {advice(checkpoint.config, component, unpacked)}".removesuffix(". "),
                *error.args[1:],
            )
            raise
        return LoadPlan(checkpoint, rules, model, steps)

    def _reader(
        self, plan: LoadPlan, device: torch.device, work_device: torch.device, keeps: Callable[[Source], bool]
    ) -> SourceReader | CachedReader:
        if isinstance(self.registry, DummyRegistry) and type(self.model_loader) is SafetensorsModelStateDictLoader:
            return SourceReader(plan.rules, work_device, keeps, [step.source for step in plan.steps])
        return CachedReader(self.load_sd(resolve_files(self.model_path), self.registry, device, plan.rules), device)

    def _match_loras(self, plan: LoadPlan) -> LoraFusion:
        """LoRAs of strength exactly 0 change nothing and are not even opened."""
        loras = [(open_lora(lora.path, lora.sd_ops), lora.strength) for lora in self.loras if lora.strength != 0]
        tensors = {
            step.module_name if step.leaf == "weight" else step.name: tuple(
                getattr(plan.model.get_submodule(step.module_name), step.leaf).shape
            )
            for step in plan.steps
            if loras
        }
        for lora, _ in loras:
            _warn_of_other_version(lora, plan.checkpoint)
        return LoraFusion(loras, tensors)


def _work_device(device: torch.device, wanted: torch.device | str | None) -> torch.device:
    if device.type != "cpu":
        return device
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else device))


def _warn_of_other_version(lora: LoraFile, checkpoint: Checkpoint) -> None:
    """Versions share many shapes: a LoRA that fits may still be made for another one."""
    if lora.version and checkpoint.version and lora.version != checkpoint.version:
        logger.warning(
            "%s was made for LTX-%s, the model is LTX-%s: it fits, but may not do what it is for",
            lora.path,
            lora.version.value,
            checkpoint.version.value,
        )


def _fill_absent(model: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
    for name in zero_when_absent(model):
        value = model._parameters.get(name)
        if value is not None and value.is_meta:
            zeros = torch.zeros(value.shape, dtype=dtype, device=device)
            model.register_parameter(name, nn.Parameter(zeros, requires_grad=False))


def _require_complete(model: nn.Module) -> None:
    """Nothing may be left without data; a buffer that is in no file must be computed on a real device."""
    left = [name for name, value in (*model.named_parameters(), *model.named_buffers()) if value.is_meta]
    if left:
        raise CheckpointError(f"{len(left)} tensors of the model have no data after loading, first {left[0]}")
