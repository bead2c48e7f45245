"""Trains the distilled LoRA: one pass at the eight published sigmas gives what the full model gives with guidance.

python -m tools.demo_model.train_lora --steps 1400
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltx_core_impl.presets import DISTILLED_SIGMAS, STAGE_2_DISTILLED_SIGMAS

from .command import parse
from .diffusion import DiffusionModel, TextContext, channel_weights, noisy_modalities
from .latents import LARGE_SHARE, PROMPTS_PER_CLIP, load_latents
from .low_rank import add_low_rank
from .train_transformer import Corpus, draw_streams
from .training import Trainer, batch_generator, load_trained

GUIDANCE = 3.0
SIGMAS, STAGE_2_SIGMAS = (torch.tensor(sigmas[:-1]) for sigmas in (DISTILLED_SIGMAS, STAGE_2_DISTILLED_SIGMAS))
PLAIN_EVERY = 3  # one step in so many is a first stage, the others a second one


def main() -> None:
    arguments = parse(__doc__, steps=1400, batch=8, rate=5e-3)
    torch.manual_seed(arguments.seed)
    base = arguments.folder / "transformer.safetensors"
    teacher = load_trained(base, DiffusionModel())
    student = load_trained(base, DiffusionModel())
    add_low_rank(student)
    corpus = Corpus(load_latents(arguments.folder))
    trainer = Trainer("lora", arguments.folder, student, steps=arguments.steps, peak=arguments.rate, average=0.98)
    weights = tuple(channel_weights(corpus.latents[f"{part}.std-of-means"]) for part in ("vae", "audio_vae"))
    nothing = corpus.clips * PROMPTS_PER_CLIP  # the empty prompt follows the prompts of the clips

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        large = step % PLAIN_EVERY != 0
        clips = torch.randint(corpus.clips, (arguments.batch // 4 if large else arguments.batch,), generator=generator)
        clips = clips // LARGE_SHARE * LARGE_SHARE if large else clips
        streams = draw_streams(corpus, "large" if large else "everything", clips, generator)
        sigmas = STAGE_2_SIGMAS if large else SIGMAS
        sigma = sigmas[torch.randint(len(sigmas), clips.shape, generator=generator)]
        chosen = clips * PROMPTS_PER_CLIP + step % PROMPTS_PER_CLIP
        noise = [torch.randn(stream.clean.shape, generator=generator) for stream in streams]

        def velocity(model: DiffusionModel, text: TextContext) -> tuple[Tensor, Tensor]:
            return model.transformer(*noisy_modalities(streams, noise, sigma, text))

        with torch.no_grad():
            positive = teacher.contexts(*corpus.hidden(chosen))
            if large:  # of large clips the teacher knows little: learn from the clips themselves
                wanted = [one_noise - stream.clean for one_noise, stream in zip(noise, streams, strict=True)]
            else:
                negative = teacher.contexts(*corpus.hidden(torch.full_like(chosen, nothing)))
                with_prompt, without = velocity(teacher, positive), velocity(teacher, negative)
                wanted = [w + GUIDANCE * (p - w) for p, w in zip(with_prompt, without, strict=True)]
        produced = velocity(student, positive)
        errors = [(p - w).square() * stream.mask for p, w, stream in zip(produced, wanted, streams, strict=True)]
        video, audio = ((error * weight).mean() for error, weight in zip(errors, weights, strict=True))
        return {"video": video, "audio": audio}

    trainer.run(losses)


if __name__ == "__main__":
    main()
