"""Loaders and their patches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from tools.conversion.converter import Conversion, rule
from tools.conversion.reading import Item
from tools.conversion.values import Clip, Model, Vae, Wire

MODEL_LOADERS = ("CheckpointLoaderSimple", "LowVRAMCheckpointLoader", "UNETLoader")
FILE_INPUTS = ("ckpt_name", "unet_name")
SHARD = "model-0000"


def _is_ltx(name: Any) -> bool:
    return isinstance(name, str) and "ltx" in name.lower()


def _is_ours(conversion: Conversion, name: Any) -> bool:
    """The file of an LTX model: by its name, or because no other loader has one whose name says so."""
    if _is_ltx(name):
        return True
    loaders = conversion.of_type(*MODEL_LOADERS)
    return not any(_is_ltx(conversion.typed(item, key)) for item in loaders for key in FILE_INPUTS)


def _load(conversion: Conversion, type: str, input: str, name: str) -> int:
    """The loader of a file, one per file."""
    if (type, name) not in conversion.loaded:
        conversion.loaded[type, name] = conversion.add(type, **{input: name})
    return conversion.loaded[type, name]


def _checkpoint(conversion: Conversion, name: str) -> int:
    return _load(conversion, "LTX2CheckpointLoader", "checkpoint", name)


@rule("CheckpointLoaderSimple", "LowVRAMCheckpointLoader")
def checkpoint(conversion: Conversion, item: Item) -> list[Any] | None:
    name = conversion.typed(item, "ckpt_name")
    if not isinstance(name, str) or not _is_ours(conversion, name):
        return None
    node = _checkpoint(conversion, name)
    return [Model(Wire(node, 0)), None, Vae(Wire(node, 1), Wire(node, 2), Wire(node, 3))]


@rule("UNETLoader")
def transformer(conversion: Conversion, item: Item) -> list[Any] | None:
    name = conversion.typed(item, "unet_name")
    if not isinstance(name, str) or not _is_ours(conversion, name):
        return None
    return [Model(Wire(_checkpoint(conversion, name), 0))]


@rule("VAELoader")
def vae(conversion: Conversion, item: Item) -> list[Any] | None:
    name = conversion.typed(item, "vae_name")
    if not _is_ltx(name):
        return None
    node = _load(conversion, "LTX2ComponentLoader", "file", name)
    return [Vae(Wire(node, 0), Wire(node, 1), Wire(node, 2))]


@rule("LTXVAudioVAELoader", "LTXVAudioVAELoader1", "LowVRAMAudioVAELoader")
def audio_vae(conversion: Conversion, item: Item) -> list[Any]:
    name = conversion.typed(item, "ckpt_name")
    if any(conversion.typed(other, key) == name for other in conversion.of_type(*MODEL_LOADERS) for key in FILE_INPUTS):
        node = _checkpoint(conversion, name)
        return [Vae(Wire(node, 1), Wire(node, 2), Wire(node, 3))]
    node = _load(conversion, "LTX2ComponentLoader", "file", name)
    return [Vae(Wire(node, 0), Wire(node, 1), Wire(node, 2))]


def _encoder(conversion: Conversion, name: str, checkpoint_name: str | None) -> list[Any]:
    if checkpoint_name is None:
        loaders = conversion.of_type(*MODEL_LOADERS)
        names = [conversion.typed(other, key) for other in loaders for key in FILE_INPUTS]
        checkpoint_name = next((n for n in names if isinstance(n, str) and _is_ours(conversion, n)), None)
    if checkpoint_name is None:
        conversion.note(f"To do: connect the text_projection of the text encoder {name}.")
        inputs = {"text_encoder": name}
    else:
        inputs = {"text_encoder": name, "text_projection": Wire(_checkpoint(conversion, checkpoint_name), 4)}
    key = ("LTX2TextEncoderLoader", name)
    if key not in conversion.loaded:
        conversion.loaded[key] = conversion.add(key[0], **inputs)
    return [Clip(Wire(conversion.loaded[key], 0), inputs)]


@rule("LTXAVTextEncoderLoader")
def text_encoder(conversion: Conversion, item: Item) -> list[Any]:
    return _encoder(conversion, conversion.typed(item, "text_encoder"), conversion.typed(item, "ckpt_name"))


@rule("LTXVGemmaCLIPModelLoader")
def gemma_folder(conversion: Conversion, item: Item) -> list[Any]:
    """It names the first shard of a folder; the folder is what is loaded."""
    path = PurePosixPath(str(conversion.typed(item, "gemma_path")).replace("\\", "/"))
    name = str(path.parent) if path.name.startswith(SHARD) and len(path.parts) > 1 else str(path)
    return _encoder(conversion, name, conversion.typed(item, "ltxv_path"))


@rule("CLIPLoader")
def split_text_encoder(conversion: Conversion, item: Item) -> list[Any] | None:
    """LTX-2.5's encoder has its projection with it; other Gemmas serve a prompt writer and stay."""
    name = conversion.typed(item, "clip_name")
    return _encoder(conversion, name, None) if _is_ltx(name) else None


@rule("LatentUpscaleModelLoader", "LowVRAMLatentUpscaleModelLoader")
def upscaler(conversion: Conversion, item: Item) -> list[Any]:
    return [Wire(_load(conversion, "LTX2UpscalerLoader", "upscaler", conversion.typed(item, "model_name")), 0)]


@rule("LoraLoaderModelOnly", "LTXICLoRALoaderModelOnly", "LTXVQ8LoraModelLoader")
def lora(conversion: Conversion, item: Item) -> list[Any] | None:
    model = conversion.get(item, "model")
    if not isinstance(model, Model):
        return None if item.type == "LoraLoaderModelOnly" else []
    name = conversion.get(item, "lora_name")
    strength = conversion.get(item, "strength_model", 1.0)
    patched = conversion.wire("LTX2LoraLoader", model=model.wire, lora=name, strength=strength)
    factor = 2.0 if "ref0.5" in str(name) else 1.0
    return [replace(model, wire=patched), factor]


@rule("LoraLoader")
def lora_of_both(conversion: Conversion, item: Item) -> list[Any] | None:
    model, clip = conversion.get(item, "model"), conversion.get(item, "clip")
    name = conversion.get(item, "lora_name")
    if "gemma" in str(name).lower():  # for the prompt writer alone
        if not isinstance(clip, Clip):
            return None if model is None or not isinstance(model, Model) else [model, clip]
        inputs = {**clip.inputs, "lora": name, "lora_strength": conversion.get(item, "strength_clip", 1.0)}
        return [model, Clip(conversion.wire("LTX2TextEncoderLoader", title="With LoRA", **inputs), inputs)]
    if not isinstance(model, Model):
        return None
    strength = conversion.get(item, "strength_model", 1.0)
    patched = conversion.wire("LTX2LoraLoader", model=model.wire, lora=name, strength=strength)
    return [replace(model, wire=patched), clip]


@rule("LTXVVAEForceFloat32")
def full_precision(conversion: Conversion, item: Item) -> list[Any]:
    conversion.note(f"Left out: {item}. Start ComfyUI with --fp32-vae where the VAE must run in float32.")
    return [next((v for name in item.inputs if isinstance(v := conversion.get(item, name), Vae)), None)]


@rule("LTXVAudioOnlyModel", "LTXQ8Patch", "LTXVPatcherVAE", "ModelSamplingLTXV", "ImageToCPU")
def not_needed(conversion: Conversion, item: Item) -> list[Any]:
    """What these do happens by itself here, or in the scheduler."""
    first = next(iter(item.inputs), "")
    return [conversion.get(item, first)]


@rule("LTXVSpatioTemporalGuidance")
def stg(conversion: Conversion, item: Item) -> list[Any]:
    model = conversion.wanted(item, "model", Model)
    _whole_range(conversion, item)
    scale, blocks = conversion.typed(item, "scale", 1.0), str(conversion.typed(item, "blocks", "29"))
    return [model and replace(model, stg_scale=scale, stg_blocks=blocks)]


@rule("LTXVModalityGuidance")
def modality(conversion: Conversion, item: Item) -> list[Any]:
    model = conversion.wanted(item, "model", Model)
    _whole_range(conversion, item)
    return [model and replace(model, modality_scale=conversion.typed(item, "modality_scale", 3.0))]


@rule("LTXVApplySTG")
def stg_blocks(conversion: Conversion, item: Item) -> list[Any]:
    model = conversion.wanted(item, "model", Model)
    return [model and replace(model, stg_blocks=str(conversion.typed(item, "block_indices", "14, 19")))]


@rule("GetICLoRAParameters")
def ic_lora_parameters(conversion: Conversion, item: Item) -> list[Any]:
    """The guide reads them from the file of the model's LoRA."""
    return [conversion.get(item, "iclora_model")]


@rule("ModelPatchLoader")
def duration_head(conversion: Conversion, item: Item) -> list[Any] | None:
    name = conversion.typed(item, "name")
    return [name] if _is_ltx(name) else None


def _whole_range(conversion: Conversion, item: Item) -> None:
    if conversion.typed(item, "start_percent", 0.0) > 0 or conversion.typed(item, "end_percent", 1.0) < 1:
        conversion.note(f"To do: {item} acts on a part of the steps; 'LTX-2 Guidance Schedule' does that here.")
