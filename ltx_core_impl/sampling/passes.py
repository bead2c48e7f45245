"""Running guidance passes through the model with as little work as possible (spec 06 §10, 01 §10.3).

A pass is one way to ask the model (positive prompt, negative prompt, ...). Passes of all samples form the rows of a
batch. A perturbed pass is requested as a fork of the conditional row, so that the blocks before its first perturbed
one run once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..guidance.perturbations import BatchedPerturbationConfig, PerturbationConfig
from ..model.transformer.modality import Modality, TokenGroups
from ..model.transformer.rows import pick_rows
from ..model.transformer.text_reading import TextReading
from ..types import LatentState
from .timed_text import Text, TimedText, lay_out_texts

Result = TypeVar("Result")
Transformer = Callable[..., tuple[Tensor | None, Tensor | None]]
"""An X0 model: ``(video=, audio=, perturbations=, forks=) -> denoised tokens`` of each modality."""


@dataclass(frozen=True, eq=False)
class GuidancePass:
    """One pass over all samples.

    Attributes:
        name: "cond", "uncond", "ptb" or "mod".
        video_context, audio_context: text contexts ``(B or 1, S, D)``, or those of several shots; None for an absent
            modality.
        perturbation: what the pass skips.
        forks_from: name of the pass that shares its inputs and its work before the perturbation.
    """

    name: str
    video_context: Text | None
    audio_context: Text | None
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig.empty)
    forks_from: str | None = None


@dataclass(frozen=True, eq=False)
class StreamInput:
    """One modality at one step: its state, the schedule's sigma and whether its tokens are updated."""

    state: LatentState
    sigma: float
    enabled: bool = True


class Row(NamedTuple):
    """One sample of one pass."""

    pass_name: str
    sample: int


class ForwardCall(NamedTuple):
    """One call of the model: batch rows, and forks as (index of the batch row, forked row)."""

    rows: tuple[Row, ...]
    forks: tuple[tuple[int, Row], ...]


def plan_calls(passes: Sequence[GuidancePass], batch: int, max_batch_size: int | None) -> list[ForwardCall]:
    """Distribute the rows of ``passes`` over model calls of at most ``max_batch_size`` rows, forks included.

    Rows keep the order of the passes. A limit of 1 cannot fork: every row then runs by itself.

    Raises:
        ValueError: for a limit below 1.
    """
    if max_batch_size is not None and max_batch_size < 1:
        raise ValueError(f"max_batch_size must be at least 1; got {max_batch_size}.")
    limit = max_batch_size or len(passes) * batch
    can_fork = limit > 1
    forks = {one.forks_from: one.name for one in passes if can_fork and one.forks_from is not None}
    units = [
        (Row(one.name, sample), Row(forks[one.name], sample) if one.name in forks else None)
        for one in passes
        if not (can_fork and one.forks_from is not None)
        for sample in range(batch)
    ]
    calls: list[ForwardCall] = []
    rows: list[Row] = []
    forked: list[tuple[int, Row]] = []
    for row, fork in units:
        needed = 1 if fork is None else 2
        if rows and len(rows) + len(forked) + needed > limit:
            calls.append(ForwardCall(tuple(rows), tuple(forked)))
            rows, forked = [], []
        if fork is not None:
            forked.append((len(rows), fork))
        rows.append(row)
    return [*calls, ForwardCall(tuple(rows), tuple(forked))]


class PassRunner:
    """Runs passes for one denoising run and keeps what does not change between its steps.

    Positions, contexts and masks are laid out as batch rows once; later steps get the same tensor objects, so that
    the model's own tables (rotary embeddings) stay valid. Which tokens share a noise level is found once as well.
    """

    def __init__(self, max_batch_size: int | None = None) -> None:
        self.max_batch_size = max_batch_size
        self._cache: dict[tuple, tuple[tuple[Tensor, ...], Any]] = {}

    def run(
        self,
        transformer: Transformer,
        passes: Sequence[GuidancePass],
        video: StreamInput | None,
        audio: StreamInput | None,
    ) -> dict[str, tuple[Tensor | None, Tensor | None]]:
        """Denoised video and audio tokens ``(B, N, D)`` of every pass, by name."""
        stream = video if video is not None else audio
        batch = stream.state.latent.shape[0]
        by_name = {one.name: one for one in passes}
        outputs: dict[Row, tuple[Tensor | None, Tensor | None]] = {}
        for call in plan_calls(passes, batch=batch, max_batch_size=self.max_batch_size):
            result = self._forward(transformer, call, by_name, video, audio)
            produced = (*call.rows, *(row for _, row in call.forks))
            for index, row in enumerate(produced):
                outputs[row] = tuple(None if one is None else one[index : index + 1] for one in result)
        return {
            name: tuple(_join([outputs[Row(name, sample)][stream] for sample in range(batch)]) for stream in (0, 1))
            for name in by_name
        }

    def _forward(
        self,
        transformer: Transformer,
        call: ForwardCall,
        passes: dict[str, GuidancePass],
        video: StreamInput | None,
        audio: StreamInput | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        configs = [passes[row.pass_name].perturbation for row in call.rows]
        perturbed = any(config.perturbations for config in configs)
        return transformer(
            video=self._modality(video, call.rows, "video", [passes[row.pass_name].video_context for row in call.rows]),
            audio=self._modality(audio, call.rows, "audio", [passes[row.pass_name].audio_context for row in call.rows]),
            perturbations=BatchedPerturbationConfig(configs) if perturbed else None,
            forks=[(index, passes[row.pass_name].perturbation) for index, row in call.forks],
        )

    def _modality(
        self, stream: StreamInput | None, rows: tuple[Row, ...], name: str, contexts: list[Text | None]
    ) -> Modality | None:
        if stream is None:
            return None
        state, samples = stream.state, tuple(row.sample for row in rows)
        sigma = 0.0 if state.frozen else stream.sigma

        def fixed(field: str, tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            # Counted before it is spread over the rows: a copy would write each of them out.
            base = self._cached((name, field), (tensor,), lambda: counted(tensor))
            return self._cached((name, field, samples), (tensor,), lambda: counted(_take_rows(base, samples)))

        mask = fixed("denoise_mask", state.denoise_mask)
        context, reading = self._texts(name, rows, contexts, state.positions)
        return Modality(
            latent=_take_rows(state.latent, samples),
            sigma=torch.full((len(rows),), sigma, device=state.latent.device, dtype=torch.float32),
            timesteps=mask * sigma,
            positions=self._positions(name, state.positions, samples),
            context=context,
            enabled=stream.enabled,
            attention_mask=fixed("attention_mask", state.attention_mask),
            keyframes_mask=fixed("keyframes_mask", state.keyframes_mask),
            timestep_groups=self._groups(name, state.denoise_mask, mask, samples),
            text_reading=reading,
        )

    def _texts(
        self, name: str, rows: tuple[Row, ...], contexts: list[Text], positions: Tensor
    ) -> tuple[Tensor, TextReading | None]:
        """The text rows of a call, and who reads them where that is not the row of the same number."""
        samples = tuple(row.sample for row in rows)
        reading, sources = None, tuple(contexts)
        if any(isinstance(context, TimedText) for context in contexts):
            sources = (positions, *sources)
            contexts, reading = self._cached(
                (name, "reading", rows), sources, lambda: lay_out_texts(contexts, samples, positions)
            )
        if reading is not None:
            samples = (0,) * len(contexts)
        context = self._cached((name, "context", rows), sources, lambda: counted(_context_rows(contexts, samples)))
        return context, reading

    def _groups(self, name: str, given: Tensor, mask: Tensor, samples: tuple[int, ...]) -> TokenGroups:
        """Which tokens of the rows share a level. Of a single sample it is found once, however many rows it has."""
        if given.shape[0] > 1:
            return self._cached((name, "groups", samples), (mask,), lambda: TokenGroups.of(mask.flatten(1)))
        one = self._cached((name, "groups"), (given,), lambda: TokenGroups.of(given.flatten(1)))
        if one.index is None:
            return one
        return self._cached(
            (name, "groups", samples),
            (one,),
            lambda: TokenGroups(one.first, one.index.expand(len(samples), -1).contiguous()),
        )

    def _positions(self, name: str, positions: Tensor, samples: tuple[int, ...]) -> Tensor:
        """``(rows or 1, axes, N, 2)``: one row, the same object in all calls, where all samples have the same."""
        row = self._cached((name, "shared positions"), (positions,), lambda: _shared_row(positions))
        if row is not None:
            return row
        return self._cached((name, "positions", samples), (positions,), lambda: counted(_take_rows(positions, samples)))

    def _cached(self, key: tuple, sources: tuple[Any, ...], build: Callable[[], Result]) -> Result:
        """What was built before under ``key``, unless one of its sources is another object now."""
        entry = self._cache.get(key)
        if entry is None or any(old is not new for old, new in zip(entry[0], sources, strict=True)):
            entry = self._cache[key] = (sources, build())
        return entry[1]


def _take_rows(tensor: Tensor, samples: Sequence[int]) -> Tensor:
    """Rows of a batch; the tensor itself or a view of it where possible."""
    batch = tensor.shape[0]
    if tuple(samples) == tuple(range(batch)):
        return tensor
    if batch == 1:
        return tensor.expand(len(samples), *tensor.shape[1:])
    return pick_rows(tensor, samples)


def _shared_row(tensor: Tensor) -> Tensor | None:
    """The first row if all others equal it, else ``None``. Waits for the device: asked once per run."""
    row = tensor[:1]
    shared = tensor.shape[0] == 1 or tensor.stride(0) == 0 or bool((tensor == row).all())
    return counted(tensor if len(tensor) == 1 else row) if shared else None


def counted(tensor: Tensor) -> Tensor:
    """A tensor with a version counter, which those made in inference mode lack.

    The model keeps what it makes of positions and texts. Without a counter it would compare their values in every
    step, and wait for the device to do so.
    """
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False), torch.no_grad():
        return tensor.clone()


def _context_rows(contexts: Sequence[Tensor], samples: Sequence[int]) -> Tensor:
    """The context of each row, ``(rows, S, D)``; a context of one sample serves every sample."""
    first = contexts[0]
    if all(context is first for context in contexts):
        return _take_rows(first, samples if first.shape[0] > 1 else [0] * len(samples))
    rows = [
        context if context.shape[0] == 1 else context[sample : sample + 1]
        for context, sample in zip(contexts, samples, strict=True)
    ]
    return torch.cat(rows)


def _join(samples: list[Tensor | None]) -> Tensor | None:
    """One batch from the outputs of single samples; all are None for an absent modality."""
    if samples[0] is None:
        return None
    return samples[0] if len(samples) == 1 else torch.cat(samples)
