"""Where each component's tensors are in a file, for every layout in use (spec 01 §2.2, §5.1).

Works on names and shapes only. Components are named as the configurators name them.
"""

from __future__ import annotations

from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

TRANSFORMER_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "model.", "")
CONNECTOR_NAMES = (
    "video_embeddings_connector.",
    "audio_embeddings_connector.",
    "embeddings_connector.",
)
COMPONENTS = (
    "transformer",
    "embeddings_processor",
    "video_encoder",
    "video_decoder",
    "audio_encoder",
    "audio_decoder",
    "vocoder",
    "upsampler",
    "duration_head",
    "text_encoder",
)


def transformer_prefix(shapes: Shapes) -> str | None:
    """What stands before the transformer's names, None when no transformer is there.

    A file of which only the first block or ``patchify_proj`` is missing still counts, so that the error can name
    the missing tensors; a file with connectors only does not.
    """
    for prefix in TRANSFORMER_PREFIXES:
        block = f"{prefix}transformer_blocks.0.attn1.to_q.weight" in shapes
        if block and (f"{prefix}patchify_proj.weight" in shapes or f"{prefix}proj_in.weight" in shapes):
            return prefix
    for prefix in TRANSFORMER_PREFIXES:
        if any(key.startswith(f"{prefix}transformer_blocks.") for key in shapes):
            return prefix
    return None


def has_diffusers_names(shapes: Shapes, prefix: str) -> bool:
    """Whether the transformer uses the names of the diffusers conversion."""
    return f"{prefix}proj_in.weight" in shapes and f"{prefix}patchify_proj.weight" not in shapes


def vae_prefix(shapes: Shapes, part: str, *, audio: bool) -> str | None:
    """The prefix of a VAE half (``part`` is ``encoder`` or ``decoder``), None when it is not there.

    A bare ``encoder.`` belongs to the video VAE when its first convolution is 5-D, to the audio VAE when 4-D.
    """
    family = "audio_vae." if audio else "vae."
    for prefix in (f"{family}{part}.", f"{part}."):
        shape = shapes.get(f"{prefix}conv_in.conv.weight")
        if shape is not None and len(shape) == (4 if audio else 5):
            return prefix
        if not audio and part == "decoder" and any(key.startswith(f"{prefix}det_stages.") for key in shapes):
            return prefix
    if any(key.startswith(f"{family}{part}.") for key in shapes):
        return f"{family}{part}."
    return None


def vocoder_prefix(shapes: Shapes) -> str | None:
    """``vocoder.`` where the component's prefix is there, ``""`` where it was stripped, None without a vocoder.

    The LTX-2.3 vocoder has an inner ``vocoder.`` of its own, which must stay.
    """
    if "vocoder.vocoder.conv_pre.weight" in shapes or "vocoder.vocoder.conv_in.weight" in shapes:
        return "vocoder."
    if any(key.startswith("bwe_generator.") for key in shapes) or "conv_pre.weight" in shapes:
        return ""
    return "vocoder." if any(key.startswith("vocoder.") for key in shapes) else None


def has_embeddings(shapes: Shapes) -> bool:
    """Whether connectors or a text projection are there, in any layout."""
    starts = ("text_embedding_projection.", "text_proj_in.", "video_text_proj_in.", "aggregate_embed.")
    return any(
        key.startswith(starts) or any(f"{name}learnable_registers" in key for name in (*CONNECTOR_NAMES, "_connector."))
        for key in shapes
    )


def components_of(shapes: Shapes) -> tuple[str, ...]:
    """The components a file has, complete or not, in the order of ``COMPONENTS``."""
    gemma = ("model.layers.0.post_feedforward_layernorm.weight", "model.language_model.layers.0.input_layernorm.weight")
    found = {
        "transformer": transformer_prefix(shapes) is not None,
        "embeddings_processor": has_embeddings(shapes),
        "video_encoder": vae_prefix(shapes, "encoder", audio=False) is not None,
        "video_decoder": vae_prefix(shapes, "decoder", audio=False) is not None,
        "audio_encoder": vae_prefix(shapes, "encoder", audio=True) is not None,
        "audio_decoder": vae_prefix(shapes, "decoder", audio=True) is not None,
        "vocoder": vocoder_prefix(shapes) is not None,
        "upsampler": "initial_conv.weight" in shapes and "final_conv.weight" in shapes,
        "duration_head": any(key.startswith("duration_head.") for key in shapes),
        "text_encoder": any(key in shapes for key in gemma)
        or any(key.startswith("language_model.model.") for key in shapes),
    }
    return tuple(name for name in COMPONENTS if found[name])
