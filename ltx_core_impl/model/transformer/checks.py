"""Judging the input of a forward pass before anything is computed."""

from __future__ import annotations

import torch

from .modality import Modality
from .options import StreamOptions


def check_modality(name: str, modality: Modality, stream: StreamOptions) -> None:
    """Raises a ``ValueError`` that says what is wrong with the ``name`` ("video", "audio") modality, if anything is."""
    latent = modality.latent
    if latent.ndim != 3 or latent.shape[-1] != stream.in_channels:
        _fail(name, "latent", latent, f"(B, T, {stream.in_channels}) patchified tokens")
    batch, tokens, _ = latent.shape
    if tokens == 0:
        raise ValueError(f"The {name} modality has no tokens; pass None instead of it.")

    context_width = stream.caption_channels or stream.context_dim
    context = modality.context
    rows = (1, batch) if modality.text_reading is None else (_checked_texts(name, modality),)
    if context.ndim != 3 or context.shape[0] not in rows or context.shape[-1] != context_width:
        _fail(
            name,
            "context",
            context,
            f"({rows[-1]}, S, {context_width}); the text encoder has to be of the same model version as the "
            "transformer",
        )
    if modality.sigma.numel() != 1 and modality.sigma.shape != (batch,):
        _fail(name, "sigma", modality.sigma, f"({batch},), one noise level for every batch row")
    timesteps = modality.timesteps
    if (timesteps.ndim == 3 and timesteps.shape[-1] != 1) or timesteps.ndim not in (2, 3):
        _fail(name, "timesteps", timesteps, f"({batch}, {tokens}, 1)")
    if timesteps.shape[0] not in (1, batch) or timesteps.shape[1] not in (1, tokens):
        _fail(name, "timesteps", timesteps, f"({batch}, {tokens}, 1)")
    axes = len(stream.max_pos)
    positions = modality.positions
    if positions.ndim != 4 or positions.shape[0] not in (1, batch) or positions.shape[1:] != (axes, tokens, 2):
        _fail(name, "positions", positions, f"({batch}, {axes}, {tokens}, 2), [start, end) of every token")
    mask = modality.attention_mask
    if mask is not None and (mask.ndim != 3 or mask.shape[0] not in (1, batch) or mask.shape[-1] != tokens):
        _fail(name, "attention_mask", mask, f"({batch}, {tokens}, {tokens})")
    keyframes = modality.keyframes_mask
    if keyframes is not None and (keyframes.ndim != 3 or keyframes.shape[1:] != (tokens, 1)):
        _fail(name, "keyframes_mask", keyframes, f"({batch}, {tokens}, 1)")


def _checked_texts(name: str, modality: Modality) -> int:
    """How many texts the tokens read."""
    batch, tokens, _ = modality.latent.shape
    reading = modality.text_reading
    if modality.context_mask is not None:
        raise ValueError(f"{name} has a context_mask and a text_reading; give one of them.")
    stops = [[0, *(run.stop for run in runs)] for runs in reading.rows]
    if len(stops) != batch or any(row[-1] != tokens or row != sorted(set(row)) for row in stops):
        raise ValueError(
            f"{name}.text_reading has runs that stop at {[row[1:] for row in stops]}; the model needs them ascending "
            f"up to {tokens} for each of {batch} batch rows."
        )
    return len(reading.first_readers())


def _fail(name: str, field: str, got: torch.Tensor, needed: str) -> None:
    raise ValueError(f"{name}.{field} has shape {tuple(got.shape)}; the model needs {needed}.")
