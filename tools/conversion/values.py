"""What travels on the wires of a graph while it is converted: what became of a model, a prompt, a latent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wire:
    """Output ``slot`` of node ``node`` of the new graph."""

    node: int
    slot: int


@dataclass(frozen=True)
class Guidance:
    """How strongly one stream is guided; the defaults are no guidance at all."""

    cfg: float = 1.0
    stg_scale: float = 0.0
    stg_blocks: str = ""
    rescale: float = 0.0
    modality_scale: float = 1.0
    skip_step: int = 0

    @property
    def is_off(self) -> bool:
        return self.cfg == 1.0 and self.stg_scale == 0.0 and self.modality_scale == 1.0


@dataclass(frozen=True)
class Model:
    """A transformer, and what its patches ask of the guidance."""

    wire: Wire
    stg_scale: float = 0.0
    stg_blocks: str = ""
    modality_scale: float = 1.0


@dataclass(frozen=True)
class Clip:
    """A text encoder, and the inputs of its loader."""

    wire: Wire
    inputs: dict[str, Any] = field(hash=False, compare=False)


@dataclass(frozen=True)
class Vae:
    """The VAEs of a file."""

    video: Wire | None
    audio: Wire | None
    vocoder: Wire | None


@dataclass(frozen=True)
class Prompt:
    """An encoded prompt, and the reference sound that hangs on it."""

    wire: Wire | None
    """None: zeroed out."""
    reference: Wire | None = None


@dataclass(frozen=True)
class Latent:
    """Picture and sound side by side, and the guides that were put into the picture."""

    video: Wire | None = None
    audio: Wire | None = None
    guides: Wire | None = None


@dataclass(frozen=True)
class Guider:
    """Prompts and how they guide."""

    model: Model
    positive: Prompt
    negative: Prompt | None = None
    video: Guidance = Guidance()
    audio: Guidance = Guidance()


@dataclass(frozen=True)
class Solver:
    """The rule of a step."""

    name: str
    eta: float | None = None


@dataclass(frozen=True)
class Picture:
    """Pictures with what is known of them."""

    wire: Wire
    crf: int | None = None
    """How strongly a video encoder is to degrade them before they guide."""
    decoded: tuple[Wire, Wire] | None = None
    """The latent and the VAE that they come from."""


@dataclass(frozen=True)
class Parameters:
    """Guidance by modality."""

    video: Guidance | None = None
    audio: Guidance | None = None
