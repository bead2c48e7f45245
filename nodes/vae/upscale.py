"""Latent upscaling between stages."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ...ltx_core_impl.model import upsampler
from .. import host
from ..loading import components
from ..loading.judging import judge_parts
from ..wires import sockets
from ..wires.checks import InputError, check_widgets, latent_samples, message_or_true, require_handle
from ..wires.finite import require_finite
from ..wires.handles import ComponentHandle
from ..wires.inputs import device_input
from ..wires.versions import check_fits_model, check_latent_fits

CATEGORY = "LTX-2/upscale"
FOLDERS = ("latent_upscale_models",)


class LTX2UpscalerLoader(io.ComfyNode):
    """A latent upscaler file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2UpscalerLoader",
            display_name="LTX-2 Load Latent Upscaler",
            category="LTX-2/loaders",
            description="Chooses a latent upscaler: spatial x2 or x1.5, or temporal x2.",
            inputs=[
                io.Combo.Input(
                    "upscaler",
                    options=host.file_options(*FOLDERS),
                    tooltip="File in models/latent_upscale_models. It must belong to the model version in use.",
                ),
                device_input(host.device_options()),
            ],
            outputs=[sockets.Upscaler.Output(display_name="upscaler", tooltip="For 'LTX-2 Latent Upscale'.")],
        )

    @classmethod
    def validate_inputs(cls, upscaler) -> bool | str:
        return message_or_true(lambda: upscaler is None or judge_parts(cls._handle(upscaler).file))

    @classmethod
    def fingerprint_inputs(cls, upscaler, **_) -> str:
        return repr(host.find_file(upscaler, *FOLDERS, input_name="upscaler"))

    @staticmethod
    def _handle(name: str) -> ComponentHandle:
        file = host.find_file(name, *FOLDERS, input_name="upscaler")
        return components.describe_component(file, "upsampler")

    @classmethod
    def execute(cls, upscaler, device=host.DEFAULT_DEVICE) -> io.NodeOutput:
        check_widgets(cls, device=device)
        return io.NodeOutput(host.intern(replace(cls._handle(upscaler), device=device)))


class LTX2LatentUpscale(io.ComfyNode):
    """Upscales a video latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2LatentUpscale",
            display_name="LTX-2 Latent Upscale",
            category=CATEGORY,
            description="Upscales a video latent for the second stage: larger pictures, or twice the frame rate. "
            "Generated keyframes are upscaled like a video latent.",
            inputs=[
                io.Latent.Input("video_latent", tooltip="Video latent of the first stage."),
                sockets.Upscaler.Input("upscaler", tooltip="From 'LTX-2 Load Latent Upscaler'."),
                sockets.VideoVAE.Input(
                    "video_vae", tooltip="The VAE of the model; its statistics frame the upscaling."
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="The larger latent."),
                io.Float.Output(display_name="frame_rate", tooltip="Doubled by a temporal upscaler, else unchanged."),
            ],
        )

    @classmethod
    def execute(cls, video_latent, upscaler, video_vae) -> io.NodeOutput:
        samples = latent_samples(video_latent, "video", "video_latent")
        model_handle = require_handle(upscaler, "upsampler", "upscaler")
        vae_handle = require_handle(video_vae, "video_vae", "video_vae")
        check_latent_fits(video_latent, vae_handle, "video_latent")
        check_latent_fits(video_latent, model_handle, "video_latent")
        check_fits_model(model_handle, vae_handle, "upscaler")
        with components.video_statistics(vae_handle) as statistics, components.upsampler(model_handle) as model:
            if samples.shape[1] != model.in_channels:
                raise InputError(
                    f"video_latent has {samples.shape[1]} channels; this upscaler takes {model.in_channels}. "
                    "Use the upscaler of the model version that made the latent."
                )
            larger = upsampler.upsample_video(components.like(samples, model).float(), statistics, model)
        # A mask of the smaller latent says nothing about the larger one.
        kept = {key: value for key, value in video_latent.items() if key != "noise_mask"}
        larger = require_finite(larger.float().to(host.output_device()), "The upscaled picture")
        result = {**kept, "samples": larger}
        frame_rate = video_latent.get("frame_rate")
        if frame_rate is not None and larger.shape[2] != samples.shape[2]:
            frame_rate = result["frame_rate"] = frame_rate * 2
        return io.NodeOutput(result, frame_rate)


NODES = [LTX2UpscalerLoader, LTX2LatentUpscale]
