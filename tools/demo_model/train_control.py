"""Trains the control LoRA: the outline of the shape as reference video, everything else from the prompt.

python -m tools.demo_model.train_control --steps 900
"""

from __future__ import annotations

import torch
from torch import Tensor

from .command import parse
from .diffusion import DiffusionModel, channel_weights, draw_sigmas, velocity_losses
from .latents import OUTLINE_SHARE, load_latents
from .low_rank import add_low_rank
from .train_transformer import Corpus, draw_streams, with_reference
from .training import Trainer, batch_generator, load_trained

METADATA = {"reference_downscale_factor": "1"}
"""What a published IC-LoRA says in its header."""


def main() -> None:
    arguments = parse(__doc__, steps=900, batch=8, rate=1e-2)
    torch.manual_seed(arguments.seed)
    model = load_trained(arguments.folder / "transformer.safetensors", DiffusionModel())
    add_low_rank(model)
    corpus = Corpus(load_latents(arguments.folder))
    trainer = Trainer("control", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.99)
    weights = tuple(channel_weights(corpus.latents[f"{part}.std-of-means"]) for part in ("vae", "audio_vae"))
    outlines = corpus.latents["outline"]

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        rows = torch.randint(len(outlines), (arguments.batch,), generator=generator)
        clips = rows * OUTLINE_SHARE
        video, audio = draw_streams(corpus, "everything", clips, generator)
        with torch.no_grad():
            text = model.contexts(*corpus.prompts(clips, generator))
        sigma = draw_sigmas(generator, arguments.batch)
        streams = with_reference(video, outlines[rows]), audio
        video_loss, audio_loss = velocity_losses(model, streams, sigma, text, generator, weights=weights)
        return {"video": video_loss, "audio": audio_loss}

    trainer.run(losses)


if __name__ == "__main__":
    main()
