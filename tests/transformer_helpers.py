"""Tiny transformers and their inputs, shared by the tests of the transformer."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from ltx_core_impl.model.transformer import LTXModel, LTXModelConfigurator, Modality
from tests.conftest import GOLDEN_25, checkpoint_path, config, golden

PREFIX = "model.diffusion_model."


def transformer_path(version: str) -> Path:
    """The tiny checkpoint that holds the transformer of ``version``."""
    if version == "2.5":
        return GOLDEN_25 / "diffusion_models" / "ltx-2.5-tiny-transformer-bf16.safetensors"
    return checkpoint_path(version)


def load_transformer(version: str, configurator: type = LTXModelConfigurator) -> LTXModel:
    """A tiny transformer in float32; fails when the file lacks one of its tensors."""
    path = transformer_path(version)
    model = configurator.from_config(config(path))
    tensors = {key.removeprefix(PREFIX): value.float() for key, value in load_file(path).items()}
    wanted = model.state_dict().keys()
    model.load_state_dict({key: tensors[key] for key in wanted})
    return model.eval()


def golden_modalities(version: str) -> tuple[Modality, Modality]:
    """Video and audio inputs of the ``transformer`` case."""
    case = golden(version, "transformer")
    return tuple(
        Modality(
            latent=case[f"{name}_latent"],
            sigma=case["sigma"],
            timesteps=case[f"{name}_timesteps"],
            positions=case[f"{name}_positions"],
            context=case[f"{name}_context"],
        )
        for name in ("video", "audio")
    )
