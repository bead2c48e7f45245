"""Trains the tiny Gemma to understand prompts: next word, and at every word what has been said so far.

python -m tools.demo_model.train_text --steps 2500
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltx_core_impl.text_encoders.gemma.files import open_gemma
from ltx_core_impl.text_encoders.gemma.tokenizer import LTXVGemmaTokenizer

from .command import parse
from .prompts import ATTRIBUTES, EMPTY, NEGATIVES, UNSPECIFIED, describe, spoken
from .settings import TEXT_WIDTH
from .text_encoder import new_gemma, write_gemma
from .training import Trainer, batch_generator, load_trained
from .world import draw_scene

UNCONDITIONAL_SHARE, OMIT = 0.08, 0.12
IGNORE = -100


class PromptReader(nn.Module):
    """Gemma with a classifier of what the prompt says for every attribute; the classifiers are thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.gemma = new_gemma()
        self.heads = nn.ModuleDict({name: nn.Linear(TEXT_WIDTH, len(options)) for name, options in ATTRIBUTES.items()})

    def forward(self, ids: Tensor) -> Tensor:
        """Normalised last states ``(B, T, D)`` of prompts padded on the right, which a causal model never sees."""
        return self.gemma(input_ids=ids, use_cache=False).last_hidden_state


def draw_prompt(generator: torch.Generator) -> tuple[str, dict[str, int]]:
    """A prompt and what it says; some say nothing."""
    if float(torch.rand((), generator=generator)) < UNCONDITIONAL_SHARE:
        options = (EMPTY, *NEGATIVES)
        text = options[int(torch.randint(len(options), (), generator=generator))]
        return text, {name: values.index(UNSPECIFIED) for name, values in ATTRIBUTES.items()}
    scene = draw_scene(generator)
    text = describe(scene, generator, omit=OMIT)
    return text, spoken(scene, text)


def main() -> None:
    arguments = parse(__doc__, steps=2500, batch=32, rate=3e-3)
    torch.manual_seed(arguments.seed)
    model = PromptReader()
    folder = arguments.folder / "gemma"
    write_gemma(folder, model.gemma)
    tokenizer = LTXVGemmaTokenizer(open_gemma(folder).tokenizer())
    trainer = Trainer("text", arguments.folder, model, steps=arguments.steps, peak=arguments.rate, average=0.99)

    def losses(step: int) -> dict[str, Tensor]:
        generator = batch_generator(arguments.seed, step)
        prompts = [draw_prompt(generator) for _ in range(arguments.batch)]
        rows = [torch.tensor(tokenizer.encode(text)) for text, _ in prompts]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_id)
        lengths = torch.tensor([len(row) for row in rows])
        hidden = model(ids)
        following = ids[:, 1:].masked_fill(ids[:, 1:] == tokenizer.pad_id, IGNORE)
        scores = F.linear(hidden[:, :-1], model.gemma.embed_tokens.weight)
        word = F.cross_entropy(scores.flatten(0, 1), following.flatten(), ignore_index=IGNORE)
        last = hidden[torch.arange(len(rows)), lengths - 1]
        said = [
            F.cross_entropy(head(last), torch.tensor([labels[name] for _, labels in prompts]))
            for name, head in model.heads.items()
        ]
        return {"word": 0.1 * word, "said": torch.stack(said).mean()}

    trainer.run(losses)
    write_gemma(folder, load_trained(trainer.path, model).gemma)


if __name__ == "__main__":
    main()
