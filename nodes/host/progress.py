"""Progress bars of the running node, previews, and the user's cancel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management as mm
import comfy.utils
from PIL import Image
from torch import nn


def check_interrupt() -> None:
    """Raise ComfyUI's cancel exception when the user pressed cancel."""
    mm.throw_exception_if_processing_interrupted()


class Progress:
    """A progress bar of the running node; every update is also a chance to cancel."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(max(total, 1))

    def __call__(self, done: int, total: int | None = None, preview: Image.Image | None = None) -> None:
        """Show ``done`` of ``total``, with a picture if there is one."""
        check_interrupt()
        image = None if preview is None else ("JPEG", preview, 512)
        self._bar.update_absolute(done, total, image)


@contextmanager
def interruptible(module: nn.Module) -> Iterator[nn.Module]:
    """Check for cancel before every entry of every layer list of ``module`` (a transformer block, a VAE stage)."""
    layers = {layer for child in module.modules() if isinstance(child, nn.ModuleList) for layer in child}
    hooks = [layer.register_forward_pre_hook(lambda *_: check_interrupt()) for layer in layers]
    try:
        yield module
    finally:
        for hook in hooks:
            hook.remove()
