"""The key map of a component for the layout a file has."""

from __future__ import annotations

from collections.abc import Callable

from . import diffusers
from .key_map import KeyMap
from .layouts import (
    CONNECTOR_NAMES,
    TRANSFORMER_PREFIXES,
    Shapes,
    has_diffusers_names,
    transformer_prefix,
    vae_prefix,
    vocoder_prefix,
)

IDENTITY = KeyMap("identity", prefixes=(("", ""),))


def select_key_map(component: str | None, shapes: Shapes) -> KeyMap:
    """The renaming for ``component`` that fits the names (and dimensions) in ``shapes``.

    A component that is not in the file gets the map of the combined layout, so that its tensors are reported missing
    under their published names. None (a model that names no component) keeps every name.

    Raises:
        ValueError: an unknown component.
    """
    if component is None:
        return IDENTITY
    if component not in _MAPS:
        raise ValueError(f"unknown component {component!r}; known are {', '.join(_MAPS)}")
    return _MAPS[component](shapes)


def _transformer(shapes: Shapes) -> KeyMap:
    prefix = transformer_prefix(shapes)
    prefix = TRANSFORMER_PREFIXES[0] if prefix is None else prefix
    return KeyMap(
        "transformer",
        prefixes=((prefix, ""),),
        dropped=tuple(prefix + name for name in CONNECTOR_NAMES),
        rename=diffusers.transformer_name if has_diffusers_names(shapes, prefix) else None,
    )


def _embeddings_processor(shapes: Shapes) -> KeyMap:
    """Connectors and projections may lie in two files with two layouts, so every known prefix is taken at once."""
    pairs = [("aggregate_embed.", "feature_extractor.aggregate_embed.")]
    for part in ("aggregate_embed.", "video_aggregate_embed.", "audio_aggregate_embed."):
        pairs.append((f"text_embedding_projection.{part}", f"feature_extractor.{part}"))
        pairs.append((f"{part.removesuffix('aggregate_embed.')}text_proj_in.", f"feature_extractor.{part}"))
    video_connectors = ("video_embeddings_connector.", "embeddings_connector.", "video_connector.")
    for prefix in TRANSFORMER_PREFIXES:
        pairs += [(prefix + name, "video_connector.") for name in video_connectors]
        pairs += [(prefix + name, "audio_connector.") for name in ("audio_embeddings_connector.", "audio_connector.")]
    return KeyMap("embeddings_processor", prefixes=tuple(pairs), rename=diffusers.connector_name)


def _vae(part: str, *, audio: bool, rename: Callable[[str], str] | None) -> Callable[[Shapes], KeyMap]:
    component = f"{'audio' if audio else 'video'}_{part}"
    family = "audio_vae." if audio else "vae."

    def build(shapes: Shapes) -> KeyMap:
        prefix = vae_prefix(shapes, part, audio=audio) or f"{family}{part}."
        root = prefix.removesuffix(f"{part}.")
        statistics = "per_channel_statistics."
        pairs = ((prefix, ""), (root + statistics, statistics))
        if f"{root}latents_mean" in shapes:
            pairs += tuple(
                (f"{root}{name}", diffusers.statistics_name(name)) for name in ("latents_mean", "latents_std")
            )
            return KeyMap(component, prefixes=pairs, rename=rename)
        return KeyMap(component, prefixes=pairs)

    return build


def _vocoder(shapes: Shapes) -> KeyMap:
    prefix = vocoder_prefix(shapes)
    prefix = "vocoder." if prefix is None else prefix
    renamed = any(key.startswith(prefix) and ".upsamplers." in f".{key}" for key in shapes)
    return KeyMap("vocoder", prefixes=((prefix, ""),), rename=diffusers.vocoder_name if renamed else None)


def _upsampler(shapes: Shapes) -> KeyMap:
    return KeyMap("upsampler", prefixes=(("", ""),))


def _duration_head(shapes: Shapes) -> KeyMap:
    prefix = "duration_head." if any(key.startswith("duration_head.") for key in shapes) else ""
    return KeyMap("duration_head", prefixes=((prefix, ""),))


_MAPS: dict[str, Callable[[Shapes], KeyMap]] = {
    "transformer": _transformer,
    "embeddings_processor": _embeddings_processor,
    "video_encoder": _vae("encoder", audio=False, rename=diffusers.video_encoder_name),
    "video_decoder": _vae("decoder", audio=False, rename=diffusers.video_decoder_name),
    "audio_encoder": _vae("encoder", audio=True, rename=None),
    "audio_decoder": _vae("decoder", audio=True, rename=None),
    "vocoder": _vocoder,
    "upsampler": _upsampler,
    "duration_head": _duration_head,
}
