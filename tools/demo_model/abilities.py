"""Measures what the demo model does besides text to video: pictures, sound, regions and outlines given, two stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ltx_core_impl.conditioning.video_items import (
    VideoConditionByKeyframeIndex,
    VideoConditionByLatentIndex,
    VideoConditionByMask,
    VideoConditionByReferenceLatent,
)
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator, upsample_video

from .generate import DemoPipeline, Settings
from .judge import BEEP_TOLERANCE, Results, judge
from .latents import AUDIO_FRAMES
from .measure import beeps_match, bounce_times, measure_picture, psnr
from .train_audio_vae import log_mel
from .world import FPS, FRAMES, SIZE, Scene, render_audio, render_video

KEPT_LATENT_FRAMES = 3


def image_to_video(
    pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings
) -> Results:
    """PSNR between the given and the produced first frame."""
    clips = render_video(scenes)
    values = []
    for index, text in enumerate(texts):
        with torch.no_grad():
            image = pipeline.video_encoder(clips[index : index + 1, :, :1])
        item = VideoConditionByLatentIndex(latent=image, strength=1.0, latent_idx=0)
        video, _ = pipeline.sample([text], [500 + index], settings, conditionings=[item])
        given = (clips[index, :, 0].permute(1, 2, 0) + 1) / 2
        values.append(psnr(pipeline.frames(video)[0, 0], given))
    return {"clips": len(values), "PSNR of the first frame, dB": round(sum(values) / len(values), 2)}


def keyframes(pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings) -> Results:
    """PSNR of the first and the last frame, given as guides, and of the middle one, which is not given."""
    clips = render_video(scenes)
    with torch.no_grad():
        first, last = (pipeline.video_encoder(clips[:, :, frame : frame + 1]) for frame in (0, FRAMES - 1))
    items = [
        VideoConditionByLatentIndex(latent=first, strength=1.0, latent_idx=0),
        VideoConditionByKeyframeIndex(keyframes=last, frame_idx=FRAMES - 1, strength=1.0),
    ]
    video, _ = pipeline.sample(texts, range(800, 800 + len(texts)), settings, conditionings=items)
    frames, wanted = pipeline.frames(video), (clips.permute(0, 2, 3, 4, 1) + 1) / 2
    names = {"first": 0, "middle (not given)": FRAMES // 2, "last": FRAMES - 1}
    values = {f"PSNR of the {n} frame, dB": round(psnr(frames[:, f], wanted[:, f]), 2) for n, f in names.items()}
    return {"clips": len(scenes)} | values


def control(pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings) -> Results:
    """How closely the shape follows an outline, with the control LoRA, and whether its colour is the prompt's."""
    with torch.no_grad():
        outline = pipeline.video_encoder(render_video(scenes, outline=True))
    distances: dict[str, list[float]] = {"with the outline": [], "without it": []}
    colors = []
    for name, items in (("with the outline", [VideoConditionByReferenceLatent(latent=outline)]), ("without it", [])):
        video, _ = pipeline.sample(texts, range(900, 900 + len(texts)), settings, conditionings=items)
        for scene, clip, wanted in zip(scenes, pipeline.frames(video), render_video(scenes), strict=True):
            seen, true = (measure_picture(frames) for frames in (clip, (wanted.permute(1, 2, 3, 0) + 1) / 2))
            if len(seen.center) == len(true.center):
                distances[name].append(float((seen.center - true.center).norm(dim=1).mean()))
            if items:
                colors.append(seen.color == scene.color)
    means = {f"distance from the outline's path {n}, widths": round(sum(v) / len(v), 3) for n, v in distances.items()}
    return {"clips": len(scenes), **means, "color": round(sum(colors) / len(colors), 3)}


def second_stage(
    pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings, upscaler: Path
) -> Results:
    """Clips of 64 pixels, upscaled, and refined at 128 pixels: judged before and after."""
    model = SingleGPUModelBuilder(LatentUpsamplerConfigurator, upscaler).build("cpu", torch.float32)
    video, audio = pipeline.sample(texts, range(400, 400 + len(texts)), settings)
    with torch.no_grad():
        large = upsample_video(video, pipeline.video_encoder, model)
    refined = pipeline.sample(texts, range(450, 450 + len(texts)), settings, refined=(large, audio))
    clips = {"first stage": (video, audio), "upscaler": (large, audio), "second stage": refined}
    rate = pipeline.vocoder.output_sampling_rate
    shares = {
        name: judge(scenes, pipeline.frames(seen), pipeline.sound(heard), rate) for name, (seen, heard) in clips.items()
    }
    true = (render_video(scenes, size=2 * SIZE) + 1) / 2
    return {
        "clips": len(scenes),
        **{
            f"{what} after the {name}": share[what]
            for name, share in shares.items()
            for what in ("shape", "color", "motion")
        },
        "squared gradient after the upscaler": round(sharpness(pipeline.frames(large)), 5),
        "squared gradient after the second stage": round(sharpness(pipeline.frames(refined[0])), 5),
        "squared gradient of true frames": round(sharpness(true.permute(0, 2, 3, 4, 1)), 5),
    }


def sharpness(frames: Tensor) -> float:
    """Mean squared difference of neighbouring pixels of ``(B, F, H, W, 3)``, over height plus over width."""
    return float(sum(frames.diff(dim=side).square().mean() for side in (2, 3)))


def audio_to_video(
    pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings
) -> Results:
    """How well the bounces of a picture follow the beeps of a given sound."""
    mel = log_mel(render_audio(scenes), pipeline.processor)
    with torch.no_grad():
        latent = pipeline.audio_encoder(mel)[:, :, :AUDIO_FRAMES]
    video, _ = pipeline.sample(texts, range(300, 300 + len(texts)), settings, given_audio=latent)
    matches, offsets = [], []
    for scene, clip in zip(scenes, pipeline.frames(video), strict=True):
        bounces = bounce_times(measure_picture(clip), FPS)
        beeps = [beep for beep in scene.bounces(mel.shape[2] / 100) if beep < 2.0]
        matches.append(beeps_match(beeps, bounces, BEEP_TOLERANCE))
        offsets += [min(abs(beep - bounce) for bounce in bounces) for beep in beeps if bounces]
    mean = sum(offsets) / max(1, len(offsets))
    return {
        "clips": len(matches),
        "all beeps within two frames of a bounce": round(sum(matches) / len(matches), 3),
        "mean distance, seconds": round(mean, 3),
    }


def retake(pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings) -> Results:
    """The first three latent frames are kept, the rest is made anew: how close the kept frames come out."""
    clips = render_video(scenes)
    with torch.no_grad():
        latent = pipeline.video_encoder(clips)
    mask = torch.zeros(len(scenes), *latent.shape[2:])
    mask[:, :KEPT_LATENT_FRAMES] = 1
    item = VideoConditionByMask(latent=latent, mask=mask, strength=1.0)
    video, _ = pipeline.sample(texts, range(700, 700 + len(texts)), settings, conditionings=[item])
    kept = (KEPT_LATENT_FRAMES - 1) * pipeline.video_encoder.scale_factors.time  # the next group blends into the last
    before, after = pipeline.frames(latent)[:, :kept], pipeline.frames(video)[:, :kept]
    return {
        "clips": len(scenes),
        "PSNR of the kept frames against the decoded original, dB": round(psnr(before, after), 2),
    }


def upscaling(pipeline: DemoPipeline, scenes: Sequence[Scene], path: Path) -> Results:
    """PSNR of clips upscaled in latent space, against interpolation of the latent and of the decoded small clip."""
    upscaler = SingleGPUModelBuilder(LatentUpsamplerConfigurator, path).build("cpu", torch.float32)
    large = render_video(scenes, size=2 * SIZE)
    with torch.no_grad():
        latent = pipeline.video_encoder(render_video(scenes))
        produced = pipeline.video_decoder(upsample_video(latent, pipeline.video_encoder, upscaler))
        small = pipeline.video_decoder(latent)
        stretched = pipeline.video_decoder(enlarge(latent))
        direct = pipeline.video_decoder(pipeline.video_encoder(large))
    return {
        "clips": len(scenes),
        "PSNR of the upscaled latent, dB": round(psnr(produced, large, span=2.0), 2),
        "PSNR of the latent enlarged by interpolation, dB": round(psnr(stretched, large, span=2.0), 2),
        "PSNR of the decoded small clip enlarged, dB": round(psnr(enlarge(small), large, span=2.0), 2),
        "PSNR of the large clip encoded and decoded, dB": round(psnr(direct, large, span=2.0), 2),
    }


def enlarge(clip: Tensor) -> Tensor:
    """``(B, C, F, H, W)`` at twice the height and width, by linear interpolation."""
    return F.interpolate(clip, scale_factor=(1, 2, 2), mode="trilinear")
