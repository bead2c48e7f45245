"""What the two reference generations do differently with conditioned latents (spec 06 §12, §17.2, §17.9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReferenceRules:
    """The generation whose numbers are reproduced.

    Attributes:
        items_write_latent: conditioning items write their tokens into the noisy latent as well as the clean one. It
            shows for partial strengths when a run starts below full noise.
        frozen_sigma_is_zero: a frozen modality reports sigma 0 to the model, not the sigma of the schedule.
    """

    items_write_latent: bool
    frozen_sigma_is_zero: bool


LTX_2_RULES = ReferenceRules(items_write_latent=True, frozen_sigma_is_zero=False)
"""LTX-2 and LTX-2.3 (reference 1.1.2)."""

LTX_2_5_RULES = ReferenceRules(items_write_latent=False, frozen_sigma_is_zero=True)
"""LTX-2.5 (reference 1.2.0)."""
