"""The transformer of a group of worker processes, as the sampling loops call it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from ..guidance.perturbations import BatchedPerturbationConfig
from ..model.transformer import Modality
from ..model.transformer.forks import Fork
from .workers import WorkerGroup


class RemoteTransformer:
    """Stands in the place of an :class:`X0Model` whose weights other processes hold.

    Attributes:
        group: the processes.
        keyframes_abs_pos_embedding: true where the model has one: what asks for it only asks whether.
    """

    def __init__(self, group: WorkerGroup, has_keyframe_embedding: bool) -> None:
        self.group = group
        self.keyframes_abs_pos_embedding = True if has_keyframe_embedding else None

    @property
    def velocity_model(self) -> RemoteTransformer:
        """What a run asks about the model, and tells it."""
        return self

    @contextmanager
    def keep_text(self) -> Iterator[None]:
        """As :meth:`LTXModel.keep_text`, in all workers."""
        with self.group.run_begins():
            yield

    def __call__(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
        forks: Sequence[Fork] = (),
    ) -> tuple[Tensor | None, Tensor | None]:
        """Denoised latents; arguments, shapes and errors of :meth:`LTXModel.forward`."""
        return self.group.run(video, audio, perturbations, forks)
