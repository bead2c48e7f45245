"""Compiled blocks: one graph for all blocks and lengths, no graph breaks, the numbers of the plain model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from ltx_core_impl.model.transformer import Modality
from tests.conftest import assert_close
from tests.transformer_helpers import golden_modalities, load_transformer


def shortened(modality: Modality, dropped: int) -> Modality:
    tokens = modality.latent.shape[1] - dropped
    timesteps = modality.timesteps
    return replace(
        modality,
        latent=modality.latent[:, :tokens].contiguous(),
        timesteps=timesteps if timesteps.shape[1] == 1 else timesteps[:, :tokens].contiguous(),
        positions=modality.positions[:, :, :tokens].contiguous(),
    )


@pytest.mark.parametrize("version", ["2.3"])
@torch.inference_mode()
def test_one_graph_for_all_blocks_and_lengths(version: str) -> None:
    torch._dynamo.reset()
    model, modalities = load_transformer(version), golden_modalities(version)
    cases = [tuple(shortened(modality, dropped) for modality in modalities) for dropped in (0, 2, 3)]
    expected = [model(*case) for case in cases]
    counter, entered = CompileCounter(), []
    model.compile_blocks(backend=counter)
    for block in model.transformer_blocks:  # as block streaming and interrupts do
        block.register_forward_pre_hook(lambda block, _: entered.append(block))
    try:
        for case, wanted in zip(cases, expected, strict=True):
            for actual, plain in zip(model(*case), wanted, strict=True):
                assert_close(actual, plain, tolerance=1e-5)
    finally:
        torch._dynamo.reset()
    assert len(model.transformer_blocks) > 1 and len(entered) == len(cases) * len(model.transformer_blocks)
    assert counter.frame_count == 1  # fullgraph makes a graph break an error
