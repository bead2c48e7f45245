"""transformers' own Gemma classes, built without weights from what a file's headers say (spec 05 §3.1, §15.4).

transformers is imported when the first encoder is built: no other part of the package needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from .config import FULL, SLIDING, GemmaConfig, LayerKind, TextEncoderFileError
from .gemma4 import Gemma4TextModel
from .versions import parse_version

_FIRST_FOR_GEMMA3 = (4, 50)
_FIRST_FOR_GEMMA4 = (5, 8)
_FIRST_WITH_ROPE_PER_KIND = (5,)
# What a saved config says of its writer and its file, not of the architecture.
_NOT_ARCHITECTURE = ("model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "layer_types")
_ROPE_SPELLINGS = ("rope_parameters", "rope_scaling", "rope_theta", "rope_local_base_freq")


@dataclass(frozen=True)
class Network:
    """The parts of a Gemma; ``writer`` is the class that can generate and holds the others (``None``: cannot)."""

    language_model: nn.Module
    vision_tower: nn.Module | None = None
    multi_modal_projector: nn.Module | None = None
    writer: nn.Module | None = None


def installed_transformers() -> str | None:
    """The version of transformers, found without importing it; ``None`` when there is none."""
    try:
        return version("transformers")
    except PackageNotFoundError:
        return None


def check_transformers(config: GemmaConfig) -> None:
    """Gemma 3 needs transformers 4.50; Gemma 4 is computed by this package where transformers is too old for it.

    Raises:
        TextEncoderFileError: transformers is missing or older; names both versions and the command.
    """
    found = installed_transformers()
    if config.is_gemma4 or parse_version(found) >= _FIRST_FOR_GEMMA3:
        return
    needed = ".".join(map(str, _FIRST_FOR_GEMMA3))
    raise TextEncoderFileError(
        f"Gemma 3 needs the Python package transformers {needed} or newer; "
        f"{'version ' + found if found else 'none'} is installed. "
        f'Run: python -m pip install "transformers>={needed}", with the Python that runs ComfyUI, and start it again.'
    )


def new_network(config: GemmaConfig, with_vision: bool = False) -> Network:
    """The modules of a Gemma, with weights as transformers makes them (none on the meta device).

    Args:
        with_vision: also Gemma 3's vision tower and projector.
    """
    if config.is_gemma4:
        return Network(language_model=_gemma4(config))
    import transformers

    text = transformers.Gemma3TextConfig(**gemma3_settings(config, parse_version(transformers.__version__)))
    if not (with_vision and config.vision):
        writer = transformers.Gemma3ForCausalLM(text)
        return Network(language_model=writer.model, writer=writer)
    writer = transformers.Gemma3ForConditionalGeneration(_gemma3_with_vision(config, text))
    core = getattr(writer, "model", writer)  # before 4.52 the parts hung on the class itself
    return Network(
        language_model=getattr(core.language_model, "model", core.language_model),
        # transformers 4 has one level more in the tower than the files of transformers 5.
        vision_tower=getattr(core.vision_tower, "vision_model", core.vision_tower),
        multi_modal_projector=core.multi_modal_projector,
        writer=writer,
    )


def fill_buffers(network: nn.Module, device: torch.device | str) -> None:
    """Compute what no file stores and a model built on the meta device therefore lacks: rotary tables and the like.

    Args:
        network: has ``language_model`` and perhaps ``vision_tower``, as :class:`Network`.

    Raises:
        TextEncoderFileError: this version of transformers has a buffer that is not known here.
    """
    model = network.language_model
    for name in ("rotary_emb", "rotary_emb_local"):
        rotary = getattr(model, name, None)
        if rotary is not None:
            setattr(model, name, type(rotary)(rotary.config).to(device))
    embedding = model.embed_tokens
    if isinstance(getattr(embedding, "embed_scale", None), torch.Tensor):
        scale = torch.tensor(embedding.embedding_dim**0.5, dtype=torch.float32, device=device)
        embedding.register_buffer("embed_scale", scale, persistent=False)
    per_layer = getattr(model, "embed_tokens_per_layer", None)
    if per_layer is not None:
        scale = torch.tensor(per_layer.scalar_embed_scale, dtype=torch.float32, device=device)
        per_layer.register_buffer("embed_scale", scale, persistent=False)
    if network.vision_tower is not None:
        places = network.vision_tower.embeddings
        numbers = torch.arange(places.position_embedding.num_embeddings, device=device)[None]
        places.register_buffer("position_ids", numbers, persistent=False)
    empty = [name for name, buffer in network.named_buffers() if buffer.is_meta]
    if empty:
        raise TextEncoderFileError(
            f"transformers {installed_transformers()} gives Gemma the buffers {', '.join(empty)}, which are not known "
            'here. Run: python -m pip install "transformers<=5.24", with the Python that runs ComfyUI.'
        )


def gemma3_settings(config: GemmaConfig, transformers: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of ``Gemma3TextConfig`` for a version of transformers."""
    settings = _common_settings(config)
    sliding, full = _kinds(config)
    settings |= {
        "head_dim": sliding.head_dim,
        "num_key_value_heads": sliding.key_value_heads,
        "query_pre_attn_scalar": config.text.get("query_pre_attn_scalar", sliding.head_dim),
        "sliding_window_pattern": _pattern(config.layer_types),
    }
    if transformers >= _FIRST_WITH_ROPE_PER_KIND:
        settings["rope_parameters"] = {FULL: _rope(full), SLIDING: _rope(sliding)}
    else:
        scaling = _rope(full)
        settings |= {"rope_theta": scaling.pop("rope_theta"), "rope_local_base_freq": sliding.rope_theta}
        settings["rope_scaling"] = scaling if "factor" in scaling else None
    return settings


def _gemma3_with_vision(config: GemmaConfig, text: Any) -> Any:
    from transformers import Gemma3Config

    vision = {
        "model_type": "siglip_vision_model",
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": config.vision.hidden_size,
        "intermediate_size": config.vision.intermediate_size,
        "num_hidden_layers": config.vision.num_layers,
        "num_attention_heads": config.vision.num_heads,
        "image_size": config.vision.image_size,
        "patch_size": config.vision.patch_size,
        "num_channels": config.vision.num_channels,
        "layer_norm_eps": config.vision.eps,
        "vision_use_head": False,
    }
    names = ("image_token_index", "boi_token_index", "eoi_token_index")
    tokens = {name: config.whole[name] for name in names if name in config.whole}
    return Gemma3Config(
        text_config=text.to_dict(),
        vision_config=vision,
        mm_tokens_per_image=config.vision.tokens_per_image,
        attn_implementation="sdpa",
        **tokens,
    )


def _gemma4(config: GemmaConfig) -> nn.Module:
    if parse_version(installed_transformers()) < _FIRST_FOR_GEMMA4:
        return Gemma4TextModel(config)
    # The language model of gemma4_unified, which transformers knows since 5.14 only, is a gemma4 with neither
    # per-layer embeddings nor experts.
    from transformers import Gemma4TextConfig
    from transformers import Gemma4TextModel as Theirs

    settings = _common_settings(config)
    sliding, full = _kinds(config)
    settings |= {
        "head_dim": sliding.head_dim,
        "num_key_value_heads": sliding.key_value_heads,
        "global_head_dim": full.head_dim,
        "num_global_key_value_heads": full.key_value_heads,
        "attention_k_eq_v": full.value_is_key,
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0,
        "use_bidirectional_attention": None,
        "rope_parameters": {
            SLIDING: {"rope_type": "default", "rope_theta": sliding.rope_theta},
            FULL: {
                "rope_type": "proportional",
                "rope_theta": full.rope_theta,
                "partial_rotary_factor": full.rotary_fraction,
            },
        },
    }
    return Theirs(Gemma4TextConfig(**settings))


def _common_settings(config: GemmaConfig) -> dict[str, Any]:
    """The file's own settings, and over them what its tensors show."""
    settings = {name: value for name, value in config.text.items() if name not in _NOT_ARCHITECTURE + _ROPE_SPELLINGS}
    windows = [kind.window for kind in config.kinds.values() if kind.window is not None]
    return settings | {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": len(config.layer_types),
        "num_attention_heads": config.num_heads,
        "layer_types": list(config.layer_types),
        "sliding_window": windows[0] if windows else settings.get("sliding_window", 1024),
        "rms_norm_eps": config.eps,
        "attn_implementation": "sdpa",
    }


def _kinds(config: GemmaConfig) -> tuple[LayerKind, LayerKind]:
    """Sliding and global layers; a model that lacks one kind is given the other's sizes, which nothing then uses."""
    some = next(iter(config.kinds.values()))
    return config.kinds.get(SLIDING, some), config.kinds.get(FULL, some)


def _rope(kind: LayerKind) -> dict[str, Any]:
    if kind.rope_factor == 1:
        return {"rope_type": "default", "rope_theta": kind.rope_theta}
    return {"rope_type": "linear", "factor": kind.rope_factor, "rope_theta": kind.rope_theta}


def _pattern(layer_types: tuple[str, ...]) -> int:
    """Every how many layers one is global, which is how transformers before 4.53 says it."""
    return layer_types.index(FULL) + 1 if FULL in layer_types else len(layer_types) + 1
