"""Parameters of the diffusion video decoder and what follows from them (spec 03 §11, §13)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ....types import SpatioTemporalScaleFactors

Size = tuple[int, int, int]
"""(time, height, width)."""

DETERMINISTIC_STAGES = 4


@dataclass(frozen=True)
class Upsampling:
    """Between two stages: the stride of the pixel shuffle, and by how much the width shrinks."""

    stride: Size
    reduction: int


@dataclass(frozen=True)
class DiffusionDecoderParams:
    """Sizes and sampling settings.

    Attributes:
        stage_channels: width of the four deterministic stages.
        stage_kernels: attention window of the four deterministic stages.
        context_channels: width that the fourth stage hands to the denoiser.
        denoiser_channels, denoiser_depth, denoiser_kernel: the fifth stage.
        predicts_x0: the denoiser predicts the clean video, else the velocity.
    """

    latent_channels: int
    out_channels: int
    patch_size: int
    head_dim: int
    stage_channels: tuple[int, ...]
    stage_depths: tuple[int, ...]
    stage_kernels: tuple[Size, ...]
    upsamplings: tuple[Upsampling, ...]
    context_channels: int
    denoiser_channels: int
    denoiser_depth: int
    denoiser_kernel: Size
    t_emb_dim: int
    timestep_scale_multiplier: float
    num_inference_steps: int
    predicts_x0: bool

    @classmethod
    def from_config(cls, vae: dict[str, Any]) -> DiffusionDecoderParams:
        """Read ``config["vae"]``.

        Raises:
            ValueError: an unknown output type, or lists of the wrong length.
        """
        section = vae["decoder"]
        output_type = vae.get("model_output_type", "v")
        if output_type not in ("x0", "v"):
            raise ValueError(f"model_output_type is '{output_type}'; it must be 'x0' or 'v'.")
        channels = tuple(section.get("stage_channels", (1024, 512, 256, 256, 128)))
        depths = tuple(section.get("stage_depths", (4, 6, 4, 2, 8)))
        kernels = section.get("stage_kernels", ((3, 7, 7), (3, 7, 7), (3, 5, 5), (3, 5, 5)))
        upsamples = section.get("upsamples", (((1, 2, 2), 2), ((2, 1, 1), 2), ((2, 2, 2), 1), ((2, 2, 2), 2)))
        stages = DETERMINISTIC_STAGES
        if len(channels) != stages + 1 or len(depths) != stages + 1 or len(upsamples) != stages:
            raise ValueError(
                f"The diffusion decoder needs {stages + 1} stage_channels and stage_depths and {stages} upsamples; "
                f"got {len(channels)}, {len(depths)} and {len(upsamples)}."
            )
        if len(kernels) < stages:
            raise ValueError(f"The diffusion decoder needs {stages} stage_kernels; got {len(kernels)}.")
        upsamplings = tuple(Upsampling(tuple(stride), reduction) for stride, reduction in upsamples)
        return cls(
            latent_channels=section.get("in_channels", 128),
            out_channels=section.get("out_channels", 3),
            patch_size=section.get("patch_size", 4),
            head_dim=section.get("head_dim", section.get("na_head_dim", 64)),
            stage_channels=channels[:stages],
            stage_depths=depths[:stages],
            # A fifth kernel may be listed; the fifth stage has its own key.
            stage_kernels=tuple(tuple(kernel) for kernel in kernels[:stages]),
            upsamplings=upsamplings,
            context_channels=channels[stages - 1] // upsamplings[-1].reduction,
            denoiser_channels=section.get("stage5_channels") or channels[stages],
            denoiser_depth=depths[stages],
            denoiser_kernel=tuple(section.get("stage5_kernel", (3, 7, 7))),
            t_emb_dim=section.get("t_emb_dim", 384),
            timestep_scale_multiplier=section.get("timestep_scale_multiplier", 1.0),
            num_inference_steps=section.get("default_num_inference_steps", 2),
            predicts_x0=output_type == "x0",
        )

    @property
    def single_step(self) -> bool:
        """One evaluation whose output is the video: the noise of a tile is used once and need not be shared."""
        return self.num_inference_steps == 1 and self.predicts_x0

    @property
    def scale_factors(self) -> SpatioTemporalScaleFactors:
        """Pixels per latent cell."""
        time, height, width = _product(up.stride for up in self.upsamplings)
        return SpatioTemporalScaleFactors(time, height * self.patch_size, width * self.patch_size)

    @property
    def min_latent_size(self) -> Size:
        """Smallest latent in which every attention window fits."""
        kernels = (*self.stage_kernels, self.denoiser_kernel)
        strides = [_product(up.stride for up in self.upsamplings[:stage]) for stage in range(len(kernels))]
        time, height, width = (
            max(math.ceil(kernel[axis] / stride[axis]) for kernel, stride in zip(kernels, strides, strict=True))
            for axis in range(3)
        )
        return time, height, width

    @property
    def ghost_latents(self) -> int:
        """Copies of the last latent frame that are appended, so that no window of the content is cut at the end."""
        return self.stage_kernels[0][0] // 2 * 2


def _product(strides: Any) -> Size:
    """Axis-wise product; (1, 1, 1) for none."""
    result = (1, 1, 1)
    for stride in strides:
        result = tuple(a * b for a, b in zip(result, stride, strict=True))
    return result
