"""The tiny Gemma 3: its folder with a word-level tokenizer, and its weights as a module to train."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ltx_core_impl.text_encoders.gemma.config import FULL, GEMMA3, SLIDING, GemmaConfig, LayerKind
from ltx_core_impl.text_encoders.gemma.networks import new_network

from .prompts import vocabulary
from .settings import TEXT_HEAD_DIM, TEXT_HEADS, TEXT_LAYERS, TEXT_WIDTH

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
WINDOW, LOCAL_THETA, GLOBAL_THETA = 512, 10_000.0, 10_000.0
LAYER_TYPES = (SLIDING,) * (TEXT_LAYERS - 1) + (FULL,)
INTERMEDIATE = 4 * TEXT_WIDTH


def new_gemma() -> nn.Module:
    """An untrained language model: transformers' ``Gemma3TextModel``."""
    kind = {"head_dim": TEXT_HEAD_DIM, "key_value_heads": 1}
    config = GemmaConfig(
        model_type=GEMMA3,
        vocab_size=len(SPECIAL) + len(vocabulary()),
        hidden_size=TEXT_WIDTH,
        intermediate_size=INTERMEDIATE,
        num_heads=TEXT_HEADS,
        layer_types=LAYER_TYPES,
        kinds={
            SLIDING: LayerKind(rope_theta=LOCAL_THETA, window=WINDOW, **kind),
            FULL: LayerKind(rope_theta=GLOBAL_THETA, **kind),
        },
        attention_scale=TEXT_HEAD_DIM**-0.5,
    )
    model = new_network(config).language_model
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            nn.init.zeros_(parameter)  # stored as an offset from 1
        elif "embed_tokens" in name:
            nn.init.normal_(parameter, std=TEXT_WIDTH**-0.5)
        elif parameter.dim() == 2:
            nn.init.kaiming_uniform_(parameter, a=5**0.5)
    return model


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json: lower-case words and marks, BOS first, unknown words as ``<unk>``."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    words = [*SPECIAL, *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", words.index("<bos>"))]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    side = {
        "tokenizer_class": "GemmaTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "padding_side": "left",
        "add_bos_token": True,
        "model_max_length": 1024,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(side, indent=1) + "\n")


def write_gemma(folder: Path, model: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
    """The whole folder: tokenizer, config.json and model.safetensors under Hugging Face's names."""
    write_tokenizer(folder)
    text = {
        "model_type": "gemma3_text",
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": TEXT_LAYERS,
        "num_attention_heads": TEXT_HEADS,
        "num_key_value_heads": 1,
        "head_dim": TEXT_HEAD_DIM,
        "query_pre_attn_scalar": TEXT_HEAD_DIM,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": model.config.rms_norm_eps,
        "rope_local_base_freq": LOCAL_THETA,
        "rope_theta": GLOBAL_THETA,
        "layer_types": list(LAYER_TYPES),
        "sliding_window": WINDOW,
        "vocab_size": model.config.vocab_size,
        "max_position_embeddings": 1024,
    }
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": text}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tensors = {f"language_model.model.{key}": value.to(dtype).contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
