"""Which LTX-2 model a file belongs to: from its metadata, else from names and shapes (spec 01 §5.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

from .errors import VersionError

Shapes = Mapping[str, tuple[int, ...]]


class ModelVersion(str, Enum):
    """The published models; the value is the version a user knows."""

    LTX_2 = "2.0"
    LTX_2_3 = "2.3"
    LTX_2_5 = "2.5"


_ALL = frozenset(ModelVersion)
_OLD = frozenset({ModelVersion.LTX_2})
_NEW = _ALL - _OLD
_LATEST = frozenset({ModelVersion.LTX_2_5})
_BEFORE_LATEST = _ALL - _LATEST

_PRESENT = {
    "transformer_blocks.0.attn1.to_gate_logits.weight": _NEW,
    "transformer_blocks.0.prompt_scale_shift_table": _NEW,
    "caption_projection.linear_1.weight": _OLD,
    "prompt_adaln_single.linear.weight": _NEW,
    "transformer_blocks.0.ff.net.0.proj.bias": _BEFORE_LATEST,
    "keyframes_abs_pos_embedding": _LATEST,
    "text_embedding_projection.aggregate_embed.weight": _OLD,
    "text_embedding_projection.video_aggregate_embed.weight": _NEW,
    "vocoder.vocoder.conv_pre.weight": _NEW,
    "vocoder.bwe_generator.conv_pre.weight": _NEW,
}
"""Names whose mere presence excludes versions; absence proves nothing, since files are split and re-saved."""

_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "model.")
_PUBLISHED_NAME = re.compile(r"ltx-2(?:\.(\d+))?-", re.IGNORECASE)


def version_from_metadata(text: str | None) -> ModelVersion | None:
    """The version a ``model_version`` string names, None for an absent, unknown or future one."""
    if not text:
        return None
    parts = text.replace("-", ".").split(".")
    numbers = [int(part) for part in parts[:2] if part.isascii() and part.isdigit()]
    if len(numbers) != min(len(parts), 2) or numbers[0] != 2:
        return None
    minor = numbers[1] if len(numbers) > 1 else 0
    exact = {0: ModelVersion.LTX_2, 3: ModelVersion.LTX_2_3, 5: ModelVersion.LTX_2_5}
    return exact.get(minor)


def version_from_name(file_name: str) -> ModelVersion | None:
    """The version that a file named as the published ones are names itself: ``ltx-2.3-...``, ``ltx-2-...``."""
    found = _PUBLISHED_NAME.match(file_name)
    return found and version_from_metadata(f"2.{found[1] or 0}")


def version_from_shapes(shapes: Shapes) -> ModelVersion | None:
    """The version that names and shapes allow, None when they say nothing.

    Several allowed versions (a video VAE of LTX-2.3 is one of LTX-2.5) give the oldest.

    Raises:
        VersionError: an unknown shape, or names that contradict each other.
    """
    return min(possible_versions(shapes), default=None)


def possible_versions(shapes: Shapes, *, complete: bool = True) -> frozenset[ModelVersion]:
    """All versions that names and shapes allow; nothing when they say nothing.

    Args:
        complete: the modules have all their tensors, so that a missing bias says something (not so in a LoRA).

    Raises:
        VersionError: an unknown shape, or names that contradict each other.
    """
    allowed, seen = _ALL, []
    for key, versions in _evidence(_without_prefix(shapes), complete):
        if not allowed & versions:
            said = "; ".join(f"{name} means {_names(those)}" for name, those in (*seen, (key, versions)))
            raise VersionError(f"the tensors contradict each other: {said}. Use the file as published")
        allowed &= versions
        seen.append((key, versions))
    return allowed if seen else frozenset()


def _names(versions: frozenset[ModelVersion]) -> str:
    return " or ".join(f"LTX-{version.value}" for version in sorted(versions))


def _without_prefix(shapes: Shapes) -> Shapes:
    return {next((key[len(p) :] for p in _PREFIXES if key.startswith(p)), key): shape for key, shape in shapes.items()}


def _evidence(shapes: Shapes, complete: bool) -> list[tuple[str, frozenset[ModelVersion]]]:
    """What each telling tensor allows, as ``(name, versions)``."""
    found = [(key, versions) for key, versions in _PRESENT.items() if key in shapes]
    block = "transformer_blocks.0."
    found += _by_value(f"{block}scale_shift_table", shapes, lambda shape: shape[0], {6: _OLD, 9: _NEW})
    found += _by_value("adaln_single.linear.weight", shapes, lambda shape: shape[0] / shape[1], {6: _OLD, 9: _NEW})
    if complete and f"{block}ff.net.0.proj.weight" in shapes and f"{block}ff.net.0.proj.bias" not in shapes:
        found.append((f"{block}ff.net.0.proj without bias", _LATEST))
    widths = {
        "vae.encoder.conv_out.conv.weight": {2048: _OLD, 1024: _NEW},
        "encoder.conv_out.conv.weight": {2048: _OLD, 1024: _NEW},
        "video_embeddings_connector.learnable_registers": {3840: _OLD, 4096: _NEW},
    }
    for key, known in widths.items():  # telling at full size only
        width = shapes.get(key, (0, 0))[1:2]
        found += [(f"{key} {shapes[key]}", known[width[0]])] if width and width[0] in known else []
    return found + _vae_decoder(shapes) + _stripped_vocoder(shapes)


def _by_value(
    key: str,
    shapes: Shapes,
    value: Callable[[tuple[int, ...]], float],
    meaning: Mapping[float, frozenset[ModelVersion]],
) -> list[tuple[str, frozenset[ModelVersion]]]:
    shape = shapes.get(key)
    if shape is None:
        return []
    measured = value(shape) if len(shape) == 2 and shape[1] else None
    if measured not in meaning:
        raise VersionError(f"{key} has the shape {tuple(shape)}, which belongs to no known LTX-2 model")
    return [(f"{key} {tuple(shape)}", meaning[measured])]


def _vae_decoder(shapes: Shapes) -> list[tuple[str, frozenset[ModelVersion]]]:
    """Up blocks of a full-size decoder: 7 in LTX-2, 9 later; the diffusion decoder of LTX-2.5 has other names."""
    found = []
    for prefix in ("vae.decoder.", "decoder."):
        if any(key.startswith(f"{prefix}det_stages.") for key in shapes):
            found.append((f"{prefix}det_stages.*", _LATEST))
        if shapes.get(f"{prefix}conv_in.conv.weight", ())[:2] == (1024, 128):
            start = f"{prefix}up_blocks."
            blocks = {key.removeprefix(start).split(".")[0] for key in shapes if key.startswith(start)}
            known = {7: _OLD, 9: _NEW}
            found += [(f"{len(blocks)} {prefix}up_blocks", known[len(blocks)])] if len(blocks) in known else []
    return found


def _stripped_vocoder(shapes: Shapes) -> list[tuple[str, frozenset[ModelVersion]]]:
    """A vocoder whose own prefix may be gone: only the later one has a bandwidth extension."""
    if any(key.startswith("bwe_generator.") for key in shapes):
        return [("bwe_generator.*", _NEW)]
    plain = "vocoder.conv_pre.weight" in shapes or "conv_pre.weight" in shapes
    return [("vocoder.conv_pre.weight", _OLD)] if plain else []
