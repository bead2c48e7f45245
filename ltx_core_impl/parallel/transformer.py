"""The transformer over ranks, as the sampling loops call it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..guidance.perturbations import BatchedPerturbationConfig
from ..model.transformer import LTXModel, Modality, X0Model
from ..model.transformer.forks import Fork
from .ranks import Ranks
from .rows import RowSplit, join_rows, plan_rows
from .tokens import split_tokens

SPLITS = ("auto", "passes", "tokens")


class ParallelTransformer:
    """Stands in the place of an :class:`X0Model`: every rank calls it with the same input and gets the whole result.

    Args:
        model: this rank's copy of the model, or its shard of the weights.
        ranks: who takes part.
        split: "tokens" shares out the tokens of every row; "passes" the rows (guidance passes and samples), where a
            rank may be left with nothing to do; "auto" the rows as far as that comes out even, and the tokens of a row
            over the ranks that have the same one.

    Raises:
        ValueError: no such split.
    """

    def __init__(self, model: X0Model, ranks: Ranks, split: str = "auto") -> None:
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}; choose one of {', '.join(SPLITS)}.")
        self.model, self.ranks, self.split = model, ranks, split
        self._rows = RowSplit()

    @property
    def velocity_model(self) -> LTXModel:
        """This rank's model."""
        return self.model.velocity_model

    @property
    def num_blocks(self) -> int:
        """Number of transformer blocks."""
        return self.model.num_blocks

    def clear_caches(self) -> None:
        """Drops what is kept between passes."""
        self._rows.clear()
        self.velocity_model.clear_caches()

    def ways(self, rows: int) -> int:
        """Over how many ranks ``rows`` rows go; the other ranks share the tokens of each."""
        size = self.ranks.size
        if self.split == "tokens":
            return 1
        if self.split == "passes":
            return size
        return max(ways for ways in self.ranks.layouts if rows % ways == 0)

    def __call__(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None = None,
        forks: Sequence[Fork] = (),
    ) -> tuple[Tensor | None, Tensor | None]:
        """Denoised latents; arguments, shapes and errors of :meth:`LTXModel.forward`."""
        stream = audio if video is None else video
        batch = 1 if stream is None else stream.latent.shape[0]  # the model refuses a pass without streams
        ways = self.ways(batch + len(forks))
        layout = self.ranks.layouts[ways]
        split_tokens(self.velocity_model, layout.tokens)
        if ways == 1:
            return self.model(video, audio, perturbations, forks)
        plan = plan_rows(batch, perturbations, forks, ways)
        own = plan.shares[layout.passes.rank]
        results = self.model(
            self._rows.take(video, own.sources),
            self._rows.take(audio, own.sources),
            BatchedPerturbationConfig(list(own.perturbations)),
            own.forks,
        )
        return tuple(join_rows(result, plan, own, layout.passes) for result in results)
