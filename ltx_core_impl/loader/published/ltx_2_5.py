"""The published architecture of LTX-2.5: what differs from LTX-2.3 (spec 01 §3.3-3.4)."""

from __future__ import annotations

from . import ltx_2_3

TRANSFORMER = {
    **ltx_2_3.TRANSFORMER,
    "ff_bias": False,
    "use_keyframes_abs_pos_embedding": True,
    "text_encoder_norm_type": "PER_TOKEN_RMS",
}

VAE = {
    "_class_name": "CausalDiffusionVAE",
    "dims": 3,
    "spatial_padding_mode": "zeros",
    "model_output_type": "x0",
    "decoder": {
        "_class_name": "NADiffusionDecoder",
        "in_channels": 128,
        "out_channels": 3,
        "patch_size": 4,
        "head_dim": 64,
        "stage_channels": [2048, 1024, 512, 512, 256],
        "stage_depths": [4, 6, 4, 2, 8],
        "stage_kernels": [[3, 7, 7], [3, 7, 7], [3, 5, 5], [3, 5, 5], [11, 11, 11]],
        "stage5_kernel": [11, 11, 11],
        "upsamples": [[[1, 2, 2], 2], [[2, 1, 1], 2], [[2, 2, 2], 1], [[2, 2, 2], 2]],
        "resampler_kind": "linear",
        "spatial_padding_mode": "zeros",
        "timestep_scale_multiplier": 1000.0,
        "default_num_inference_steps": 1,
    },
    "encoder": {
        "_class_name": "Encoder",
        "dims": 3,
        "in_channels": 3,
        "out_channels": 128,
        "blocks": ltx_2_3.VAE["encoder_blocks"],
        "patch_size": 4,
        "latent_log_var": "constant",
        "latent_log_var_value": -7.824046010856292,
        "norm_layer": "pixel_norm",
        "base_channels": 128,
        "spatial_padding_mode": "zeros",
    },
}
