"""From handles to modules on their device: which configurator, which dtype, how much memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...ltx_core_impl import loader, quantization, sampling, text_encoders
from ...ltx_core_impl.loader import key_maps
from ...ltx_core_impl.model import audio_vae, video_vae
from ...ltx_core_impl.model import transformer as ltx_transformer
from ...ltx_core_impl.model import upsampler as ltx_upsampler
from ...ltx_core_impl.text_encoders import gemma as ltx_gemma
from .. import host
from ..wires.checks import InputError
from ..wires.finite import require_finite
from ..wires.handles import ComponentHandle, Context, FileRef, MissingComponent, ModelHandle, TextEncoderHandle
from ..wires.versions import lora_note, versions_of
from .several_ranks import several_ranks
from .text_files import processor_builder

PRECISIONS = ("auto", "bf16", "fp8_cast", "fp8_scaled_mm")

# What an output of the loader is made of, by the loader's names of components.
PARTS = {
    "transformer": ("transformer",),
    "video_vae": ("video_encoder", "video_decoder"),
    "audio_vae": ("audio_encoder", "audio_decoder"),
    "vocoder": ("vocoder",),
    "text_projection": ("embeddings_processor",),
    "upsampler": ("upsampler",),
    "duration_head": ("duration_head",),
}
# Called for the class, so that a model is imported when one is judged or built.
CONFIGURATORS = {
    "video_encoder": lambda: video_vae.VideoEncoderConfigurator,
    "video_decoder": lambda: video_vae.VideoDecoderConfigurator,
    "audio_encoder": lambda: audio_vae.AudioEncoderConfigurator,
    "audio_decoder": lambda: audio_vae.AudioDecoderConfigurator,
    "vocoder": lambda: audio_vae.VocoderConfigurator,
    "upsampler": lambda: ltx_upsampler.LatentUpsamplerConfigurator,
    "duration_head": lambda: text_encoders.DurationHeadConfigurator,
}


# Describing


def describe_component(file: FileRef, component: str) -> ComponentHandle:
    """The handle of a component, judged from the file's header. Raises ValueError when it is not there or not whole."""
    checkpoint = loader.open_checkpoint(file.path)
    found = component_or_missing(file, checkpoint, component)
    if isinstance(found, MissingComponent):
        held = ", ".join(checkpoint.components) or "nothing known"
        raise InputError(f"{file.name} holds no {component.replace('_', ' ')}; it holds: {held}. Choose another file.")
    return found


def component_or_missing(
    file: FileRef, checkpoint: loader.Checkpoint, component: str
) -> ComponentHandle | MissingComponent:
    """The handle of a component, or what stands for it when the file does not hold it."""
    parts = [part for part in PARTS[component] if part in checkpoint.components]
    if not parts:
        return MissingComponent(component=component, file=file)
    return ComponentHandle(
        component=component,
        file=file,
        version=checkpoint.version.value if checkpoint.version else "",
        config=json.dumps(loader.config_for(checkpoint, parts[0]), sort_keys=True),
        versions=versions_of(checkpoint),
    )


def model_handle(file: FileRef, precision: str, calibration: FileRef | None, compiles: bool = False) -> ModelHandle:
    """The handle of the transformer. Raises ValueError when the file holds none."""
    base = describe_component(file, "transformer")
    return ModelHandle(**vars(base), precision=precision, calibration=calibration, compiles=compiles)


def transformer_recipe(handle: ModelHandle) -> loader.TransformerRecipe:
    """The transformer by plain values."""
    return loader.TransformerRecipe(
        path=handle.file.path,
        has_audio=_has_audio(handle.file),
        precision=handle.precision,
        calibration=handle.calibration and handle.calibration.path,
        loras=tuple((lora.file.path, lora.strength) for lora in handle.loras),
        attention=host.attention_backend(),
    )


def transformer_builder(handle: ModelHandle) -> loader.SingleGPUModelBuilder:
    """The recipe of the transformer, LoRAs and quantisation included."""
    return transformer_recipe(handle).builder()


@lru_cache(maxsize=16)
def _has_audio(file: FileRef) -> bool:
    # Asked several times in every run; a full-size header takes long to read.
    shapes = loader.open_checkpoint(file.path).shapes
    return any(key.endswith(("audio_patchify_proj.weight", "audio_proj_in.weight")) for key in shapes)


@lru_cache(maxsize=16)
def _options(config: str, has_audio: bool) -> ltx_transformer.TransformerOptions:
    configurator = ltx_transformer.LTXModelConfigurator if has_audio else ltx_transformer.LTXVideoOnlyModelConfigurator
    with torch.device("meta"):
        return configurator.from_config(json.loads(config)).options


def transformer_options(handle: ModelHandle) -> ltx_transformer.TransformerOptions:
    """Streams and sizes of the transformer."""
    return _options(handle.config, _has_audio(handle.file))


def check_model(handle: ModelHandle) -> str:
    """Judge a transformer with its LoRAs from headers alone; what should be said of the last LoRA, ``""`` for nothing.

    Raises ValueError when they do not fit one another.
    """
    reports = transformer_builder(handle).validate()
    if not handle.loras or handle.loras[-1].strength == 0:
        return ""
    last = handle.loras[-1]
    return lora_note(loader.open_lora(last.file.path), last, reports[-1], handle)


# Using


def _places(handle: ComponentHandle | TextEncoderHandle) -> dict[str, torch.device]:
    """Where the weights of a handle are used and where they wait."""
    return {
        "load_device": host.compute_device(handle.device),
        "offload_device": host.offload_device(handle.device),
    }


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes."""
    return next(module.parameters()).device


def like(tensor: Tensor, module: nn.Module) -> Tensor:
    """``tensor`` on the device and in the dtype of a module's first parameter."""
    return tensor.to(next(module.parameters()))


def transformer_dtype(handle: ModelHandle) -> torch.dtype:
    """The dtype that the transformer computes in, and that the latents of a run have."""
    return torch.bfloat16 if handle.precision == "bf16" else host.compute_dtype(host.compute_device(handle.device))


@contextmanager
def transformer(handle: ModelHandle, working_memory: int) -> Iterator[ltx_transformer.X0Model]:
    """The transformer, predicting denoised latents; one that worker processes run is called like any other."""
    dtype = transformer_dtype(handle)
    size = _stored_bytes([handle.file.path], "transformer", dtype, handle.precision, lora=bool(handle.loras))
    if handle.parallel is not None:
        video = transformer_options(handle).video
        marks = video is not None and video.keyframe_embedding
        with several_ranks(handle, transformer_recipe(handle), dtype, size, working_memory, marks) as model:
            yield model
        return

    def build(home: torch.device, progress: host.Progress) -> ltx_transformer.X0Model:
        work_device = host.compute_device(handle.device)
        model = transformer_builder(handle).build(home, dtype, progress=progress, work_device=work_device)
        backend = host.attention_backend()
        if backend is not None:
            model.set_attention(backend)
        if handle.compiles:
            model.compile_blocks()
        return ltx_transformer.X0Model(model)

    with host.loaded(
        handle,
        "transformer",
        build,
        size=size,
        working_memory=working_memory,
        blocks=attrgetter("velocity_model.transformer_blocks"),
        **_places(handle),
    ) as model:
        try:
            yield model
        finally:
            model.velocity_model.clear_caches()


def _part(handle: ComponentHandle, part: str, working_memory: int = 0, dtype: torch.dtype | None = None):
    dtype = dtype or (torch.float32 if handle.float32 else host.compute_dtype(host.compute_device(handle.device)))
    builder = loader.SingleGPUModelBuilder(model_class_configurator=CONFIGURATORS[part](), model_path=handle.file.path)

    def build(home: torch.device, progress: host.Progress) -> nn.Module:
        return builder.build(
            device=home, dtype=dtype, progress=progress, work_device=host.compute_device(handle.device)
        )

    size = _stored_bytes([handle.file.path], part, dtype)
    return host.loaded(handle, f"{part} {dtype}", build, size=size, working_memory=working_memory, **_places(handle))


def video_encoder(handle: ComponentHandle, pixels: int) -> Any:
    """Context manager: the encoder, with room for ``pixels`` (frames x height x width of a tile)."""
    return _part(handle, "video_encoder", working_memory=convolution_memory(pixels) * (2 if handle.float32 else 1))


def video_decoder(handle: ComponentHandle, working_memory: int, dtype: torch.dtype | None = None) -> Any:
    """Context manager: the decoder, with this many bytes of room for its work; in ``dtype`` if one is named."""
    return _part(handle, "video_decoder", working_memory=working_memory, dtype=dtype)


def video_decoder_bytes(handle: ComponentHandle, dtype: torch.dtype | None = None) -> int:
    """Size of the decoder's weights; in ``dtype`` if one is named."""
    dtype = dtype or host.compute_dtype(host.compute_device(handle.device))
    return _stored_bytes([handle.file.path], "video_decoder", dtype)


def audio_encoder(handle: ComponentHandle) -> Any:
    """Context manager: the audio encoder."""
    return _part(handle, "audio_encoder")


def audio_decoder(handle: ComponentHandle) -> Any:
    """Context manager: the audio decoder."""
    return _part(handle, "audio_decoder")


def vocoder(handle: ComponentHandle) -> Any:
    """Context manager: the vocoder, in float32, which costs little and avoids audible noise."""
    return _part(handle, "vocoder", dtype=torch.float32)


def embeddings_processor(handle: TextEncoderHandle) -> Any:
    """Context manager: text projection and connectors."""
    dtype = host.compute_dtype(host.compute_device(handle.device))

    def build(home: torch.device, progress: host.Progress) -> nn.Module:
        work_device = host.compute_device(handle.device)
        return processor_builder(handle).build(home, dtype, progress=progress, work_device=work_device)

    handle = replace(handle, loras=())  # they change Gemma only: the same processor serves with and without them
    size = _stored_bytes(handle.projection_paths, "embeddings_processor", dtype)
    return host.loaded(handle, "embeddings_processor", build, size=size, **_places(handle))


def duration_head(handle: ComponentHandle) -> Any:
    """Context manager: the duration head, in float32, since its result is rounded to frames."""
    return _part(handle, "duration_head", dtype=torch.float32)


def upsampler(handle: ComponentHandle) -> Any:
    """Context manager: a latent upscaler."""
    return _part(handle, "upsampler")


@contextmanager
def video_statistics(handle: ComponentHandle) -> Iterator[video_vae.PerChannelStatistics]:
    """The per-channel statistics of a video VAE; they are all that upscaling needs of it."""
    part = next(part for part in PARTS["video_vae"] if part in loader.open_checkpoint(handle.file.path).components)
    with _part(handle, part) as model:
        yield model.per_channel_statistics


# Estimating


def _stored_bytes(
    paths: Sequence[str], part: str, dtype: torch.dtype, precision: str = "auto", *, lora: bool = False
) -> int:
    """Bytes of a component's weights once they are in ``dtype``; packed ones may stay so until a LoRA changes them."""
    checkpoint = loader.open_checkpoint(paths)
    rules = key_maps.select_key_map(part, checkpoint.shapes)
    blocked = _layers_with_many_scales(checkpoint) if lora and precision == "auto" else ()
    total = 0
    for key, (_, entry) in checkpoint.entries.items():
        if rules.apply_to_key(key) is None:
            continue
        values = math.prod(entry.shape)
        if entry.dtype in quantization.BLOCK_TYPES:
            keeps = precision == "auto" and not lora
            total += entry.nbytes if keeps else _loaded_bytes("BF16", 2 * values, dtype, precision)
        elif key.removesuffix(".weight") in blocked:
            total += values * dtype.itemsize
        else:
            total += _loaded_bytes(entry.dtype, entry.nbytes, dtype, precision)
    return total


def _layers_with_many_scales(checkpoint: loader.Checkpoint) -> set[str]:
    named = ((*key.rpartition("."), shape) for key, shape in checkpoint.shapes.items())
    return {layer for layer, _, leaf, shape in named if leaf in quantization.SCALE_NAMES and math.prod(shape) > 1}


def _loaded_bytes(stored: str, nbytes: int, dtype: torch.dtype, precision: str) -> int:
    """Bytes of a tensor once it is read: fp8 stays where it may, everything else, packed 4 bits too, is widened."""
    if stored.startswith("F8") and precision != "bf16":
        return nbytes
    values = nbytes * {"U8": 2.0, "I8": 1.0, "F8_E4M3": 1.0, "F8_E5M2": 1.0, "F32": 0.25}.get(stored, 0.5)
    # Most layers of an fp8 precision take one byte per value; the others stay wide.
    return int(values * dtype.itemsize * (0.6 if precision.startswith("fp8") else 1.0))


def convolution_memory(pixels: int) -> int:
    """Room for the convolutional VAEs' activations of a tile."""
    return video_vae.convolution_bytes(pixels, host.compute_dtype(host.compute_device()).itemsize)


def bytes_per_row(
    handle: ModelHandle, video: sampling.StageModality | None, audio: sampling.StageModality | None
) -> int:
    """Room that one batch row of a forward pass needs on a card, guides and references included."""
    video_tokens, audio_tokens = (0 if one is None else sampling.token_count(one) for one in (video, audio))
    itemsize = transformer_dtype(handle).itemsize
    whole = sampling.forward_bytes(transformer_options(handle), video_tokens, audio_tokens, itemsize)
    return whole if handle.parallel is None else whole // handle.parallel.ranks


# Text


@contextmanager
def gemma(handle: TextEncoderHandle, with_vision: bool = False) -> Iterator[ltx_gemma.GemmaTextEncoder]:
    """The language model; its vision tower is only read where a picture is shown to it."""
    dtype = host.compute_dtype(host.compute_device(handle.device))

    def build(home: torch.device, progress: host.Progress) -> nn.Module:
        return ltx_gemma.load_text_encoder(
            handle.gemma.path,
            dtype=dtype,
            device=home,
            with_vision=with_vision,
            progress=progress,
            loras=[loader.LoraPathStrengthAndSDOps(lora.file.path, lora.strength) for lora in handle.loras],
        )

    size = folder_bytes(handle.gemma.path)
    layers = attrgetter("gemma.language_model.layers")
    part = "gemma with vision" if with_vision else "gemma"
    with host.loaded(handle, part, build, size=size, blocks=layers, **_places(handle)) as encoder:
        yield encoder


def encode_prompts(handle: TextEncoderHandle, prompts: list[str]) -> list[Context]:
    """The context of every prompt; Gemma first, then the connectors, so that one can go for the other."""
    encoding = host.Progress(len(prompts), "Encoding", unit="prompt")
    with gemma(handle) as encoder:
        encoding(0)
        states = encoder.hidden_states(prompts)
        length = encoder.tokenizer.max_length
    with embeddings_processor(handle) as processor:
        outputs = []
        for state in states:
            outputs.append(processor.process_prompt(state, length=length))
            encoding(len(outputs))
    device, version = host.output_device(), handle.projection.version
    for output in outputs:
        require_finite(output.video_encoding, "The encoded prompt")
        require_finite(output.audio_encoding, "The encoded prompt")
    return [
        Context(output.video_encoding.float().to(device), output.audio_encoding.float().to(device), version, prompt)
        for prompt, output in zip(prompts, outputs, strict=True)
    ]


def folder_bytes(path: str) -> int:
    """Bytes of a model file, or of the safetensors files of a folder."""
    root = Path(path)
    return root.stat().st_size if root.is_file() else sum(file.stat().st_size for file in root.rglob("*.safetensors"))
