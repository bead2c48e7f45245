"""Low-rank updates of the demo model: what a LoRA file stores, as modules to train."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .diffusion import DiffusionModel
from .training import load_trained

RANK = 16


class LowRank(nn.Module):
    """``W + B A``, the update a LoRA file stores."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_low_rank(model: DiffusionModel, rank: int = RANK) -> dict[str, LowRank]:
    """Freeze a model and add low-rank updates to every linear layer of its blocks; by module name."""
    model.requires_grad_(False)
    updates = {}
    for name, module in list(model.transformer.transformer_blocks.named_modules()):
        if isinstance(module, nn.Linear) and min(module.weight.shape) >= rank:
            updates[f"transformer_blocks.{name}"] = update = LowRank(module.weight, rank)
            parametrize.register_parametrization(module, "weight", update)
    return updates


def lora_state(state: Path) -> dict[str, Tensor]:
    """The update of a training state under the names of a published LoRA."""
    model = DiffusionModel()
    updates = add_low_rank(model)
    load_trained(state, model)
    tensors = {}
    for name, update in updates.items():
        tensors[f"diffusion_model.{name}.lora_A.weight"] = update.down
        tensors[f"diffusion_model.{name}.lora_B.weight"] = update.up
    return tensors
