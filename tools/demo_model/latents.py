"""Encodes scenes once with the trained VAEs and the trained Gemma: what the transformer learns from.

python -m tools.demo_model.latents --clips 6144
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltx_core_impl.model.audio_vae import make_audio_processor
from ltx_core_impl.text_encoders.gemma import load_text_encoder

from .command import DEFAULT_FOLDER
from .prompts import EMPTY, NEGATIVES, describe
from .settings import CONFIG
from .train_audio_vae import AudioVAE, log_mel
from .train_audio_vae import measure_statistics as measure_audio
from .train_video_vae import VideoVAE
from .train_video_vae import measure_statistics as measure_video
from .training import load_trained
from .world import SIZE, Scene, draw_scene, render_audio, render_video

AUDIO_FRAMES = 53
PROMPTS_PER_CLIP = 2
LARGE_SHARE = 8  # one clip in so many also at twice the size
OUTLINE_SHARE = 3  # one clip in so many also as an outline
STILLS = (0, 8, 16)  # frames that are also encoded as pictures of their own
CHUNK = 24  # a multiple of both shares
OMIT = 0.1


def is_held_out(scene: Scene) -> bool:
    """One combination of words in sixteen is never trained on."""
    text = "/".join((scene.shape, scene.color, scene.ground, scene.motion))
    return sum((index + 3) * ord(letter) for index, letter in enumerate(text)) % 16 == 0


def training_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes whose words are not held out; bounces, the hardest, more often than others."""
    generator = torch.Generator().manual_seed(seed)
    scenes: list[Scene] = []
    while len(scenes) < count:
        fixed = {"motion": "bounce"} if len(scenes) % 6 == 0 else {}
        scene = draw_scene(generator, **fixed)
        if not is_held_out(scene):
            scenes.append(scene)
    return scenes


def trained_vaes(folder: Path, seed: int = 1) -> tuple[VideoVAE, AudioVAE]:
    """Both VAEs with measured statistics."""
    video, audio = (
        load_trained(folder / "video_vae.safetensors", VideoVAE()),
        load_trained(folder / "audio_vae.safetensors", AudioVAE()),
    )
    measure_video(video, seed)
    measure_audio(audio, seed)
    return video, audio


@torch.no_grad()
def encode_scenes(video: VideoVAE, audio: AudioVAE, scenes: list[Scene]) -> dict[str, Tensor]:
    """Normalised latents of a few scenes, by kind; stills are ``(B, len(STILLS), C, H, W)``."""
    clips = render_video(scenes)
    processor = make_audio_processor(audio.encoder)
    stills = [video.encoder(clips[:, :, frame : frame + 1]).squeeze(2) for frame in STILLS]
    return {
        "video": video.encoder(clips),
        "stills": torch.stack(stills, dim=1),
        "large": video.encoder(render_video(scenes[::LARGE_SHARE], size=2 * SIZE)),
        "outline": video.encoder(render_video(scenes[::OUTLINE_SHARE], outline=True)),
        "audio": audio.encoder(log_mel(render_audio(scenes), processor))[:, :, :AUDIO_FRAMES],
    }


@torch.no_grad()
def hidden_states(folder: Path, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """All tokens of all prompts ``(N, D, L)`` in a row, and where each prompt begins ``(P + 1,)``."""
    encoder = load_text_encoder(folder / "gemma", dtype=torch.float32)
    states = [encoder.hidden_states([prompt])[0][0] for prompt in prompts]
    lengths = torch.tensor([0, *(len(state) for state in states)])
    return torch.cat(states), lengths.cumsum(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clips", type=int, default=6144)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    scenes = training_scenes(arguments.clips, arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed + 1)
    prompts = [describe(scene, generator, omit=OMIT) for scene in scenes for _ in range(PROMPTS_PER_CLIP)]
    hidden, offsets = hidden_states(arguments.folder, [*prompts, EMPTY, *NEGATIVES])
    print(f"{len(prompts)} prompts, {len(hidden)} tokens", flush=True)

    video, audio = trained_vaes(arguments.folder)
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(scenes), CHUNK):
        for name, value in encode_scenes(video, audio, scenes[start : start + CHUNK]).items():
            parts.setdefault(name, []).append(value)
        if start % (CHUNK * 32) == 0:
            print(f"{start} of {len(scenes)} clips", flush=True)
    tensors = {name: torch.cat(values) for name, values in parts.items()}
    for part, vae in (("vae", video), ("audio_vae", audio)):
        for name in ("mean-of-means", "std-of-means"):
            tensors[f"{part}.{name}"] = vae.encoder.per_channel_statistics.get_buffer(name)
    tensors |= {"hidden": hidden, "offsets": offsets}
    save_file({name: value.contiguous() for name, value in tensors.items()}, arguments.folder / "latents.safetensors")
    means = {name: f"{float(value.std()):.3f}" for name, value in tensors.items() if name in parts}
    print(f"deviations: {means}; config keys {sorted(CONFIG)}", flush=True)


def load_latents(folder: Path) -> dict[str, Tensor]:
    """What :func:`main` wrote."""
    with safe_open(folder / "latents.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}


if __name__ == "__main__":
    main()
