"""The nodes: one module per building block. A module that cannot be imported costs its own nodes, never the pack."""

from __future__ import annotations

import importlib
import logging

from comfy_api.latest import ComfyExtension, io

from .wires.refusals import refused_once
from .wires.values import guard

logger = logging.getLogger(__name__)

MODULES = (
    "loading.loaders",
    "loading.parallel_model",
    "text.text",
    "text.timed_prompt",
    "text.prompt_enhancement",
    "text.prompt_writer",
    "text.contexts",
    "text.duration",
    "latents.latents",
    "sampling.schedules",
    "guidance.guidance",
    "guidance.guidance_schedule",
    "guides.image_guide",
    "guides.reference",
    "guides.keyframes",
    "guides.regions",
    "latents.fitting",
    "files.blending",
    "guides.tracks",
    "guides.sheet",
    "sampling.windows",
    "sampling.fusion",
    "guidance.corrections",
    "sampling.sampler",
    "vae.video_vae",
    "files.video_file",
    "files.save_video",
    "files.alpha",
    "files.hdr",
    "files.save_hdr",
    "files.load_hdr",
    "files.encode_hdr",
    "vae.precision",
    "files.exposures",
    "vae.audio",
    "vae.upscale",
    "guides.dfr",
)


def collect_nodes() -> list[type[io.ComfyNode]]:
    """The node classes of every module that imports, in menu order, their values judged by their schemas first."""
    nodes: list[type[io.ComfyNode]] = []
    for name in MODULES:
        try:
            module = importlib.import_module(f".{name}", __package__)
        except ImportError as error:
            logger.error("LTX-2: the nodes of '%s' are unavailable: %s", name, error)
            continue
        nodes.extend(refused_once(guard(node)) for node in module.NODES)
    return nodes


class LTX2Extension(ComfyExtension):
    """The pack, as ComfyUI's V3 loader wants it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All available node classes."""
        return collect_nodes()
