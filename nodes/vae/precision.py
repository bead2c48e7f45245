"""A video VAE that computes in 32 bit."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from .. import host
from ..wires import sockets
from ..wires.checks import require_handle

CATEGORY = "LTX-2/loaders"


class LTX2Float32VAE(io.ComfyNode):
    """The same VAE in float32, for the wires behind this node alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2Float32VAE",
            display_name="LTX-2 VAE in Float32",
            category=CATEGORY,
            description="The video VAE in 32 bit, for HDR: encoders and decoders behind this node compute in it, and "
            "guides hand it their pictures without rounding them to 8 bits. Other wires of the loader stay as they "
            "are. Twice the memory for weights and work.",
            inputs=[sockets.VideoVAE.Input("video_vae", tooltip="From a loader.")],
            outputs=[sockets.VideoVAE.Output(display_name="video_vae", tooltip="The VAE in float32.")],
        )

    @classmethod
    def execute(cls, video_vae) -> io.NodeOutput:
        handle = require_handle(video_vae, "video_vae", "video_vae")
        return io.NodeOutput(host.intern(replace(handle, float32=True)))


NODES = [LTX2Float32VAE]
