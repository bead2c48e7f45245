"""A transformer described by plain values, so that another process can build it."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.transformer import LTXModelConfigurator, LTXVideoOnlyModelConfigurator
from ..quantization import QuantizationPolicy
from .builder import SingleGPUModelBuilder


@dataclass(frozen=True)
class TransformerRecipe:
    """Files and precision of a transformer.

    Attributes:
        path: its file.
        has_audio: whether it has a sound stream.
        precision: "auto" keeps what the file has; "bf16", "fp8_cast", "fp8_scaled_mm".
        calibration: amax file of "fp8_scaled_mm", ``None`` for dynamic scales.
        loras: path and strength of each.
        attention: back-end by name, ``None`` for the default.
    """

    path: str
    has_audio: bool = True
    precision: str = "auto"
    calibration: str | None = None
    loras: tuple[tuple[str, float], ...] = ()
    attention: str | None = None

    def builder(self) -> SingleGPUModelBuilder:
        """How it is built, LoRAs and quantisation included."""
        policy = {
            "bf16": QuantizationPolicy.dequantize,
            "fp8_cast": QuantizationPolicy.fp8_cast,
            "fp8_scaled_mm": lambda: QuantizationPolicy.fp8_scaled_mm(self.calibration),
        }.get(self.precision)
        builder = SingleGPUModelBuilder(
            model_class_configurator=LTXModelConfigurator if self.has_audio else LTXVideoOnlyModelConfigurator,
            model_path=self.path,
            module_ops=policy().module_ops if policy else (),
        )
        for path, strength in self.loras:
            builder = builder.lora(path, strength=strength)
        return builder
