"""Names of the diffusers conversion, turned into the original names (spec 01 §2.8)."""

from __future__ import annotations

import re

_TRANSFORMER_HEADS = {
    "proj_in.": "patchify_proj.",
    "audio_proj_in.": "audio_patchify_proj.",
    "time_embed.": "adaln_single.",
    "audio_time_embed.": "audio_adaln_single.",
    "prompt_adaln.": "prompt_adaln_single.",
    "audio_prompt_adaln.": "audio_prompt_adaln_single.",
    "av_cross_attn_video_scale_shift.": "av_ca_video_scale_shift_adaln_single.",
    "av_cross_attn_audio_scale_shift.": "av_ca_audio_scale_shift_adaln_single.",
    "av_cross_attn_video_a2v_gate.": "av_ca_a2v_gate_adaln_single.",
    "av_cross_attn_audio_v2a_gate.": "av_ca_v2a_gate_adaln_single.",
}
_TRANSFORMER_PARTS = {
    "video_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_video",
    "audio_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_audio",
    "norm_q": "q_norm",
    "norm_k": "k_norm",
}
_VOCODER_PARTS = {
    "upsamplers": "ups",
    "resnets": "resblocks",
    "conv_in": "conv_pre",
    "conv_out": "conv_post",
    "act_out": "act_post",
}


def _rename_parts(name: str, parts: dict[str, str]) -> str:
    return ".".join(parts.get(part, part) for part in name.split("."))


def transformer_name(name: str) -> str:
    """Original name of a transformer tensor or module; names that are original already stay as they are."""
    for head, original in _TRANSFORMER_HEADS.items():
        if name.startswith(head) or name == head[:-1]:
            name = original[: -1 if name == head[:-1] else None] + name[len(head) :]
            break
    return _rename_parts(name, _TRANSFORMER_PARTS)


def diffusers_module_name(name: str) -> str:
    """The diffusers conversion's name of a transformer module that is named as in the original files."""
    for head, original in _TRANSFORMER_HEADS.items():
        if f"{name}.".startswith(original):
            return head[:-1] + name[len(original) - 1 :]
    return name


def connector_name(name: str) -> str:
    """Original name of a tensor inside one connector."""
    return _rename_parts(name, {"transformer_blocks": "transformer_1d_blocks", **_TRANSFORMER_PARTS})


def vocoder_name(name: str) -> str:
    """Original name of a vocoder tensor."""
    return re.sub(
        r"(acts\d\.\d+|act_post)\.downsample\.(?!lowpass)",
        r"\1.downsample.lowpass.",
        _rename_parts(name, _VOCODER_PARTS),
    )


def video_encoder_name(name: str) -> str:
    """Original name of a video encoder tensor: stages with samplers become one flat list of blocks."""
    name = name.replace(".resnets.", ".res_blocks.")
    name = re.sub(r"^mid_block\.", "down_blocks.8.", name)
    name = re.sub(r"^down_blocks\.(\d+)\.downsamplers\.0\.", lambda m: f"down_blocks.{2 * int(m[1]) + 1}.", name)
    if ".res_blocks." in name and not name.startswith("down_blocks.8."):
        name = re.sub(r"^down_blocks\.(\d+)\.", lambda m: f"down_blocks.{2 * int(m[1])}.", name)
    return statistics_name(name)


def video_decoder_name(name: str) -> str:
    """Original name of a video decoder tensor."""
    name = name.replace(".resnets.", ".res_blocks.")
    sampler = re.match(r"^up_blocks\.(\d+)\.upsamplers\.0\.(.*)", name)
    if sampler:
        return f"up_blocks.{2 * int(sampler[1]) + 1}.{sampler[2]}"
    name = re.sub(r"^up_blocks\.(\d+)\.", lambda m: f"up_blocks.{2 * int(m[1]) + 2}.", name)
    return statistics_name(re.sub(r"^mid_block\.", "up_blocks.0.", name))


def statistics_name(name: str) -> str:
    """Original name of the latent statistics."""
    names = {
        "latents_mean": "per_channel_statistics.mean-of-means",
        "latents_std": "per_channel_statistics.std-of-means",
    }
    return names.get(name, name)
