"""Sampling text from Gemma with transformers' ``generate`` (spec 05 §12.4, 08 §1.4)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..writing_settings import TEMPERATURE, TOP_K, Sampling


@torch.no_grad()
def generate(
    writer: nn.Module,
    ids: Tensor,
    *,
    max_new_tokens: int,
    stop_ids: Collection[int],
    seed: int,
    pixels: Tensor | None = None,
    image_tokens: Tensor | None = None,
    sampling: Sampling | None = None,
    callback: Callable[[int], None] | None = None,
) -> tuple[list[int], bool]:
    """Sample a continuation; by default at temperature 0.7 from the 50 most likely tokens.

    Args:
        writer: a model of transformers that can generate.
        ids: ``(T,)``, the request.
        stop_ids: tokens that end the answer.
        seed: of the sampling; the global random state is as before afterwards.
        pixels: ``(1, 3, S, S)`` in [-1, 1], one image.
        image_tokens: ``(T,)`` bool, the places of that image, which see each other in both directions.
        sampling: other settings.
        callback: called after each token with the number of tokens so far; may raise to stop.

    Returns:
        The new ids without the stop token, and whether the answer was ended by one.
    """
    from transformers import StoppingCriteriaList

    # Not the settings of a file: the reference builds its model from a config and has transformers' defaults.
    settings = copy.deepcopy(writer.generation_config)
    sampling = sampling or Sampling(TEMPERATURE, TOP_K)
    settings.update(
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p or None,
        repetition_penalty=sampling.repetition_penalty,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(stop_ids) or None,
        pad_token_id=0,
        use_cache=True,
        disable_compile=True,  # compiling takes longer than an answer
    )
    writer.generation_config = settings
    request = {"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]}
    if pixels is not None:
        request |= {"pixel_values": pixels, "token_type_ids": image_tokens[None].long()}

    def after_token(so_far: Tensor, _scores: Any, **_: Any) -> Tensor:
        if callback is not None:
            callback(so_far.shape[1] - len(ids))
        return torch.zeros(len(so_far), dtype=torch.bool, device=so_far.device)

    with _seeded(seed, ids.device):
        answer = writer.generate(
            **request, generation_config=settings, stopping_criteria=StoppingCriteriaList([after_token])
        )
    new = answer[0, len(ids) :].tolist()
    finished = bool(new) and new[-1] in stop_ids
    return (new[:-1] if finished else new), finished


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The random state of the CPU and of ``device`` set, and put back."""
    module = None if device.type == "cpu" else torch.get_device_module(device)
    current = [] if module is None else [module.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices=current, device_type="cuda" if module is None else device.type):
        torch.default_generator.manual_seed(seed)
        for index in current:  # not torch.manual_seed, which seeds every device of the machine
            with module.device(index):
                module.manual_seed(seed)
        yield
