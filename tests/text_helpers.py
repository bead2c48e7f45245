"""Text models of the golden checkpoints, for the tests of the text part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from ltx_core_impl.loader.builder import SingleGPUModelBuilder
from ltx_core_impl.loader.header import Header
from ltx_core_impl.text_encoders.gemma import (
    AVGemmaTextEncoderModel,
    Embeddings1DConnector,
    EmbeddingsProcessor,
    EmbeddingsProcessorConfigurator,
    load_text_encoder,
)
from ltx_core_impl.text_encoders.gemma.files import StoredTensor
from tests.conftest import GOLDEN, GOLDEN_25, checkpoint_path

GEMMA3 = GOLDEN / "gemma-tiny"
GEMMA4 = GOLDEN_25 / "text_encoders" / "gemma4-tiny-with-proj-ltx-2.5-bf16.safetensors"
TRANSFORMER_25 = GOLDEN_25 / "diffusion_models" / "ltx-2.5-tiny-transformer-bf16.safetensors"

PROMPTS = {
    "text-pos": "a red circle moves slowly to the left while a low tone plays",
    "text-neg": "worst quality, blurry, distorted, out of sync audio",
}


def encoder_path(version: str) -> Path:
    """The text encoder that goes with a checkpoint version."""
    return GEMMA4 if version == "2.5" else GEMMA3


def processor_paths(version: str) -> list[Path]:
    """The files that hold connectors and text projection."""
    return [TRANSFORMER_25, GEMMA4] if version == "2.5" else [checkpoint_path(version)]


def load_processor(paths: Sequence[Path]) -> EmbeddingsProcessor:
    """The embeddings processor in float32, config from the first file."""
    builder = SingleGPUModelBuilder(model_class_configurator=EmbeddingsProcessorConfigurator, model_path=tuple(paths))
    return builder.build(device="cpu", dtype=torch.float32)


def load_model(version: str, max_length: int = 1024) -> AVGemmaTextEncoderModel:
    """The whole text model in float32."""
    encoder = load_text_encoder(encoder_path(version), dtype=torch.float32, max_length=max_length)
    return AVGemmaTextEncoderModel(encoder, load_processor(processor_paths(version)))


def deterministic_weights(
    shapes: Mapping[str, tuple[int, ...]],
    factor: Callable[[str], float],
    offset: Callable[[str], float] = lambda _: 0.0,
) -> dict[str, torch.Tensor]:
    """The weights of spec 05 §16.2: ``offset + factor · sin(a·n + b·i)`` for the i-th name in sorted order."""
    weights = {}
    for index, name in enumerate(sorted(shapes)):
        count = torch.arange(math.prod(shapes[name]), dtype=torch.float64)
        values = torch.sin(0.7548776662466927 * count + 0.5698402909980532 * index)
        weights[name] = (offset(name) + factor(name) * values).float().reshape(shapes[name])
    return weights


def connector_factor(name: str) -> float:
    """Scale of a connector's weights in spec 05 §16.2."""
    if "q_norm" in name or "k_norm" in name:
        return 0.1
    return 1.0 if name == "learnable_registers" else 0.3


def connector_offset(name: str) -> float:
    """Norm weights of a connector lie around 1."""
    return 1.0 if "q_norm" in name or "k_norm" in name else 0.0


def spec_connector(heads: int, head_dim: int, gated: bool, num_registers: int) -> Embeddings1DConnector:
    """A two-layer connector with the weights of spec 05 §16.2."""
    connector = Embeddings1DConnector(
        heads=heads, head_dim=head_dim, num_layers=2, max_pos=[4096], gated=gated, num_registers=num_registers
    )
    shapes = {name: tuple(value.shape) for name, value in connector.state_dict().items()}
    connector.load_state_dict(deterministic_weights(shapes, connector_factor, connector_offset))
    return connector.requires_grad_(False)


def gemma3_file_shapes(
    *, layers: int = 48, width: int = 3840, heads: int = 16, key_value_heads: int = 8, head_dim: int = 256,
    feed_forward: int = 15360, vocabulary: int = 262208, vision: bool = True, vision_layers: int = 27,
    vision_width: int = 1152, vision_feed_forward: int = 4304, patch: int = 14, patches: int = 4096,
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """Names and shapes of a Gemma 3 folder (spec 05 §2.2), the 12B model by default."""
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (vocabulary, width), "norm.weight": (width,)}
    for layer in range(layers):
        prefix = f"layers.{layer}."
        shapes |= {
            f"{prefix}self_attn.q_proj.weight": (heads * head_dim, width),
            f"{prefix}self_attn.k_proj.weight": (key_value_heads * head_dim, width),
            f"{prefix}self_attn.v_proj.weight": (key_value_heads * head_dim, width),
            f"{prefix}self_attn.o_proj.weight": (width, heads * head_dim),
            f"{prefix}self_attn.q_norm.weight": (head_dim,),
            f"{prefix}self_attn.k_norm.weight": (head_dim,),
            f"{prefix}mlp.gate_proj.weight": (feed_forward, width),
            f"{prefix}mlp.up_proj.weight": (feed_forward, width),
            f"{prefix}mlp.down_proj.weight": (width, feed_forward),
        }
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            shapes[f"{prefix}{norm}_layernorm.weight"] = (width,)
    shapes = {f"language_model.model.{name}": shape for name, shape in shapes.items()}
    if not vision:
        return shapes
    tower = "vision_tower.vision_model."
    shapes |= {
        f"{tower}embeddings.patch_embedding.weight": (vision_width, 3, patch, patch),
        f"{tower}embeddings.patch_embedding.bias": (vision_width,),
        f"{tower}embeddings.position_embedding.weight": (patches, vision_width),
        f"{tower}post_layernorm.weight": (vision_width,),
        f"{tower}post_layernorm.bias": (vision_width,),
        "multi_modal_projector.mm_input_projection_weight": (vision_width, width),
        "multi_modal_projector.mm_soft_emb_norm.weight": (vision_width,),
    }
    sizes = {"fc1": (vision_feed_forward, vision_width), "fc2": (vision_width, vision_feed_forward)}
    for layer in range(vision_layers):
        prefix = f"{tower}encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{prefix}{norm}.weight": (vision_width,), f"{prefix}{norm}.bias": (vision_width,)}
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{prefix}self_attn.{projection}.weight"] = (vision_width, vision_width)
            shapes[f"{prefix}self_attn.{projection}.bias"] = (vision_width,)
        for name, shape in sizes.items():
            shapes |= {f"{prefix}mlp.{name}.weight": shape, f"{prefix}mlp.{name}.bias": shape[:1]}
    return shapes


def stored(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, StoredTensor]:
    """Tensors that exist in headers only."""
    header = Header(path=Path("nowhere.safetensors"), tensors={})
    return {name: StoredTensor(header, name, "BF16", shape) for name, shape in shapes.items()}
