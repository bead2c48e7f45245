"""What the tensors of a component say about its config, to name the key when the two do not belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]
Fact = Callable[[Shapes], Any]
"""What a config value must be by the shapes, None where they do not tell."""

_BLOCK = "transformer_blocks.0"
_CONNECTOR = "transformer_1d_blocks.0"


def _size(name: str, axis: int) -> Fact:
    return lambda shapes: shapes[name][axis] if len(shapes.get(name, ())) > axis else None


def _count(prefix: str) -> Fact:
    def count(shapes: Shapes) -> int | None:
        return len({key[len(prefix) :].split(".", 1)[0] for key in shapes if key.startswith(prefix)}) or None

    return count


def _present(name: str, beside: str) -> Fact:
    """Whether a tensor is there, in a file that has the one beside it."""
    return lambda shapes: name in shapes if beside in shapes else None


def _absent(name: str, beside: str) -> Fact:
    return lambda shapes: name not in shapes if beside in shapes else None


def _transformer() -> dict[tuple[str, ...], Fact]:
    query = f"{_BLOCK}.attn1.to_q.weight"
    facts: dict[tuple[str, ...], Fact] = {
        ("num_layers",): _count("transformer_blocks."),
        ("caption_channels",): _size("caption_projection.linear_1.weight", 1),
        ("caption_proj_before_connector",): _absent("caption_projection.linear_1.weight", query),
        ("apply_gated_attention",): _present(f"{_BLOCK}.attn1.to_gate_logits.weight", query),
        ("cross_attention_adaln",): _present(f"{_BLOCK}.prompt_scale_shift_table", query),
        ("use_keyframes_abs_pos_embedding",): _present("keyframes_abs_pos_embedding", query),
    }
    for stream in ("", "audio_"):
        facts |= {
            (f"{stream}in_channels",): _size(f"{stream}patchify_proj.weight", 1),
            (f"{stream}out_channels",): _size(f"{stream}proj_out.weight", 0),
            (f"{stream}num_attention_heads", f"{stream}attention_head_dim"): _size(f"{stream}patchify_proj.weight", 0),
            (f"{stream}cross_attention_dim",): _size(f"{_BLOCK}.{stream}attn2.to_k.weight", 1),
            (f"{stream}ff_bias",): _present(
                f"{_BLOCK}.{stream}ff.net.0.proj.bias", f"{_BLOCK}.{stream}ff.net.0.proj.weight"
            ),
        }
    return facts


def _embeddings() -> dict[tuple[str, ...], Fact]:
    query = f"video_connector.{_CONNECTOR}.attn1.to_q.weight"
    projections = {
        "num_attention_heads": "feature_extractor.video_aggregate_embed.weight",
        "audio_num_attention_heads": "feature_extractor.audio_aggregate_embed.weight",
    }
    facts: dict[tuple[str, ...], Fact] = {
        ("connector_apply_gated_attention",): _present(
            f"video_connector.{_CONNECTOR}.attn1.to_gate_logits.weight", query
        ),
        ("connector_ff_bias",): _present(f"video_connector.{_CONNECTOR}.ff.net.0.proj.bias", query),
        ("caption_channels",): _size("feature_extractor.aggregate_embed.weight", 0),
    }
    for heads, tensor in projections.items():
        facts[heads, heads.replace("num_attention_heads", "attention_head_dim")] = _size(tensor, 0)
    for stream, name in (("", "video_connector."), ("audio_", "audio_connector.")):
        keys = (f"{stream}connector_num_attention_heads", f"{stream}connector_attention_head_dim")
        facts[keys] = _size(f"{name}learnable_registers", 1)
        facts[(f"{stream}connector_num_layers",)] = _count(f"{name}transformer_1d_blocks.")
    return facts


_FACTS: dict[str, dict[tuple[str, ...], Fact]] = {
    "transformer": _transformer(),
    "embeddings_processor": _embeddings(),
    "upsampler": {
        ("in_channels",): _size("initial_conv.weight", 1),
        ("mid_channels",): _size("initial_conv.weight", 0),
        ("num_blocks_per_stage",): _count("res_blocks."),
    },
}
_SECTIONS = {
    "transformer": ("transformer",),
    "embeddings_processor": ("transformer",),
    "video_encoder": ("vae", "encoder"),
    "video_decoder": ("vae", "decoder"),
    "audio_encoder": ("audio_vae", "model", "params", "ddconfig"),
    "audio_decoder": ("audio_vae", "model", "params", "ddconfig"),
    "vocoder": ("vocoder",),
    "duration_head": ("transformer",),
}
_SIZE_KEYS = {
    "transformer": ("num_layers", "num_attention_heads", "attention_head_dim"),
    "embeddings_processor": ("connector_num_layers", "caption_channels"),
    "video_encoder": ("encoder_blocks", "blocks", "in_channels", "patch_size", "latent_log_var", "norm_layer"),
    "video_decoder": ("decoder_blocks", "stage_channels", "stage_depths", "upsamples", "t_emb_dim", "stage5_channels"),
    "audio_encoder": ("ch", "ch_mult", "num_res_blocks", "mid_block_add_attention", "attn_resolutions", "resolution"),
    "vocoder": ("upsample_initial_channel", "upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes"),
    "upsampler": ("num_blocks_per_stage", "dims", "spatial_upsample", "temporal_upsample", "rational_resampler"),
    "duration_head": (
        "connector_num_attention_heads",
        "connector_attention_head_dim",
        "audio_connector_num_attention_heads",
        "audio_connector_attention_head_dim",
    ),
}
_MORE_SIZE_KEYS = {
    "video_encoder": ("out_channels", "latent_channels"),
    "video_decoder": (
        "latent_channels",
        "out_channels",
        "in_channels",
        "patch_size",
        "head_dim",
        "norm_layer",
        "timestep_conditioning",
    ),
    "audio_encoder": (
        "in_channels",
        "out_ch",
        "z_channels",
        "double_z",
        "mel_bins",
        "attn_type",
        "norm_type",
        "causality_axis",
    ),
    "vocoder": ("resblock_dilation_sizes", "use_bias_at_final", "n_fft", "num_mels"),
    "upsampler": ("in_channels", "mid_channels", "spatial_scale"),
}
_ALIASES = {"audio_decoder": "audio_encoder"}


def contradictions(config: Mapping[str, Any], component: str | None, shapes: Shapes) -> list[str]:
    """``config.transformer.num_layers is 3, the tensors say 4``, for every key where the tensors tell.

    Args:
        shapes: by the model's names; packed weights left out.
    """
    section, where = _section(config, component)
    return [
        f"{' times '.join(f'{where}.{key}' for key in keys)} is {stated}, the tensors say {found}"
        for keys, fact in _FACTS.get(component or "", {}).items()
        for stated in _stated(section, keys)
        if (found := fact(shapes)) is not None and found != stated
    ]


def _stated(section: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Any]:
    values = [section.get(key) for key in keys]
    if None not in values:
        yield values[0] if len(values) == 1 else values[0] * values[1]


def _section(config: Mapping[str, Any], component: str | None) -> tuple[Mapping[str, Any], str]:
    section, where = config, "config"
    for key in _SECTIONS.get(component or "", ()):
        if not isinstance(section.get(key), Mapping):
            break
        section, where = section[key], f"{where}.{key}"
    return section, where


def advice(config: Mapping[str, Any], component: str | None, shapes: Shapes) -> str:
    """A sentence that names the keys at which config and tensors part, or at least those that decide the sizes."""
    if not config:  # the published one was taken; there is nothing in the file to name
        return ""
    found = contradictions(config, component, shapes)
    if found:
        return f"{'; '.join(found)}."
    _, where = _section(config, component)
    name = _ALIASES.get(component or "", component or "")
    keys = (*_SIZE_KEYS.get(name, ()), *_MORE_SIZE_KEYS.get(name, ()))
    return f"The sizes follow from {', '.join(keys)} in {where}." if keys else ""
