"""What travels on the wires: frozen descriptions of components. Weights are read on first use by `host`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...ltx_core_impl import conditioning, sampling


@dataclass(frozen=True)
class FileRef:
    """A file as it was when it was chosen: an edited file is another file."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> FileRef:
        """Describe the file (or folder) at ``path``."""
        stat = os.stat(path)
        return cls(path=str(path), size=stat.st_size, mtime_ns=stat.st_mtime_ns)

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class LoraRef:
    """A LoRA file and the strength of its delta."""

    file: FileRef
    strength: float


@dataclass(frozen=True)
class ComponentHandle:
    """One component of a checkpoint.

    ``component`` is the loader's name for it ("transformer", "video_vae", ...), ``version`` the model version that the
    header tells ("2.0", "2.3", ...), ``config`` the architecture JSON (text, so that handles compare by value),
    ``versions`` all model versions that the file may belong to (a convolutional VAE fits two), ``device`` where it
    computes ("cuda:1", "cpu"; "default" is ComfyUI's choice). ``float32`` computes in 32 bit, for HDR:
    pictures enter it unrounded.
    """

    component: str
    file: FileRef
    version: str
    config: str = field(repr=False)
    versions: tuple[str, ...] = ()
    device: str = "default"
    float32: bool = False


@dataclass(frozen=True)
class Parallel:
    """Worker processes: ``ranks`` of them share out "passes", "tokens" or both ("auto"); ``shard``: weights too."""

    ranks: int
    split: str
    shard: bool


@dataclass(frozen=True)
class ModelHandle(ComponentHandle):
    """The transformer with everything that decides its weights and where they are.

    ``compiles`` compiles its blocks at first use; ``parallel`` says which worker processes run it, None for this one.
    """

    precision: str = "auto"
    calibration: FileRef | None = None
    loras: tuple[LoraRef, ...] = ()
    compiles: bool = False
    parallel: Parallel | None = None

    def with_lora(self, lora: LoraRef) -> ModelHandle:
        """A copy with one more LoRA."""
        return replace(self, loras=(*self.loras, lora))


@dataclass(frozen=True)
class TextEncoderHandle:
    """A Gemma (folder or file) together with the checkpoint's projection and connectors.

    Where these lie in several files, ``projection`` is of the first, which describes the model. ``loras`` change Gemma.
    """

    gemma: FileRef
    projection: ComponentHandle
    more: tuple[FileRef, ...] = ()
    loras: tuple[LoraRef, ...] = ()
    device: str = "default"

    @property
    def projection_paths(self) -> tuple[str, ...]:
        """All files of the projection and the connectors."""
        return (self.projection.file.path, *(file.path for file in self.more))


@dataclass(frozen=True)
class PromptWriterHandle:
    """A Gemma 4 (folder or file) that only writes prompts: it lies on the wire of a text encoder, and encodes none."""

    gemma: FileRef
    device: str = "default"


@dataclass(frozen=True)
class MissingComponent:
    """Stands on a wire for a component that the chosen file does not hold; using it is the error, not loading."""

    component: str
    file: FileRef


@dataclass(frozen=True, eq=False)
class Context:
    """An encoded prompt: video ``(B, T, Dv)`` and audio ``(B, T, Da)``, and the model version that it was made for.

    With ``shots`` it is several prompts, one after another along T, each for the frames of its shot.
    """

    video: Tensor
    audio: Tensor
    version: str
    prompt: str = ""
    shots: sampling.Shots | None = None


@dataclass(frozen=True)
class Guidance:
    """Guidance of one modality; the fields are those of the multi-modal guider (spec 06 §8.1)."""

    cfg_scale: float = 1.0
    stg_scale: float = 0.0
    stg_blocks: tuple[int, ...] | None = ()
    rescale_scale: float = 0.0
    modality_scale: float = 1.0
    skip_step: int = 0
    cfg_rule: str = "cfg"
    apg_eta: float = 1.0
    apg_norm_threshold: float = 0.0

    @property
    def needs_negative(self) -> bool:
        """A negative prompt is used."""
        return self.cfg_scale != 1.0


@dataclass(frozen=True)
class GuidanceSchedule:
    """Guidance of one modality by noise level: (upper sigma, guidance), highest first."""

    ranges: tuple[tuple[float, Guidance], ...]

    @property
    def needs_negative(self) -> bool:
        """A negative prompt is used somewhere."""
        return any(guidance.needs_negative for _, guidance in self.ranges)


@dataclass(frozen=True)
class PerturbationChoice:
    """What the perturbed pass skips: a kind of attention in some blocks (None: in all)."""

    kind: str
    blocks: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Guider:
    """Contexts and guidance of both modalities, as the sampler takes them."""

    positive: Context
    negative: Context | None = None
    video: Guidance | GuidanceSchedule = Guidance()
    audio: Guidance | GuidanceSchedule = Guidance()
    perturbations: tuple[PerturbationChoice, ...] = ()


@dataclass(frozen=True, eq=False)
class Guides:
    """Conditioning of a run: items of the library for each stream, applied in this order."""

    video: tuple[conditioning.ConditioningItem, ...] = ()
    audio: tuple[conditioning.ConditioningItem, ...] = ()

    def with_video(self, *items: conditioning.ConditioningItem) -> Guides:
        """A copy with more items for the picture."""
        return replace(self, video=(*self.video, *items))

    def with_audio(self, *items: conditioning.ConditioningItem) -> Guides:
        """A copy with more items for the sound."""
        return replace(self, audio=(*self.audio, *items))


@dataclass(frozen=True, eq=False)
class Segments:
    """Encoded prompts for the windows of a long clip, in order."""

    contexts: tuple[Context, ...]


@dataclass(frozen=True)
class TiledFusion:
    """Tiles in space and time for canvases far beyond the model's: ``width``, ``height`` and ``frames`` of a tile in
    pixels (frames 0: the whole clip), the share that neighbours have in common, and the number of grids that take
    turns."""

    width: int
    height: int
    frames: int
    overlap: float
    grid_cycle: int


@dataclass(frozen=True, eq=False)
class Windows:
    """How a clip is divided for the sampler.

    ``length`` and ``overlap`` of the windows in pixel frames (length 0: one window for the whole clip); tiles in
    ``columns`` and ``rows`` that overlap by ``tile_overlap`` pixels, or ``fusion``; ``segments`` prompt the windows.
    """

    length: int = 0
    overlap: int = 0
    overlap_strength: float = 1.0
    drift_control: float = 0.0
    segments: tuple[Context, ...] = ()
    columns: int = 1
    rows: int = 1
    tile_overlap: int = 0
    fusion: TiledFusion | None = None


@dataclass(frozen=True, eq=False)
class Corrections:
    """Corrections of the predictions of chosen steps, for each modality, applied in this order."""

    video: tuple[sampling.Correction, ...] = ()
    audio: tuple[sampling.Correction, ...] = ()

    def with_one(self, modality: str, correction: sampling.Correction) -> Corrections:
        """A copy with one more correction of "video" or "audio"."""
        return replace(self, **{modality: (*getattr(self, modality), correction)})


@dataclass(frozen=True, eq=False)
class Mel:
    """A log-mel spectrogram ``(B, 2, T, mel_bins)`` and the sampling rate of the sound it describes, in Hz.

    ``version`` is the model version that made it, where that is certain.
    """

    spectrogram: Tensor
    sampling_rate: int
    version: str | None = None


def describe(value: Any) -> str:
    """A short name for whatever arrived on a wire, for messages."""
    if isinstance(value, (ComponentHandle, MissingComponent)):
        return f"the {value.component.replace('_', ' ')} of {value.file.name}"
    if isinstance(value, PromptWriterHandle):
        return f"the prompt writer {value.gemma.name}"
    if value is None:
        return "nothing"
    if isinstance(value, dict) and "samples" in value:
        return f"a latent of shape {tuple(value['samples'].shape)}"
    return type(value).__name__
