"""The texts of a clip with several shots over ranks: each rank has those that its tokens read, and no others."""

from __future__ import annotations

from torch import Tensor

from ..model.transformer.rows import pick_rows
from ..model.transformer.tensor_cache import TensorCache
from ..model.transformer.text_reading import TextReading


def read_texts(context: Tensor, reading: TextReading, kept: TensorCache) -> tuple[Tensor, TextReading | None]:
    """The rows of ``context`` that a share's tokens read, and the reading that counts them.

    Args:
        context: ``(N, S, D)``, all texts.
        reading: of the share's tokens.
        kept: gives the same tensor in every step, as the whole one is: the model keeps keys and values by it.
    """
    own, texts = reading.renumbered()
    if not texts:  # no token is left here to read one
        return kept.get(context, texts, lambda: context[:1]), None
    if len(texts) == len(context):
        return context, own
    return kept.get(context, ("texts", texts), lambda: pick_rows(context, texts)), own
