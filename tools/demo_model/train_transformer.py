"""Trains the transformer and the text connectors by flow matching on the encoded clips.

python -m tools.demo_model.train_transformer --steps 3500
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ltx_core_impl.components.patchifiers import VideoLatentPatchifier

from .command import parse
from .diffusion import DiffusionModel, Stream, channel_weights, draw_sigmas, velocity_losses
from .latents import LARGE_SHARE, PROMPTS_PER_CLIP, STILLS, load_latents
from .prompts import NEGATIVES
from .settings import VIDEO_SCALE
from .training import Trainer, batch_generator
from .world import FPS

UNCONDITIONAL_SHARE, ISOLATED_SHARE = 0.1, 0.08
AUDIO_LATENTS_PER_SECOND = 25
TASKS = {
    "everything": 0.58,
    "large": 0.08,
    "first frame": 0.1,
    "keyframe": 0.06,
    "part": 0.05,
    "picture of sound": 0.07,
    "sound of picture": 0.06,
}
"""What a batch gives and what it asks for, with the share of steps."""
KEYFRAMES = ((2,), (0, 2), (1,), (0, 1, 2))  # stills that are guides together
LARGE_IMAGE_SHARE = 0.3  # of the large steps that are given their first frame
LARGE_SIGMA = 0.92  # highest noise level of large clips, which only a second stage makes: it begins at 0.909375


class Corpus:
    """Encoded clips and prompts in memory."""

    def __init__(self, latents: dict[str, Tensor]) -> None:
        self.latents = latents
        self.clips = len(latents["video"])

    def prompts(self, clips: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Hidden states ``(B, T, D, L)``, padded on the right, and lengths, of one prompt for each clip."""
        numbers = clips * PROMPTS_PER_CLIP + torch.randint(PROMPTS_PER_CLIP, clips.shape, generator=generator)
        first = self.clips * PROMPTS_PER_CLIP
        nothing = first + torch.randint(1 + len(NEGATIVES), clips.shape, generator=generator)
        nothing = torch.where(torch.rand(len(clips), generator=generator) < 0.5, first, nothing)
        unconditional = torch.rand(len(clips), generator=generator) < UNCONDITIONAL_SHARE
        return self.hidden(torch.where(unconditional, nothing, numbers))

    def hidden(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states of prompts by number; one more place than the longest needs."""
        offsets = self.latents["offsets"]
        rows = [self.latents["hidden"][offsets[n] : offsets[n + 1]] for n in numbers.tolist()]
        lengths = torch.tensor([len(row) for row in rows])
        padded = torch.zeros(len(rows), int(lengths.max()) + 1, *rows[0].shape[1:])
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        return padded, lengths


def keep_frames(stream: Stream, kept: Tensor, tokens_per_frame: int) -> Stream:
    """The stream with the latent frames marked in ``kept`` ``(B, F)`` given."""
    mask = (~kept).float().repeat_interleave(tokens_per_frame, dim=1)[..., None]
    return replace(stream, mask=mask)


def with_keyframe(stream: Stream, image: Tensor, frame: int) -> Stream:
    """The stream with an image latent ``(B, C, 1, H, W)`` appended as the guide of a pixel frame."""
    tokens = VideoLatentPatchifier().patchify(image)
    positions = _keyframe_positions(stream.positions, tokens.shape[1], frame)
    return Stream(
        clean=torch.cat([stream.clean, tokens], dim=1),
        mask=torch.cat([stream.mask, torch.zeros(*tokens.shape[:2], 1)], dim=1),
        positions=positions,
    )


def _keyframe_positions(positions: Tensor, count: int, frame: int) -> Tensor:
    guide = positions[:, :, :count].clone()
    guide[:, 0, :, 0], guide[:, 0, :, 1] = frame / FPS, (frame + 1) / FPS
    return torch.cat([positions, guide], dim=2)


def with_reference(stream: Stream, latent: Tensor) -> Stream:
    """The stream with a clip of its own size ``(B, C, F, H, W)`` appended as reference."""
    tokens = VideoLatentPatchifier().patchify(latent)
    return Stream(
        clean=torch.cat([stream.clean, tokens], dim=1),
        mask=torch.cat([stream.mask, torch.zeros(*tokens.shape[:2], 1)], dim=1),
        positions=torch.cat([stream.positions, stream.positions[:, :, : tokens.shape[1]]], dim=2),
    )


def draw_streams(corpus: Corpus, task: str, clips: Tensor, generator: torch.Generator) -> tuple[Stream, Stream]:
    """Both streams of a batch for a task."""
    kind, rows = ("large", clips // LARGE_SHARE) if task == "large" else ("video", clips)
    video, audio = Stream.of_video(corpus.latents[kind][rows]), Stream.of_audio(corpus.latents["audio"][clips])
    frames, cells = corpus.latents[kind].shape[2], corpus.latents[kind].shape[3] * corpus.latents[kind].shape[4]
    if task == "first frame" or (task == "large" and float(torch.rand((), generator=generator)) < LARGE_IMAGE_SHARE):
        kept = torch.zeros(len(clips), frames, dtype=torch.bool)
        kept[:, 0] = True
        video = keep_frames(video, kept, cells)
    elif task == "keyframe":
        for index in KEYFRAMES[int(torch.randint(len(KEYFRAMES), (), generator=generator))]:
            video = with_keyframe(video, corpus.latents["stills"][clips, index].unsqueeze(2), STILLS[index])
    elif task == "part":
        edges = torch.randint(frames, (len(clips), 2), generator=generator).sort(dim=1).values + torch.tensor([0, 1])
        video = keep_frames(video, outside(torch.arange(frames), edges), cells)
        starts = (edges - 1) * VIDEO_SCALE[0] + 1  # pixel frames
        moments = (starts.clamp(min=0) / FPS * AUDIO_LATENTS_PER_SECOND).round().long()
        audio = keep_frames(audio, outside(torch.arange(audio.clean.shape[1]), moments), 1)
    elif task == "picture of sound":
        audio = replace(audio, mask=torch.zeros_like(audio.mask))
    elif task == "sound of picture":
        video = replace(video, mask=torch.zeros_like(video.mask))
    return video, audio


def outside(places: Tensor, edges: Tensor) -> Tensor:
    """Which of ``places`` ``(N,)`` lie outside of ``[start, end)`` ``(B, 2)``: ``(B, N)``."""
    return (places < edges[:, :1]) | (places >= edges[:, 1:])


def main() -> None:
    arguments = parse(__doc__, steps=3500, batch=16, rate=1e-2)
    torch.manual_seed(arguments.seed)
    model = DiffusionModel()
    corpus = Corpus(load_latents(arguments.folder))
    trainer = Trainer("transformer", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.998)
    weights = tuple(channel_weights(corpus.latents[f"{part}.std-of-means"]) for part in ("vae", "audio_vae"))
    names, shares = list(TASKS), torch.tensor(list(TASKS.values()))

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        task = names[int(torch.multinomial(shares, 1, generator=generator))]
        batch = arguments.batch // 4 if task == "large" else arguments.batch
        clips = torch.randint(corpus.clips, (batch,), generator=generator)
        if task == "large":
            clips = clips // LARGE_SHARE * LARGE_SHARE
        streams = draw_streams(corpus, task, clips, generator)
        text = model.contexts(*corpus.prompts(clips, generator))
        isolated = torch.rand(batch, generator=generator) < ISOLATED_SHARE if task == "everything" else None
        video, audio = velocity_losses(
            model,
            streams,
            draw_sigmas(generator, batch) * (LARGE_SIGMA if task == "large" else 1.0),
            text,
            generator,
            weights=weights,
            isolated=isolated if step % 4 == 0 else None,
        )
        return {"video": video, "audio": audio}

    trainer.run(losses)


if __name__ == "__main__":
    main()
