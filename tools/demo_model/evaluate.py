"""Measures the demo model and writes docs/demo-model/results.json, sample strips and plots.

python -m tools.demo_model.evaluate --clips 200
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ltx_core_impl.conditioning.video_items import VideoConditionByLatentIndex, VideoConditionByMask
from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.upsampler import LatentUpsamplerConfigurator, upsample_video

from .export import LORA, UPSCALER
from .generate import DemoPipeline, Settings
from .latents import AUDIO_FRAMES, is_held_out
from .measure import beeps_match, bounce_times, measure_picture, measure_sound, psnr
from .prompts import describe
from .train_audio_vae import log_mel
from .world import FPS, PITCHES, SIZE, Scene, draw_scene, render_audio, render_video

BATCH = 8
KEPT_LATENT_FRAMES = 3
BEEP_TOLERANCE = 2 / FPS
Results = dict[str, Any]


def held_out_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes whose combination of words was never trained on; a quarter bounces."""
    generator = torch.Generator().manual_seed(seed)
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = draw_scene(generator, **({"motion": "bounce"} if len(scenes) % 4 == 0 else {}))
        if is_held_out(scene):
            scenes.append(scene)
    return scenes


def prompts_of(scenes: Sequence[Scene], seed: int) -> list[str]:
    """Prompts in word orders that were never trained on."""
    generator = torch.Generator().manual_seed(seed)
    return [describe(scene, generator, held_out=True) for scene in scenes]


def judge(scenes: Sequence[Scene], frames: Tensor, sound: Tensor, rate: int) -> Results:
    """Shares of clips that are what their scene says."""
    counts: dict[str, list[bool]] = {}
    offsets: list[float] = []

    def note(name: str, right: bool) -> None:
        counts.setdefault(name, []).append(right)

    for scene, clip, waveform in zip(scenes, frames, sound, strict=True):
        picture, heard = measure_picture(clip), measure_sound(waveform, rate)
        note("color", picture.color == scene.color)
        note("ground", picture.ground == scene.ground)
        note("motion", picture.motion == scene.motion)
        if scene.motion in ("left", "right", "up", "down"):
            note("direction", picture.motion == scene.motion)
        note("pitch", heard.pitch == scene.pitch and abs(heard.frequency / PITCHES[scene.pitch] - 1) < 0.06)
        if scene.motion == "bounce":
            bounces = bounce_times(picture, FPS)
            note("beep within two frames of a bounce", beeps_match(heard.onsets, bounces, BEEP_TOLERANCE))
            note("beep within one frame of a bounce", beeps_match(heard.onsets, bounces, BEEP_TOLERANCE / 2))
            offsets += [min(abs(onset - bounce) for bounce in bounces) for onset in heard.onsets if bounces]
    shares: Results = {name: round(sum(values) / len(values), 3) for name, values in counts.items()}
    shares |= {f"clips judged by {name}": len(values) for name, values in counts.items()}
    if offsets:
        shares["mean distance of beep and bounce, seconds"] = round(sum(offsets) / len(offsets), 3)
    return shares


def adherence(pipeline: DemoPipeline, scenes: Sequence[Scene], texts: Sequence[str], settings: Settings) -> Results:
    """Generate every clip and judge it."""
    frames, sound = [], []
    for start in range(0, len(scenes), BATCH):
        part = slice(start, start + BATCH)
        video, audio = pipeline.sample(texts[part], range(1000 + start, 1000 + start + len(texts[part])), settings)
        frames.append(pipeline.frames(video))
        sound.append(pipeline.sound(audio))
    return judge(scenes, torch.cat(frames), torch.cat(sound), pipeline.vocoder.output_sampling_rate)


def reconstruction(pipeline: DemoPipeline, scenes: Sequence[Scene]) -> Results:
    """What the autoencoders and the vocoder lose."""
    clips, waveform = render_video(scenes), render_audio(scenes)
    mel = log_mel(waveform, pipeline.processor)
    with torch.no_grad():
        decoded = pipeline.video_decoder(pipeline.video_encoder(clips)).clamp(-1, 1)
        restored = pipeline.audio_decoder(pipeline.audio_encoder(mel)[:, :, :AUDIO_FRAMES])
        spoken = pipeline.vocoder(restored)
    rate = pipeline.vocoder.output_sampling_rate
    exact = [measure_sound(wave, rate) for wave in spoken]
    right = [abs(heard.frequency / PITCHES[scene.pitch] - 1) < 0.03 for heard, scene in zip(exact, scenes, strict=True)]
    wanted = mel[:, :, : restored.shape[2]]
    return {
        "clips": len(scenes),
        "video PSNR, dB": round(psnr(decoded, clips, span=2.0), 2),
        "video PSNR of the first frame, dB": round(psnr(decoded[:, :, 0], clips[:, :, 0], span=2.0), 2),
        "log-mel mean absolute error": round(float((restored - wanted).abs().mean()), 3),
        "vocoder pitch right within 3 %": round(sum(right) / len(right), 3),
    }


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
    """PSNR of clips upscaled in latent space, and of the decoded small clip enlarged by interpolation."""
    upscaler = SingleGPUModelBuilder(LatentUpsamplerConfigurator, path).build("cpu", torch.float32)
    large = render_video(scenes, size=2 * SIZE)
    with torch.no_grad():
        latent = pipeline.video_encoder(render_video(scenes))
        produced = pipeline.video_decoder(upsample_video(latent, pipeline.video_encoder, upscaler))
        small = pipeline.video_decoder(latent)
        direct = pipeline.video_decoder(pipeline.video_encoder(large))
    enlarged = torch.nn.functional.interpolate(small, scale_factor=(1, 2, 2), mode="trilinear")
    return {
        "clips": len(scenes),
        "PSNR of the upscaled latent, dB": round(psnr(produced, large, span=2.0), 2),
        "PSNR of the small clip enlarged, dB": round(psnr(enlarged, large, span=2.0), 2),
        "PSNR of the large clip encoded and decoded, dB": round(psnr(direct, large, span=2.0), 2),
    }


def peak_memory() -> int:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def strip(frames: Tensor, every: int = 2, scale: int = 1) -> Image.Image:
    """Frames ``(F, H, W, 3)`` side by side."""
    row = torch.cat(list(frames[::every]), dim=1)
    image = Image.fromarray((row * 255).round().byte().numpy())
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models/demo"))
    parser.add_argument("--target", type=Path, default=Path("docs/demo-model"))
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--cfg", type=float, default=Settings.cfg)
    parser.add_argument("--seed", type=int, default=99)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.target.mkdir(parents=True, exist_ok=True)

    pipeline = DemoPipeline(arguments.models)
    settings = Settings(steps=arguments.steps, cfg=arguments.cfg)
    scenes = held_out_scenes(arguments.clips, arguments.seed)
    texts = prompts_of(scenes, arguments.seed + 1)
    results: Results = {"settings": {"steps": settings.steps, "cfg": settings.cfg, "clips": len(scenes)}}

    def record(name: str, value: Results) -> None:
        results[name] = value
        (arguments.target / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        print(name, json.dumps(value), flush=True)

    record("reconstruction", reconstruction(pipeline, scenes[:32]))
    samples(pipeline, settings, arguments.target)
    began = time.process_time()
    record("prompt adherence", adherence(pipeline, scenes, texts, settings))
    seconds = (time.process_time() - began) / len(scenes)
    record("speed", {"CPU seconds per clip, one thread": round(seconds, 2), "peak memory, MB": peak_memory()})
    fewer = max(BATCH, len(scenes) // 4)
    record("without CFG", adherence(pipeline, scenes[:fewer], texts[:fewer], replace(settings, cfg=1.0)))
    rotated = [*texts[1:fewer], texts[0]]
    record("with the prompt of another scene", adherence(pipeline, scenes[:fewer], rotated, settings))
    record("image to video", image_to_video(pipeline, scenes[:8], texts[:8], settings))
    record("retake", retake(pipeline, scenes[:8], texts[:8], settings))
    bouncing = [(s, t) for s, t in zip(scenes, texts, strict=True) if s.motion == "bounce"][:16]
    record("sound to picture", audio_to_video(pipeline, *zip(*bouncing, strict=True), settings))
    if (arguments.models / UPSCALER).is_file():
        record("upscaler", upscaling(pipeline, scenes[:8], arguments.models / UPSCALER))
    if (arguments.models / LORA).is_file():
        distilled = DemoPipeline(arguments.models, lora=LORA)
        record("distilled", adherence(distilled, scenes[:fewer], texts[:fewer], Settings(steps=0, cfg=1.0)))


SAMPLES = (
    "a red circle moves slowly to the left while a low tone plays",
    "A yellow square grows on a black background with a high tone",
    "a white triangle bounces on a blue background with a middle beep at each bounce",
    "A green circle rises in front of a gray background and a deep tone sounds",
)


def samples(pipeline: DemoPipeline, settings: Settings, target: Path) -> None:
    """One strip of frames for each of a few prompts."""
    video, _ = pipeline.sample(SAMPLES, range(len(SAMPLES)), settings)
    for index, frames in enumerate(pipeline.frames(video)):
        strip(frames).save(target / f"sample-{index + 1}.png", optimize=True)


if __name__ == "__main__":
    main()
