"""Progress of the running node in named phases, previews, and the user's cancel."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import comfy.model_management as mm
import comfy.utils
from PIL import Image
from torch import nn
from tqdm import tqdm

from .latest import Latest

PHASE_EVENT, MOTION_EVENT = "ltx2.phase", "ltx2.motion"
_EVENT_SECONDS = 0.1
_MOTION_SIDE = 256
# Encoding the frames takes longer than the rest of a report, and on a fast card as long as a step.
_moving = Latest("LTX-2 moving preview")
_silent: ContextVar[bool] = ContextVar("ltx2_silent_progress", default=False)


def check_interrupt() -> None:
    """Raise ComfyUI's cancel exception when the user pressed cancel."""
    mm.throw_exception_if_processing_interrupted()


@contextmanager
def silent_progress() -> Iterator[None]:
    """No bar for what happens inside, which is over before a person could read its name; cancel works as ever."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


class Progress:
    """The bar of a phase of the running node; every update is also a chance to cancel.

    The node shows the bar, the console the phase by its name with the time left, and the pack's script in the browser
    gets both. ``share`` is how far the node's bar goes in this phase: one that is full stands for a node that is done,
    so the phases before the last one fill a part of it.
    """

    def __init__(self, total: int, phase: str, unit: str = "step", share: float = 1.0) -> None:
        self._phase, self._unit, self._share = phase, unit, share
        self._shown = not _silent.get()
        self._bar = comfy.utils.ProgressBar(max(total, 1)) if self._shown else None
        self._console: tqdm | None = None
        self._total, self._begun, self._sent = max(total, 1), time.monotonic(), 0.0

    def __call__(
        self,
        done: int,
        total: int | None = None,
        preview: Image.Image | None = None,
        motion: Sequence[Image.Image] = (),
    ) -> None:
        """Show ``done`` of ``total``, with a picture if there is one, and with the frames of a moving one."""
        check_interrupt()
        if not self._shown:
            return
        self._total = total or self._total
        self._bar.update_absolute(done, self._total / self._share, None if preview is None else ("JPEG", preview, 512))
        self._print(done)
        self._say(done)
        if motion:
            _moving(lambda: _send(MOTION_EVENT, {"frames": [_jpeg(picture) for picture in motion]}))

    def _print(self, done: int) -> None:
        if self._console is None:
            hidden = not getattr(comfy.utils, "PROGRESS_BAR_ENABLED", True)
            self._console = tqdm(
                total=self._total, desc=f"LTX-2 {self._phase}", unit=self._unit, disable=hidden, mininterval=0.5
            )
        self._console.total = self._total
        self._console.update(done - self._console.n)
        if done >= self._total:
            self._console.close()

    def _say(self, done: int) -> None:
        now = time.monotonic()
        if now - self._sent < _EVENT_SECONDS and done < self._total:
            return
        self._sent = now
        left = (now - self._begun) / done * (self._total - done) if done else None
        _send(
            PHASE_EVENT,
            {"phase": self._phase, "unit": self._unit, "done": done, "total": self._total, "seconds_left": left},
        )


def _send(event: str, data: dict[str, Any]) -> None:
    """An event about the running node, to the browser that runs it; nothing without a server or a running node."""
    try:
        from comfy_execution.utils import get_executing_context
        from server import PromptServer
    except ImportError:
        return
    server, context = getattr(PromptServer, "instance", None), get_executing_context()
    if server is not None and context is not None and getattr(server, "client_id", None) is not None:
        server.send_sync(event, {"node": context.node_id, "prompt_id": context.prompt_id} | data, server.client_id)


def _jpeg(picture: Image.Image) -> str:
    """A small picture as JPEG in base64, enlarged here: a browser is slow to encode what it has enlarged."""
    factor = max(1, _MOTION_SIDE // max(picture.size))
    file = io.BytesIO()
    larger = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BILINEAR)
    larger.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


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
