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

import torch
from PIL import Image
from torch import Tensor

from .abilities import audio_to_video, control, image_to_video, keyframes, retake, second_stage, upscaling
from .export import CONTROL, LORA, UPSCALER
from .generate import DemoPipeline, Settings
from .judge import Results, judge
from .latents import AUDIO_FRAMES, is_held_out
from .measure import measure_sound, psnr
from .prompts import describe
from .train_audio_vae import log_mel
from .world import PITCHES, Scene, draw_scene, render_audio, render_video

BATCH = 8


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
    record("without CFG", adherence(pipeline, scenes, texts, replace(settings, cfg=1.0)))
    rotated = [*texts[1:fewer], texts[0]]
    record("with the prompt of another scene", adherence(pipeline, scenes[:fewer], rotated, settings))
    record("with STG 1", adherence(pipeline, scenes[:fewer], texts[:fewer], replace(settings, stg=1.0)))
    bouncing = [(s, t) for s, t in zip(scenes, texts, strict=True) if s.motion == "bounce"][:fewer]
    for name, modality in (("bounces", 1.0), ("bounces with modality guidance 3", 3.0)):
        record(name, adherence(pipeline, *zip(*bouncing, strict=True), replace(settings, modality=modality)))
    record("image to video", image_to_video(pipeline, scenes[:8], texts[:8], settings))
    record("keyframes", keyframes(pipeline, scenes[:8], texts[:8], settings))
    record("retake", retake(pipeline, scenes[:8], texts[:8], settings))
    record("sound to picture", audio_to_video(pipeline, *zip(*bouncing, strict=True), settings))
    if (arguments.models / UPSCALER).is_file():
        record("upscaler", upscaling(pipeline, scenes[:8], arguments.models / UPSCALER))
        record("second stage", second_stage(pipeline, scenes[:16], texts[:16], settings, arguments.models / UPSCALER))
    if (arguments.models / LORA).is_file():
        distilled = DemoPipeline(arguments.models, lora=LORA)
        record("distilled", adherence(distilled, scenes[:fewer], texts[:fewer], Settings(steps=0, cfg=1.0)))
    if (arguments.models / CONTROL).is_file():
        controlled = DemoPipeline(arguments.models, lora=CONTROL)
        record("control", control(controlled, scenes[:16], texts[:16], settings))


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
