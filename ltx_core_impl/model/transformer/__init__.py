"""The dual-stream diffusion transformer."""

from .modality import Modality

__all__ = ["Modality"]
