"""Trains the distilled LoRA: one pass at the eight published sigmas gives what the full model gives with guidance.

python -m tools.demo_model.train_lora --steps 300
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ltx_core_impl.presets import DISTILLED_SIGMAS

from .command import parse
from .diffusion import DiffusionModel, Stream, TextContext, noisy_modalities
from .latents import PROMPTS_PER_CLIP, load_latents
from .train_transformer import Corpus
from .training import Trainer, batch_generator, load_trained

RANK = 16
GUIDANCE = 3.0
SIGMAS = torch.tensor(DISTILLED_SIGMAS[:-1])


class LowRank(nn.Module):
    """``W + B A``, the update a LoRA file stores."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_low_rank(model: DiffusionModel, rank: int = RANK) -> dict[str, LowRank]:
    """Freeze a model and add low-rank updates to every linear layer of its blocks; by module name."""
    model.requires_grad_(False)
    updates = {}
    for name, module in list(model.transformer.transformer_blocks.named_modules()):
        if isinstance(module, nn.Linear) and min(module.weight.shape) >= rank:
            updates[f"transformer_blocks.{name}"] = update = LowRank(module.weight, rank)
            parametrize.register_parametrization(module, "weight", update)
    return updates


def lora_state(folder: Path) -> dict[str, Tensor]:
    """The trained update under the names of a published LoRA."""
    model = DiffusionModel()
    updates = add_low_rank(model)
    load_trained(folder / "lora.safetensors", model)
    state = {}
    for name, update in updates.items():
        state[f"diffusion_model.{name}.lora_A.weight"] = update.down
        state[f"diffusion_model.{name}.lora_B.weight"] = update.up
    return state


def main() -> None:
    arguments = parse(__doc__, steps=300, batch=8, rate=5e-3)
    torch.manual_seed(arguments.seed)
    base = arguments.folder / "transformer.safetensors"
    teacher = load_trained(base, DiffusionModel())
    student = load_trained(base, DiffusionModel())
    add_low_rank(student)
    corpus = Corpus(load_latents(arguments.folder))
    trainer = Trainer("lora", arguments.folder, student, steps=arguments.steps, peak=arguments.rate, average=0.98)
    nothing = corpus.clips * PROMPTS_PER_CLIP  # the empty prompt follows the prompts of the clips

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        clips = torch.randint(corpus.clips, (arguments.batch,), generator=generator)
        streams = (
            Stream.of_video(corpus.latents["video"][clips]),
            Stream.of_audio(corpus.latents["audio"][clips]),
        )
        sigma = SIGMAS[torch.randint(len(SIGMAS), clips.shape, generator=generator)]
        chosen = clips * PROMPTS_PER_CLIP + step % PROMPTS_PER_CLIP
        with torch.no_grad():
            positive = teacher.contexts(*corpus.hidden(chosen))
            negative = teacher.contexts(*corpus.hidden(torch.full_like(chosen, nothing)))
            noise = [torch.randn(stream.clean.shape, generator=generator) for stream in streams]

            def velocity(model: DiffusionModel, text: TextContext) -> tuple[Tensor, Tensor]:
                return model.transformer(*noisy_modalities(streams, noise, sigma, text))

            with_prompt, without = velocity(teacher, positive), velocity(teacher, negative)
        wanted = [w + GUIDANCE * (p - w) for p, w in zip(with_prompt, without, strict=True)]
        produced = velocity(student, positive)
        video, audio = ((p - w).square().mean() for p, w in zip(produced, wanted, strict=True))
        return {"video": video, "audio": audio}

    trainer.run(losses)


if __name__ == "__main__":
    main()
