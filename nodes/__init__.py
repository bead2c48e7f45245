"""The nodes: one module per building block. A module that cannot be imported costs its own nodes, never the pack."""

from __future__ import annotations

import importlib
import logging

from comfy_api.latest import ComfyExtension, io

logger = logging.getLogger(__name__)

MODULES = (
    "loaders",
    "text",
    "prompt_enhancement",
    "contexts",
    "duration",
    "latents",
    "schedules",
    "guidance",
    "guidance_schedule",
    "image_guide",
    "reference",
    "keyframes",
    "regions",
    "fitting",
    "blending",
    "tracks",
    "windows",
    "corrections",
    "sampler",
    "video_vae",
    "video_file",
    "save_video",
    "hdr",
    "save_hdr",
    "audio",
    "upscale",
    "dfr",
)


def collect_nodes() -> list[type[io.ComfyNode]]:
    """The node classes of every module that imports, in menu order."""
    nodes: list[type[io.ComfyNode]] = []
    for name in MODULES:
        try:
            module = importlib.import_module(f".{name}", __package__)
        except ImportError as error:
            logger.error("LTX-2: the nodes of '%s' are unavailable: %s", name, error)
            continue
        nodes.extend(module.NODES)
    return nodes


class LTX2Extension(ComfyExtension):
    """The pack, as ComfyUI's V3 loader wants it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All available node classes."""
        return collect_nodes()
