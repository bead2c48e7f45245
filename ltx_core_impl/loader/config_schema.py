"""What the config of each component must look like: every value that a model reads, its type and its range.

The ranges are wide: they keep out what cannot be meant (no layer, a window of nothing), not what nobody published.
Whether sizes are the right ones is for the tensors to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import MAX_COUNT
from .config_rules import Among, Block, Fields, Flag, ListOf, Null, Number, Pair, Rule, Text, Whole

_HEADS, _HEAD_DIM, _WIDTH = Whole(1, 1024), Whole(2, 4096, multiple_of=2), Whole(1, 1 << 16)
_LAYERS = Whole(1, MAX_COUNT)
_PLACES = Number(0, 1e9)
_RATE = Whole(1, 1_000_000)
_KERNEL = Whole(1, 1 << 12)
_STRIDE = Whole(1, 64)
_PADDING = Among(("zeros", "reflect", "replicate", "circular"))
_VAE_NORM = Among(("pixel_norm", "group_norm"))

_ROTATION: dict[str, Rule] = {
    "rope_type": Among(("split", "interleaved")),
    "frequencies_precision": Null(Among(("float64", "float32", "bfloat16", "float16"))),
}

_TRANSFORMER = Fields(
    {
        **_ROTATION,
        **{key: _HEADS for key in ("num_attention_heads", "audio_num_attention_heads")},
        **{key: _HEAD_DIM for key in ("attention_head_dim", "audio_attention_head_dim")},
        **{f"{stream}{key}": _WIDTH for stream in ("", "audio_") for key in ("in_channels", "out_channels")},
        **{f"{stream}cross_attention_dim": _WIDTH for stream in ("", "audio_")},
        "caption_channels": _WIDTH,
        "num_layers": _LAYERS,
        "attention_type": Text(),
        "norm_eps": Number(0, 1),
        "timestep_scale_multiplier": Number(),
        "av_ca_timestep_scale_multiplier": Number(),
        "positional_embedding_theta": Number(1, 1e12),
        "positional_embedding_max_pos": Null(ListOf(_PLACES, 3, 3)),
        "audio_positional_embedding_max_pos": Null(ListOf(_PLACES, 1, 1)),
        **{
            key: Flag()
            for key in (
                "apply_gated_attention",
                "cross_attention_adaln",
                "use_prompt_adaln_single",
                "use_keyframes_abs_pos_embedding",
                "caption_proj_before_connector",
                "ff_bias",
                "audio_ff_bias",
            )
        },
    }
)

_CONNECTOR_SIZES: dict[str, Rule] = {
    "connector_num_attention_heads": _HEADS,
    "connector_attention_head_dim": _HEAD_DIM,
    "connector_num_layers": _LAYERS,
}
_EMBEDDINGS = Fields(
    {
        **_ROTATION,
        **_CONNECTOR_SIZES,
        **{f"audio_{key}": rule for key, rule in _CONNECTOR_SIZES.items()},
        **{key: _HEADS for key in ("num_attention_heads", "audio_num_attention_heads")},
        **{key: _HEAD_DIM for key in ("attention_head_dim", "audio_attention_head_dim")},
        "caption_channels": _WIDTH,
        "connector_positional_embedding_max_pos": ListOf(_PLACES, 1, 1),
        "connector_apply_gated_attention": Flag(),
        "connector_ff_bias": Flag(),
    }
)

_ENCODER_BLOCKS = ListOf(
    Block(
        (
            "res_x",
            "res_x_y",
            "attn",
            "compress_time_res",
            "compress_space_res",
            "compress_all_res",
            "compress_time",
            "compress_space",
            "compress_all",
            "compress_all_x_y",
        )
    )
)
_DECODER_BLOCKS = ListOf(Block(("res_x", "res_x_y", "attn", "compress_time", "compress_space", "compress_all")))
_PIXELS: dict[str, Rule] = {
    "dims": Among((3,)),
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "latent_channels": _WIDTH,
    "patch_size": Whole(1, 64),
    "norm_layer": _VAE_NORM,
    "latent_log_var": Among(("uniform", "per_channel", "constant", "none")),
    "spatial_padding_mode": _PADDING,
    "encoder_spatial_padding_mode": _PADDING,
}
_ENCODER = Fields({**_PIXELS, "encoder_blocks": _ENCODER_BLOCKS, "blocks": _ENCODER_BLOCKS})
_DECODER = Fields(
    {
        **_PIXELS,
        "decoder_blocks": _DECODER_BLOCKS,
        "decoder_base_channels": _WIDTH,
        "causal_decoder": Flag(),
        "timestep_conditioning": Flag(),
    },
    required=("decoder_blocks",),
)
_WINDOW, _SHUFFLE = ListOf(Whole(1, 255), 3, 3), ListOf(Whole(1, 8), 3, 3)
_DIFFUSION_DECODER = Fields(
    {
        "dims": Among((3,)),
        "model_output_type": Among(("x0", "v")),
        "decoder": Fields(
            {
                "in_channels": _WIDTH,
                "out_channels": _WIDTH,
                "patch_size": Whole(1, 64),
                "head_dim": _HEAD_DIM,
                "na_head_dim": _HEAD_DIM,
                "stage_channels": ListOf(_WIDTH, 5, 5),
                "stage_depths": ListOf(_LAYERS, 5, 5),
                "stage_kernels": ListOf(_WINDOW, 4, 5),
                "upsamples": ListOf(Pair(_SHUFFLE, Whole(1, 64)), 4, 4),
                "stage5_channels": Null(_WIDTH),
                "stage5_kernel": _WINDOW,
                "t_emb_dim": _WIDTH,
                "timestep_scale_multiplier": Number(),
                "default_num_inference_steps": Whole(1, 1000),
            }
        ),
    }
)

_AUDIO_VAE = Fields(
    {
        "model": Fields(
            {
                "params": Fields(
                    {
                        "ddconfig": Fields(
                            {
                                "ch": _WIDTH,
                                "ch_mult": ListOf(Whole(1, 64), 1, 16),
                                "num_res_blocks": _LAYERS,
                                "attn_resolutions": ListOf(Whole(), 0),
                                "resolution": Whole(),
                                "in_channels": _WIDTH,
                                "out_ch": _WIDTH,
                                "z_channels": _WIDTH,
                                "double_z": Flag(),
                                "mel_bins": Null(_WIDTH),
                                "mid_block_add_attention": Flag(),
                                "norm_type": Among(("pixel", "group")),
                                "causality_axis": Among((None, "width", "height", "width-compatibility")),
                                "dropout": Number(0, 1, above=False),
                                "attn_type": Among(("vanilla", "none")),
                                "resamp_with_conv": Among((True,)),
                            }
                        ),
                        "sampling_rate": _RATE,
                    },
                    required=("ddconfig",),
                )
            },
            required=("params",),
        ),
        "preprocessing": Fields(
            {
                "stft": Fields({"filter_length": Whole(2, 1 << 16), "hop_length": Whole(1, 1 << 16)}),
                "mel": Fields({"n_mel_channels": _WIDTH}),
            }
        ),
        "variables": Fields({"mel_bins": _WIDTH}),
    },
    required=("model",),
)

_GENERATOR_RULES: dict[str, Rule] = {
    "upsample_initial_channel": _WIDTH,
    "upsample_rates": ListOf(_STRIDE, 1, 16),
    "upsample_kernel_sizes": ListOf(_KERNEL, 1, 16),
    "resblock_kernel_sizes": ListOf(_KERNEL, 1, 16),
    "resblock_dilation_sizes": ListOf(ListOf(Whole(1, 1 << 12), 1, 16), 1, 16),
    "use_tanh_at_final": Flag(),
    "use_bias_at_final": Flag(),
    "stereo": Among((True,)),
    "output_sampling_rate": _RATE,
}
_GENERATOR_ALIKE = (
    ("upsample_rates", "upsample_kernel_sizes"),
    ("resblock_kernel_sizes", "resblock_dilation_sizes"),
)
_GENERATOR = Fields({**_GENERATOR_RULES, "resblock": Among(("1",))}, ("resblock", "stereo"), _GENERATOR_ALIKE)
_SNAKE_RULES = {**_GENERATOR_RULES, "resblock": Among(("AMP1",)), "activation": Among(("snakebeta",))}
_SNAKE_REQUIRED = ("resblock", "stereo", "activation")
_BANDWIDTH_REQUIRED = ("input_sampling_rate", "output_sampling_rate", "n_fft", "hop_length", "num_mels")
_EXTENDED_GENERATOR = Fields(
    {
        "vocoder": Fields(_SNAKE_RULES, _SNAKE_REQUIRED, _GENERATOR_ALIKE),
        "bwe": Fields(
            {
                **_SNAKE_RULES,
                "input_sampling_rate": _RATE,
                "n_fft": Whole(2, 1 << 16),
                "hop_length": Whole(1, 1 << 16),
                "num_mels": _WIDTH,
            },
            (*_SNAKE_REQUIRED, *_BANDWIDTH_REQUIRED),
            _GENERATOR_ALIKE,
        ),
    },
    required=("vocoder", "bwe"),
)

_UPSAMPLER = Fields(
    {
        "in_channels": _WIDTH,
        "mid_channels": Whole(32, 1 << 16, multiple_of=32),
        "num_blocks_per_stage": _LAYERS,
        "dims": Among((2, 3)),
        "spatial_upsample": Flag(),
        "temporal_upsample": Flag(),
        "spatial_scale": Null(Number(0, 16)),
        "rational_resampler": Flag(),
    }
)


def check_config(config: Mapping[str, Any], component: str | None, where: str) -> None:
    """Judge all that ``component`` reads of a file's config; ``where`` stands before the key in the sentence.

    Raises:
        ConfigError: names file and key, what was found and what is needed.
    """
    for key, rule in _rules_of(config, component):
        value = config.get(key) if key else config
        if value:
            rule.check(value, f"{where}.{key}" if key else where)


def _rules_of(config: Mapping[str, Any], component: str | None) -> list[tuple[str, Rule]]:
    """(section, rule); the section "" is the whole config. A section with two forms has the rule of its form."""
    if component in ("transformer", "embeddings_processor"):
        return [("transformer", _TRANSFORMER if component == "transformer" else _EMBEDDINGS)]
    if component in ("video_encoder", "video_decoder"):
        return _vae_rules(config.get("vae"), component)
    if component in ("audio_encoder", "audio_decoder"):
        return [("audio_vae", _AUDIO_VAE)]
    if component == "vocoder":
        return [("vocoder", _EXTENDED_GENERATOR if "bwe" in (config.get("vocoder") or {}) else _GENERATOR)]
    if component == "upsampler":
        return [("", _UPSAMPLER)]
    if component == "duration_head":
        heads = {key: _HEADS for key in config.get("duration_head") or {} if "heads" in key}
        return [("transformer", _EMBEDDINGS), ("duration_head", Fields(heads))]
    return []


def _vae_rules(section: Any, component: str) -> list[tuple[str, Rule]]:
    section = section or {}
    if component == "video_encoder":
        return [("vae", Fields({"encoder": _ENCODER}) if "encoder" in section else _ENCODER)]
    nested = section.get("_class_name", "CausalVideoAutoencoder") != "CausalVideoAutoencoder" and "decoder" in section
    return [("vae", _DIFFUSION_DECODER if nested else _DECODER)]
