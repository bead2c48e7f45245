"""The architecture of the demo model, as the ``config`` metadata of its checkpoint."""

from __future__ import annotations

from typing import Any

MODEL_VERSION = "2.3.0"
LATENT_CHANNELS = 48
PATCH = 8
WIDTH = 96  # channels of the video VAE below the first layer
VIDEO_SCALE = (4, 16, 16)
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS, TEXT_HEAD_DIM = 64, 2, 2, 32
REGISTERS = 128
HEADS, VIDEO_HEAD_DIM, AUDIO_HEAD_DIM, BLOCKS = 4, 32, 16, 6

TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": HEADS,
    "attention_head_dim": VIDEO_HEAD_DIM,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "num_layers": BLOCKS,
    "cross_attention_dim": HEADS * VIDEO_HEAD_DIM,
    "caption_channels": TEXT_WIDTH,
    "norm_eps": 1e-6,
    # A clip is two seconds of 64 to 128 pixels: the published 20 s and 2048 px would leave most frequencies idle.
    "positional_embedding_theta": 100.0,
    "positional_embedding_max_pos": [4, 128, 128],
    "timestep_scale_multiplier": 1000,
    "audio_num_attention_heads": HEADS,
    "audio_attention_head_dim": AUDIO_HEAD_DIM,
    "audio_in_channels": 128,
    "audio_out_channels": 128,
    "audio_cross_attention_dim": HEADS * AUDIO_HEAD_DIM,
    "audio_positional_embedding_max_pos": [4],
    "av_ca_timestep_scale_multiplier": 1000.0,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "use_middle_indices_grid": True,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "norm_elementwise_affine": False,
    "positional_embedding_type": "rope",
    "use_audio_video_cross_attention": True,
    "share_ff": False,
    "av_cross_ada_norm": True,
    "cross_attention_norm": True,
    "dropout": 0.0,
    "double_self_attention": False,
    "num_embeds_ada_norm": 1000,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "upcast_attention": False,
    "use_linear_projection": False,
    "connector_num_attention_heads": HEADS,
    "connector_attention_head_dim": VIDEO_HEAD_DIM,
    "connector_num_layers": 1,
    "connector_positional_embedding_max_pos": [4096],
    "connector_num_learnable_registers": REGISTERS,
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
    "connector_apply_gated_attention": True,
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
    "audio_connector_num_attention_heads": HEADS,
    "audio_connector_attention_head_dim": AUDIO_HEAD_DIM,
}

VIDEO_VAE: dict[str, Any] = {
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": LATENT_CHANNELS,
    "patch_size": PATCH,
    "norm_layer": "pixel_norm",
    "latent_log_var": "uniform",
    "causal_decoder": False,
    "timestep_conditioning": False,
    "spatial_padding_mode": "zeros",
    "encoder_blocks": [
        ["compress_time_res", {"multiplier": 2}],
        ["compress_all_x_y", {"multiplier": 1}],
        ["res_x", {"num_layers": 1}],
    ],
    # Written from pixels to latents, run in the reverse order.
    "decoder_blocks": [
        ["compress_time", {"multiplier": 1}],
        ["res_x", {"num_layers": 1}],
        ["compress_all", {"multiplier": 1}],
        ["res_x", {"num_layers": 1}],
    ],
    "decoder_base_channels": WIDTH,
}

AUDIO_VAE: dict[str, Any] = {
    "model": {
        "params": {
            "ddconfig": {
                "ch": 16,
                "out_ch": 2,
                "ch_mult": [1, 2, 4],
                "num_res_blocks": 1,
                "attn_resolutions": [],
                "resolution": 256,
                "z_channels": 8,
                "double_z": True,
                "in_channels": 2,
                "norm_type": "pixel",
                "causality_axis": "height",
                "dropout": 0.0,
                "mid_block_add_attention": False,
                "mel_bins": 64,
                "attn_type": "vanilla",
                "resamp_with_conv": True,
            },
            "sampling_rate": 16000,
        }
    },
    "preprocessing": {
        "stft": {"filter_length": 1024, "hop_length": 160, "win_length": 1024, "causal": True},
        "mel": {"n_mel_channels": 64, "mel_fmin": 0, "mel_fmax": 8000},
        "audio": {"sampling_rate": 16000, "stereo": True},
    },
}

_GENERATOR: dict[str, Any] = {
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
    "resblock": "AMP1",
    "stereo": True,
    "activation": "snakebeta",
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
}
VOCODER: dict[str, Any] = {
    "vocoder": {
        **_GENERATOR,
        "upsample_rates": [16, 10],
        "upsample_kernel_sizes": [32, 20],
        "upsample_initial_channel": 96,
    },
    "bwe": {
        **_GENERATOR,
        "upsample_rates": [24, 10],
        "upsample_kernel_sizes": [48, 20],
        "upsample_initial_channel": 16,
        "n_fft": 512,
        "hop_length": 80,
        "num_mels": 64,
        "input_sampling_rate": 16000,
        "output_sampling_rate": 48000,
    },
}

CONFIG: dict[str, Any] = {
    "transformer": TRANSFORMER,
    "vae": VIDEO_VAE,
    "audio_vae": AUDIO_VAE,
    "vocoder": VOCODER,
}
"""The whole description, as the configurators read it."""
