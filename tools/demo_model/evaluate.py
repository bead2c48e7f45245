"""Measures the demo model and writes docs/demo-model/results.json, sample strips and plots.

python -m tools.demo_model.evaluate --clips 200
"""

from __future__ import annotations

import argparse
import json
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

BATCH, FEW = 8, 16
DISTILLED = Settings(steps=0, cfg=1.0)


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


def strip(frames: Tensor, every: int = 2, scale: int = 1) -> Image.Image:
    """Frames ``(F, H, W, 3)`` side by side."""
    row = torch.cat(list(frames[::every]), dim=1)
    image = Image.fromarray((row * 255).round().byte().numpy())
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


class Evaluation:
    """What is measured of a folder of models, and where the results go.

    Args:
        models: folder with the exported files.
        target: folder of ``results.json`` and the sample strips; what other parts measured is kept.
        clips: how many prompts; some measurements take the first of them.
        seed: of scenes and prompts.
    """

    def __init__(self, models: Path, target: Path, settings: Settings, clips: int, seed: int) -> None:
        self.models, self.target, self.settings = models, target, settings
        self.scenes = held_out_scenes(clips, seed)
        self.texts = prompts_of(self.scenes, seed + 1)
        self.few = max(BATCH, clips // 4)
        target.mkdir(parents=True, exist_ok=True)
        self.record("settings", {"steps": settings.steps, "cfg": settings.cfg, "clips": clips})

    def record(self, name: str, value: Results) -> None:
        """Add a result to the file."""
        path = self.target / "results.json"
        results = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps(results | {name: value}, indent=1) + "\n")
        print(name, json.dumps(value), flush=True)

    def prompts(self) -> None:
        """How well prompts are followed, with and without guidance, and by the wrong prompt."""
        pipeline = DemoPipeline(self.models)
        samples(pipeline, self.settings, self.target)
        began = time.process_time()
        self.record("prompt adherence", adherence(pipeline, self.scenes, self.texts, self.settings))
        seconds = (time.process_time() - began) / len(self.scenes)
        self.record("speed", {"CPU seconds per clip, one thread": round(seconds, 2)})
        without = replace(self.settings, cfg=1.0)
        self.record("without CFG", adherence(pipeline, self.scenes, self.texts, without))
        rotated = [*self.texts[1 : self.few], self.texts[0]]
        wrong = adherence(pipeline, self.scenes[: self.few], rotated, self.settings)
        self.record("with the prompt of another scene", wrong)

    def variants(self) -> None:
        """Other settings and the distilled LoRA."""
        first = self.scenes[: self.few], self.texts[: self.few]
        distilled = DemoPipeline(self.models, lora=LORA)
        self.record("distilled", adherence(distilled, *first, DISTILLED))
        pipeline = DemoPipeline(self.models)
        self.record("with STG 1", adherence(pipeline, *first, replace(self.settings, stg=1.0)))
        for name, modality in (("bounces", 1.0), ("bounces with modality guidance 3", 3.0)):
            settings = replace(self.settings, modality=modality)
            self.record(name, adherence(pipeline, *self.bounces(self.few), settings))

    def abilities(self) -> None:
        """Reconstruction, what is given, two stages, the control LoRA."""
        pipeline = DemoPipeline(self.models)
        scenes, texts = self.scenes, self.texts
        self.record("reconstruction", reconstruction(pipeline, scenes[:32]))
        for name, measure in (("image to video", image_to_video), ("keyframes", keyframes), ("retake", retake)):
            self.record(name, measure(pipeline, scenes[:FEW], texts[:FEW], self.settings))
        self.record("sound to picture", audio_to_video(pipeline, *self.bounces(2 * FEW), self.settings))
        upscaler = self.models / UPSCALER
        self.record("upscaler", upscaling(pipeline, scenes[:FEW], upscaler))
        distilled = DemoPipeline(self.models, lora=LORA)
        stages = second_stage(distilled, scenes[: 2 * FEW], texts[: 2 * FEW], DISTILLED, upscaler)
        self.record("second stage", stages)
        controlled = DemoPipeline(self.models, lora=CONTROL)
        self.record("control", control(controlled, scenes[: 2 * FEW], texts[: 2 * FEW], self.settings))

    def bounces(self, count: int) -> tuple[list[Scene], list[str]]:
        """The first scenes that bounce, and their prompts."""
        pairs = [pair for pair in zip(self.scenes, self.texts, strict=True) if pair[0].motion == "bounce"][:count]
        return [scene for scene, _ in pairs], [text for _, text in pairs]


def main() -> None:
    parts = [Evaluation.prompts, Evaluation.variants, Evaluation.abilities]
    names = [part.__name__ for part in parts]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models/demo"))
    parser.add_argument("--target", type=Path, default=Path("docs/demo-model"))
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--cfg", type=float, default=Settings.cfg)
    parser.add_argument("--seed", type=int, default=99)
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(steps=arguments.steps, cfg=arguments.cfg)
    evaluation = Evaluation(arguments.models, arguments.target, settings, arguments.clips, arguments.seed)
    for part in parts:
        if part.__name__ in arguments.parts:
            part(evaluation)


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
