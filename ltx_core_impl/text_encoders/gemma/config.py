"""Architecture of a Gemma text model, read from a Hugging Face config and the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...loader.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

GEMMA3 = "gemma3"
GEMMA4 = "gemma4_unified"
SLIDING = "sliding_attention"
FULL = "full_attention"

# What Gemma 3 configs leave out (google/gemma-3-*) and single files cannot say (spec 05 §3.1).
_GEMMA3_WINDOW = 1024
_GEMMA3_PATTERN = 6
_LOCAL_THETA = 10_000.0
_GLOBAL_THETA = 1_000_000.0
_GEMMA3_ROPE_FACTOR = 8.0


class TextEncoderFileError(CheckpointError):
    """A text-encoder file or folder is missing, damaged, incomplete or of an unknown kind."""


@dataclass(frozen=True)
class LayerKind:
    """What all sliding, or all global, attention layers share.

    ``rope_factor`` divides every rotary frequency; only the first ``rotary_fraction`` of the frequencies rotate.
    ``window`` limits how far back a query sees (``None``: to the start).
    """

    head_dim: int
    key_value_heads: int
    rope_theta: float
    rope_factor: float = 1.0
    rotary_fraction: float = 1.0
    window: int | None = None
    value_is_key: bool = False


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of Gemma 3's SigLIP tower and of its projector (spec 05 §3.1)."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    image_size: int
    patch_size: int
    num_channels: int
    tokens_per_image: int
    eps: float = 1e-6


@dataclass(frozen=True)
class GemmaConfig:
    """Sizes of the language model (spec 05 §3 for Gemma 3, §15.4 for Gemma 4).

    ``whole`` is the Hugging Face config they were read from, empty where a file has none.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    layer_types: tuple[str, ...]
    kinds: Mapping[str, LayerKind]
    attention_scale: float
    eps: float = 1e-6
    vision: VisionConfig | None = None
    gemma_version: str | None = None
    whole: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def text(self) -> Mapping[str, Any]:
        """The part of the config about the language model."""
        return self.whole.get("text_config", self.whole)

    @property
    def is_gemma4(self) -> bool:
        """Whether the arithmetic is Gemma 4's."""
        return self.model_type == GEMMA4

    @property
    def num_hidden_states(self) -> int:
        """The embedding and the output of every layer."""
        return len(self.layer_types) + 1


def gemma_config(config: Mapping, shapes: Shapes) -> GemmaConfig:
    """Combine a Hugging Face ``config`` (empty for single files without one) with the tensor ``shapes``.

    ``shapes`` are keyed by canonical names (``language_model.…``, ``vision_tower.…``). Sizes come from the tensors,
    which cannot lie; what no shape shows (rotary bases, windows, layer kinds) comes from the config, or for Gemma 3
    from the published values.

    Raises:
        TextEncoderFileError: not a Gemma 3 or Gemma 4 text model, or config and tensors contradict each other.
    """
    text = config.get("text_config", config)
    model_type = str(config.get("model_type") or _model_type(shapes))
    model_type = {"gemma3_text": GEMMA3, "gemma4_unified_text": GEMMA4}.get(model_type, model_type)
    if model_type not in (GEMMA3, GEMMA4):
        raise TextEncoderFileError(
            f"The text encoder is a {model_type!r} model; LTX-2 and LTX-2.3 need Gemma 3 12B, LTX-2.5 needs its own "
            "Gemma 4 file (gemma4-12b-with-proj-ltx-2.5)."
        )
    layers = _count_layers(shapes, "language_model.layers.")
    if layers == 0 or "language_model.embed_tokens.weight" not in shapes:
        raise TextEncoderFileError("No Gemma language model in these files (no embed_tokens and layers tensors).")
    declared = text.get("num_hidden_layers")
    if declared is not None and declared != layers:
        raise TextEncoderFileError(
            f"The config declares {declared} layers but the weight files hold {layers}: a shard is missing or the "
            "folder mixes two models. Download the folder again."
        )
    layer_types = tuple(text.get("layer_types") or _layer_types(text, layers))
    if len(layer_types) != layers:
        raise TextEncoderFileError(
            f"The config's layer_types names {len(layer_types)} layers but the weight files hold {layers}. Copy "
            "config.json from the Gemma repository again."
        )
    kinds = {kind: _layer_kind(kind, model_type, text, shapes, layer_types) for kind in set(layer_types)}
    vocab_size, hidden_size = shapes["language_model.embed_tokens.weight"]
    first = kinds[layer_types[0]]
    query_scale = text.get("query_pre_attn_scalar", first.head_dim)
    return GemmaConfig(
        model_type=model_type,
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=shapes["language_model.layers.0.mlp.gate_proj.weight"][0],
        num_heads=shapes["language_model.layers.0.self_attn.q_proj.weight"][0] // first.head_dim,
        layer_types=layer_types,
        kinds=kinds,
        attention_scale=1.0 if model_type == GEMMA4 else query_scale**-0.5,
        eps=text.get("rms_norm_eps", 1e-6),
        vision=_vision_config(config, shapes) if model_type == GEMMA3 else None,
        gemma_version=config.get("gemma_version"),
        whole=config,
    )


def _model_type(shapes: Shapes) -> str:
    if "language_model.layers.0.layer_scalar" in shapes:
        return GEMMA4
    if "language_model.layers.0.post_feedforward_layernorm.weight" not in shapes:
        return "unknown"
    return GEMMA3 if "language_model.layers.0.self_attn.q_norm.weight" in shapes else "gemma2"


def _count_layers(shapes: Shapes, prefix: str) -> int:
    indices = {name[len(prefix) :].split(".", 1)[0] for name in shapes if name.startswith(prefix)}
    return len(indices)


def _layer_types(text: Mapping, layers: int) -> list[str]:
    pattern = text.get("sliding_window_pattern") or text.get("_sliding_window_pattern") or _GEMMA3_PATTERN
    return [FULL if (index + 1) % pattern == 0 else SLIDING for index in range(layers)]


def _layer_kind(kind: str, model_type: str, text: Mapping, shapes: Shapes, layer_types: tuple[str, ...]) -> LayerKind:
    prefix = f"language_model.layers.{layer_types.index(kind)}.self_attn."
    head_dim = shapes[prefix + "q_norm.weight"][0]
    rope = _rope_parameters(kind, model_type, text)
    window = None
    if kind == SLIDING:
        window = text.get("sliding_window") or _GEMMA3_WINDOW
    return LayerKind(
        head_dim=head_dim,
        key_value_heads=shapes[prefix + "k_proj.weight"][0] // head_dim,
        rope_theta=rope["rope_theta"],
        rope_factor=rope.get("factor", 1.0),
        rotary_fraction=rope.get("partial_rotary_factor", 1.0),
        window=window,
        value_is_key=prefix + "v_proj.weight" not in shapes,
    )


def _rope_parameters(kind: str, model_type: str, text: Mapping) -> Mapping:
    # transformers 5 writes one entry per layer kind, older versions separate keys.
    per_kind = text.get("rope_parameters") or {}
    if kind in per_kind:
        return per_kind[kind]
    if model_type == GEMMA4:
        theta, fraction = (_LOCAL_THETA, 1.0) if kind == SLIDING else (_GLOBAL_THETA, 0.25)
        return {"rope_theta": theta, "partial_rotary_factor": fraction}
    if kind == SLIDING:
        return {"rope_theta": text.get("rope_local_base_freq", _LOCAL_THETA)}
    # A config that is there and names no scaling means none (Gemma 3 1B); a single file means the published 12B.
    scaling = (text.get("rope_scaling") or {}) if text else {"factor": _GEMMA3_ROPE_FACTOR}
    return {"rope_theta": text.get("rope_theta", _GLOBAL_THETA), "factor": scaling.get("factor", 1.0)}


def _vision_config(config: Mapping, shapes: Shapes) -> VisionConfig | None:
    patches = shapes.get("vision_tower.embeddings.patch_embedding.weight")
    if patches is None:
        return None
    vision = config.get("vision_config") or {}
    hidden_size, num_channels, patch_size, _ = patches
    side = round(shapes["vision_tower.embeddings.position_embedding.weight"][0] ** 0.5)
    return VisionConfig(
        hidden_size=hidden_size,
        intermediate_size=shapes["vision_tower.encoder.layers.0.mlp.fc1.weight"][0],
        num_layers=_count_layers(shapes, "vision_tower.encoder.layers."),
        # SigLIP So400m heads are 72 wide.
        num_heads=vision.get("num_attention_heads", max(1, hidden_size // 72)),
        image_size=side * patch_size,
        patch_size=patch_size,
        num_channels=num_channels,
        tokens_per_image=config.get("mm_tokens_per_image", 256),
        eps=vision.get("layer_norm_eps", 1e-6),
    )
