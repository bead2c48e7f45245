"""The published tensor names as diffusers spells them (spec 01 §2.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

# Applied in this order to a transformer name; a name that starts with `adaln_single.` is the only one that becomes
# `time_embed.`, every longer name that ends in `adaln_single` has a spelling of its own.
_TRANSFORMER = (
    (re.compile(r"^(audio_)?patchify_proj\."), r"\1proj_in."),
    (re.compile(r"^(audio_)?adaln_single\."), r"\1time_embed."),
    (re.compile(r"^(audio_)?prompt_adaln_single\."), r"\1prompt_adaln."),
    (re.compile(r"^av_ca_(video|audio)_scale_shift_adaln_single\."), r"av_cross_attn_\1_scale_shift."),
    (re.compile(r"^av_ca_a2v_gate_adaln_single\."), "av_cross_attn_video_a2v_gate."),
    (re.compile(r"^av_ca_v2a_gate_adaln_single\."), "av_cross_attn_audio_v2a_gate."),
    (re.compile(r"\.scale_shift_table_a2v_ca_(video|audio)$"), r".\1_a2v_cross_attn_scale_shift_table"),
    (re.compile(r"\.([qk])_norm\."), r".norm_\1."),
)
_LORA_PREFIX = "diffusion_model."


def peer_transformer_key(key: str) -> str:
    """The diffusers name of a transformer tensor, ``key`` without ``model.diffusion_model.``."""
    for pattern, replacement in _TRANSFORMER:
        key = pattern.sub(replacement, key)
    return key


def peer_decoder_key(key: str) -> str:
    """The diffusers name of a video decoder tensor, ``key`` without ``vae.decoder.``."""
    match = re.match(r"up_blocks\.(\d+)\.(.*)$", key)
    if match is None:
        return key
    index, rest = int(match[1]), match[2].replace("res_blocks.", "resnets.", 1)
    if index == 0:
        return f"mid_block.{rest}"
    # Published: odd entries upsample, the even entry after each is the residual stage of that size.
    if index % 2:
        return f"up_blocks.{index // 2}.upsamplers.0.{rest}"
    return f"up_blocks.{index // 2 - 1}.{rest}"


def peer_lora(lora: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A transformer LoRA (``diffusion_model.<module>.lora_A.weight``) under diffusers' names and prefix."""
    return {f"transformer.{peer_transformer_key(key.removeprefix(_LORA_PREFIX))}": value for key, value in lora.items()}
