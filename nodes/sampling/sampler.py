"""The one sampler: everything that varies between pipelines is an input to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from comfy_api.latest import io

from ...ltx_core_impl import components as ltx_components
from ...ltx_core_impl import conditioning, sampling
from ...ltx_core_impl.presets import ANCESTRAL_SEED_OFFSET
from ...ltx_core_impl.types import LatentState, VideoPixelShape
from .. import host
from ..guidance.corrections import require_corrections
from ..guides.dfr import clock_of
from ..guides.keyframes import keyframes_latent
from ..guides.reference import check_references
from ..latents.latents import SeededNoise, require_seed
from ..latents.modalities import Start, audio_modality, video_modality, with_kept_parts
from ..loading import components
from ..wires import sockets
from ..wires.checks import (
    InputError,
    check_widgets,
    message_or_true,
    optional_handle,
    require,
    require_handle,
)
from ..wires.finite import require_finite
from ..wires.geometry import AudioGeometry, audio_geometry
from ..wires.handles import Guider, Guides, ModelHandle, Windows
from ..wires.inputs import NumberInput, unusual_audio_vae_input
from ..wires.versions import check_context_fits, check_fits_model, latent_version
from .denoising import Denoising, Tools, largest_part
from .fusion import check_fusion
from .preview import Preview
from .solvers import SOLVERS, window_loop
from .windows import require_windows

CATEGORY = "LTX-2/sampling"


class LTX2Sampler(io.ComfyNode):
    """Denoises video and sound together."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2Sampler",
            display_name="LTX-2 Sampler",
            category=CATEGORY,
            description="Denoises the video and audio latents together. Leave one of them out for silent video or for "
            "sound alone. A latent that is not empty is refined from the noise level of the first sigma; with core's "
            "'DisableNoise' it is taken as it is, as another sampler left it there.",
            inputs=[
                sockets.Model.Input("model", tooltip="From the checkpoint or LoRA loader."),
                sockets.Guider.Input("guider", tooltip="Prompts and guidance, from 'LTX-2 Guider'."),
                io.Sigmas.Input(
                    "sigmas",
                    tooltip="Noise levels, descending to 0; from a scheduler. A part of them ('Split Sigmas') leaves "
                    "or takes up a noisy latent.",
                ),
                io.Noise.Input(
                    "noise",
                    tooltip="From 'LTX-2 Latent Noise'; 'Disable Noise' where the latents come from a sampler that had "
                    "the sigmas before these.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default="euler",
                    tooltip="euler: what the pipelines use. res_2s: second order, twice the cost per step, for the HQ "
                    "recipe (15 steps). gradient_estimating_euler: euler with extrapolated velocity. euler_ancestral: "
                    "fresh noise in every step (LTX-2.5 distilled). The cfg_pp solvers follow the negative prompt and "
                    "cost one more pass.",
                ),
                io.Latent.Input("video_latent", optional=True, tooltip="Video latent; leave empty for sound alone."),
                io.Latent.Input("audio_latent", optional=True, tooltip="Audio latent; leave empty for silent video."),
                NumberInput(
                    "frame_rate",
                    optional=True,
                    force_input=True,
                    tooltip="Frames per second; only needed when the video latent does not carry it (latents of core "
                    "nodes).",
                ),
                sockets.Guides.Input(
                    "guides", optional=True, tooltip="Images, keyframes, references and other conditioning."
                ),
                sockets.VideoVAE.Input(
                    "video_vae",
                    optional=True,
                    tooltip="For the live preview, and for checkpoints whose latents differ from the published sizes.",
                ),
                unusual_audio_vae_input(),
                io.Float.Input(
                    "eta",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="How much of the noise the ancestral solvers renew in every step: 1 = all that they can, "
                    "0 = none (plain euler). 0.5 in the temporal rounds of DFR. Other solvers ignore it.",
                ),
                sockets.Windows.Input(
                    "windows",
                    optional=True,
                    tooltip="For clips longer or larger than the model's: from 'LTX-2 Context Windows', 'LTX-2 "
                    "Spatial Tiles' or 'LTX-2 Tiled Fusion'.",
                ),
                sockets.Corrections.Input(
                    "corrections", optional=True, tooltip="Corrections of chosen steps, from 'LTX-2 Step Correction'."
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="video_latent", tooltip="Denoised video latent."),
                io.Latent.Output(display_name="audio_latent", tooltip="Denoised audio latent."),
                io.Latent.Output(
                    display_name="keyframes",
                    tooltip="What 'LTX-2 Keyframe Slots' asked for, as clips of one frame: to decode, to upscale, or "
                    "for the next stage. Empty without slots.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, solver) -> bool | str:
        return message_or_true(lambda: check_widgets(cls, solver=solver))

    @classmethod
    def execute(
        cls,
        model,
        guider,
        sigmas,
        noise,
        solver,
        video_latent=None,
        audio_latent=None,
        frame_rate=None,
        guides=None,
        video_vae=None,
        audio_vae=None,
        eta=1.0,
        windows=None,
        corrections=None,
    ) -> io.NodeOutput:
        check_widgets(cls, solver=solver, eta=eta)
        handle = require_handle(model, "transformer", "model")
        guider = _fitting_guider(guider, handle)
        video_handle, audio_handle = optional_handle(video_vae, "video_vae"), optional_handle(audio_vae, "audio_vae")
        for vae in filter(None, (video_handle, audio_handle)):
            check_fits_model(vae, handle, vae.component)
        sigmas, start_seed, loop_seed = sampling.checked_sigmas(sigmas), *_seeds(noise)
        guides = guides or Guides()
        check_references(handle, guides)
        start = Start(sigmas[0].item(), continues=_is_off(noise))
        video = video_modality(video_latent, handle, video_handle, frame_rate, start, guides)
        audio = audio_modality(audio_latent, handle, audio_handle, start, guides)
        batch = _batch_size(video, audio)
        _check_durations(video, audio, audio_geometry(audio_handle))
        windows = _fitting_windows(windows, video, handle, sigmas)
        check_fusion(windows, video, audio, guider, solver)

        row = components.bytes_per_row(handle, largest_part(windows, video), audio)
        denoising = Denoising(
            guider=guider,
            sigmas=sigmas,
            windows=windows,
            corrections=require_corrections(corrections),
            force_uncond=solver.endswith("cfg_pp"),
            rows_at_once=host.rows_at_once(row, handle.device),
            device=host.compute_device(handle.device),
            dtype=components.transformer_dtype(handle),
            clock=clock_of(video_latent),
        )
        rows = denoising.passes * batch
        states = _denoised(
            handle,
            denoising,
            video,
            audio,
            noiser=ltx_components.GaussianNoiser(SeededNoise(start_seed).generators(batch)),
            loop_of=partial(window_loop, solver, eta, loop_seed, batch),
            working_memory=row * min(rows, denoising.rows_at_once or rows),
            preview=Preview(video_handle) if video is not None and video_handle is not None else None,
        )

        video_result = _output(states[0], video_latent, guides.video, "video_latent")
        if video_result is not None:
            video_result |= {"frame_rate": video.tools.fps, **latent_version(handle)}
        audio_result = _output(states[1], audio_latent, guides.audio, "audio_latent")
        if audio_result is not None:
            audio_result |= latent_version(handle)
        return io.NodeOutput(video_result, audio_result, _keyframes(states[0], video_result))


# Checking


def _seeds(noise: Any) -> tuple[int, int]:
    """The seeds of the starting noise and of the noise that some solvers add in their steps.

    Core's RandomNoise gives a seed as well; the noise itself is always drawn as the reference draws it.
    """
    seed = require_seed(noise)
    loop_seed = getattr(noise, "loop_seed", None)
    return seed, seed + ANCESTRAL_SEED_OFFSET if loop_seed is None else loop_seed


def _is_off(noise: Any) -> bool:
    """Whether this is core's DisableNoise: the latents still hold the noise of the first sigma."""
    return not noise.generate_noise({"samples": torch.zeros(1, 1, 1, 2, 2)}).any()


def _fitting_guider(value: Any, model: ModelHandle) -> Guider:
    """The guider on the wire. Raises `InputError` when its prompts are for another model version."""
    guider = require(value, Guider, "guider", "the output of 'LTX-2 Guider'")
    for name, context in (("positive", guider.positive), ("negative", guider.negative)):
        if context is not None:
            check_context_fits(context, model, f"The {name} prompt")
    return guider


def _fitting_windows(
    value: Any, video: sampling.StageModality | None, model: ModelHandle, sigmas: torch.Tensor
) -> Windows:
    """The windows on the wire. Raises `InputError` for a run that they do not fit."""
    windows = require_windows(value)
    if value is not None and video is None:
        raise InputError("windows divides a clip by its picture, but video_latent is not connected. Disconnect one.")
    if windows.length and sigmas[-1] > 0:
        raise InputError(
            f"sigmas ends at {sigmas[-1].item():.4g}, but windows go on from one another's finished pictures. Give "
            "them sigmas that end at 0."
        )
    for number, context in enumerate(windows.segments, start=1):
        check_context_fits(context, model, f"Prompt {number} of the segments")
    return windows


def _batch_size(video: sampling.StageModality | None, audio: sampling.StageModality | None) -> int:
    sizes = {one.tools.target_shape.batch for one in (video, audio) if one is not None}
    if not sizes:
        raise InputError("Neither video_latent nor audio_latent is connected. Connect 'LTX-2 Empty Latents'.")
    if len(sizes) > 1:
        raise InputError(
            f"video_latent has a batch of {video.tools.target_shape.batch}, audio_latent of "
            f"{audio.tools.target_shape.batch}. Make both with the same 'LTX-2 Empty Latents'."
        )
    return sizes.pop()


def _check_durations(
    video: sampling.StageModality | None, audio: sampling.StageModality | None, geometry: AudioGeometry
) -> None:
    """Sound lasts as long as its picture; one latent more or less is what core nodes make of it."""
    if video is None or audio is None:
        return
    tools, found = video.tools, audio.tools.target_shape.frames
    frames = tools.target_shape.upscale(tools.scale_factors).frames
    needed = geometry.latent_shape(VideoPixelShape(batch=1, frames=frames, height=1, width=1, fps=tools.fps)).frames
    if abs(found - needed) > 1:
        raise InputError(
            f"audio_latent has {found} frames, but video_latent lasts {frames / tools.fps:.2f} s (at "
            f"{tools.fps:g} per second), which is {needed}. Make both with the same 'LTX-2 Empty Latents', or connect "
            "video_latent to fit_to of 'LTX-2 Audio VAE Encode'."
        )


# Running


def _denoised(
    handle: ModelHandle,
    denoising: Denoising,
    video: sampling.StageModality | None,
    audio: sampling.StageModality | None,
    noiser: ltx_components.Noiser,
    loop_of: Callable[[int], Callable[..., sampling.States]],
    working_memory: int,
    preview: Preview | None,
) -> sampling.States:
    """The states after the last step. The node shows the steps, with pictures where there is a preview."""
    tools = Tools.of(video, audio)
    progress = host.Progress(len(denoising.sigmas) - 1, "Sampling")

    def report(index: int, steps: int, video_state: LatentState | None, audio_state: LatentState | None) -> None:
        if preview is None or video_state is None:
            progress(index + 1, steps)
        else:
            progress(index + 1, steps, *preview(video_state.latent))

    with components.transformer(handle, working_memory) as model, model.velocity_model.keep_text():
        return sampling.denoise_stage(
            transformer=model,
            denoiser=denoising.denoiser(tools),
            sigmas=denoising.sigmas,
            noiser=noiser,
            device=denoising.device,
            dtype=denoising.dtype,
            video=video,
            audio=audio,
            loop=denoising.loop(tools, loop_of),
            callback=report,
        )


# Results


def _output(
    state: LatentState | None, latent: dict | None, items: tuple[conditioning.ConditioningItem, ...], name: str
) -> dict | None:
    """The LATENT of a stream with all that the given one carries besides its mask."""
    if state is None:
        return None
    unmasked = {key: value for key, value in latent.items() if key != "noise_mask"}
    kind = "The sampled picture" if name == "video_latent" else "The sampled sound"
    samples = require_finite(state.latent.float().to(host.output_device()), kind)
    return {**unmasked, "samples": with_kept_parts(samples, latent, items, name)}


def _keyframes(state: LatentState | None, video: dict | None) -> dict | None:
    """The LATENT of the keyframes that the guides asked for."""
    if state is None or state.generated_keyframes is None:
        return None
    keyframes = state.generated_keyframes.float().to(host.output_device()).split(1, dim=2)
    return keyframes_latent(dict(zip(state.generated_keyframe_layout.pixel_indices, keyframes, strict=True)), video)


NODES = [LTX2Sampler]
