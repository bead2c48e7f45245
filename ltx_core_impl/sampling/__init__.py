"""Denoisers, loops and the stage that ties them together."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".denoisers": ("Denoiser", "GuidedDenoiser", "Prediction", "SimpleDenoiser"),
        ".dfr_layout": ("DfrCanvas", "DfrTile", "MAX_CONDITIONING_FPS", "dfr_canvas", "dfr_tiles"),
        ".fusion_plan": ("axis_origins", "fusion_grids"),
        ".grid": ("frames_for_duration", "snap_frames"),
        ".latent_tiles": ("AxisTiling",),
        ".loops": (
            "States",
            "euler_ancestral_denoising_loop",
            "euler_cfg_pp_denoising_loop",
            "euler_denoising_loop",
            "gradient_estimating_euler_denoising_loop",
        ),
        ".memory": ("forward_bytes", "token_count"),
        ".normalization": ("AdainSteps", "CorrectingDenoiser", "Correction", "ScaleSteps"),
        ".res2s": ("res2s_denoising_loop",),
        ".stage": ("StageModality", "denoise_stage"),
        ".tiled_denoiser": ("GridCycle", "TiledDenoiser"),
        ".timed_text": ("Shots", "Text", "TimedText"),
        ".token_parts": ("Parts", "Tile", "temporal_windows", "window_start"),
        ".validation": ("checked_sigmas",),
        ".windowed_loop": ("WindowedLoop",),
    },
)
