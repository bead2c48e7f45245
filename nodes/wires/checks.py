"""What every node checks before anything heavy runs. Messages say what was got, what is needed, what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from comfy_api.latest import io

from .handles import (
    ComponentHandle,
    Context,
    MissingComponent,
    PromptWriterHandle,
    TextEncoderHandle,
    describe,
)

T = TypeVar("T")


class InputError(ValueError):
    """A wrong value on a widget or a wire. The sentence names the input first, by its id or its words."""


def message_or_true(check: Callable[[], None]) -> bool | str:
    """Run a check at queue time: ``True``, or the sentence that ComfyUI shows on the node."""
    try:
        check()
    except (ValueError, OSError) as error:
        return str(error)
    return True


def _neighbours(value: int, step: int, offset: int = 0) -> str:
    below = (value - offset) // step * step + offset
    above = below + step
    return f"{above}" if below <= 0 else f"{below} or {above}"


def check_grid(name: str, value: int, step: int) -> None:
    """A picture side must be a positive multiple of the VAE's spatial factor."""
    if value <= 0 or value % step:
        raise InputError(
            f"{name} is {value}; it must be a multiple of {step} pixels. Set it to {_neighbours(value, step)}."
        )


def check_multiple(name: str, value: int, step: int, unit: str) -> None:
    """An overlap must be a whole number of latent cells; 0 is one."""
    if value % step:
        raise InputError(
            f"{name} is {value} {unit}; it must be a multiple of {step}. Set it to {_neighbours(value, step)}."
        )


def check_frames(value: int, step: int, name: str = "length") -> None:
    """A clip has ``step * k + 1`` frames."""
    if value < 1 or (value - 1) % step:
        raise InputError(
            f"{name} is {value} frames; a clip has {step}k + 1 frames. Set it to {_neighbours(value, step, 1)}."
        )


def check_frame_rate(value: float) -> None:
    """Frames per second must be a positive, finite number."""
    if not math.isfinite(value) or value <= 0:
        raise InputError(f"frame_rate is {value}; it must be above 0 frames per second, for example 24 or 25.")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """A number in ``[low, high]``; for values that ComfyUI no longer checks because a node checks them."""
    if not math.isfinite(value) or not low <= value <= high:
        raise InputError(f"{name} is {value}; it must lie between {low} and {high}.")


def check_choice(name: str, value: str, options: list[str], hint: str = "") -> None:
    """A combo value must be one of the options."""
    if value not in options:
        known = ", ".join(options[:8]) + (", ..." if len(options) > 8 else "")
        raise InputError(f"{name} is '{value}', which is not there. Available: {known or 'nothing'}. {hint}".strip())


def check_widgets(node: type[io.ComfyNode], **values: Any) -> None:
    """Values of widgets against the limits and options that the node's schema states.

    None passes: at queue time it stands for a value that is linked.
    """
    slots = {slot.id: slot for slot in node.define_schema().inputs}
    for name, value in values.items():
        slot = slots[name]
        if value is None:
            continue
        if isinstance(slot, io.Combo.Input):
            check_choice(name, value, slot.options)
        else:
            check_between(name, value, slot.min, slot.max)


def require(value: Any, kind: type[T], input_name: str, source: str) -> T:
    """A value of the pack's own types, which the nodes named in ``source`` make."""
    if not isinstance(value, kind):
        raise InputError(f"{input_name} needs {source}; it got {describe(value)}.")
    return value


def require_handle(value: Any, component: str, input_name: str) -> ComponentHandle:
    """The handle on a wire, or the reason why there is none."""
    wanted = component.replace("_", " ")
    if isinstance(value, MissingComponent):
        raise InputError(
            f"{input_name} needs the {wanted}, but {value.file.name} holds none. "
            f"Load a file that contains it (the combined checkpoint, or the {wanted} file of a split set)."
        )
    if not isinstance(value, ComponentHandle) or value.component != component:
        raise InputError(f"{input_name} needs the {wanted}; it got {describe(value)}. Connect the matching output.")
    return value


def optional_handle(value: Any, component: str) -> ComponentHandle | None:
    """The handle on the optional input that is named as its component; None when nothing is connected."""
    return None if value is None else require_handle(value, component, component)


def require_text_encoder(value: Any) -> TextEncoderHandle:
    """The handle on a text_encoder input that encodes."""
    if not isinstance(value, TextEncoderHandle):
        raise InputError(
            f"text_encoder needs 'LTX-2 Load Text Encoder'; it got {describe(value)}. CLIP of core loaders lacks the "
            "projection of the LTX-2 checkpoint."
        )
    return value


def require_writer(value: Any) -> TextEncoderHandle | PromptWriterHandle:
    """The handle on a text_encoder input that writes."""
    return value if isinstance(value, PromptWriterHandle) else require_text_encoder(value)


def any_latent_samples(latent: Any, input_name: str) -> tuple[torch.Tensor, str]:
    """The tensor of a LATENT dict, and whether it is "video" or "audio"."""
    samples = latent.get("samples") if isinstance(latent, dict) else None
    if not isinstance(samples, torch.Tensor) or samples.ndim not in (4, 5):
        raise InputError(f"{input_name} needs a video or audio latent; it got {describe(latent)}.")
    modality = "video" if samples.ndim == 5 else "audio"
    return latent_samples(latent, modality, input_name), modality


def latent_samples(latent: Any, modality: str, input_name: str) -> torch.Tensor:
    """The tensor of a LATENT dict of the given modality ("video": 5-D, "audio": 4-D)."""
    wanted, layout = {
        "video": ("a video latent", "(batch, channels, frames, height, width)"),
        "audio": ("an audio latent", "(batch, channels, frames, mel)"),
    }[modality]
    samples = latent.get("samples") if isinstance(latent, dict) else None
    if not isinstance(samples, torch.Tensor):
        raise InputError(
            f"{input_name} needs {wanted}; it got {describe(latent)}. Connect 'LTX-2 Empty Latents', an encoder or the "
            "sampler."
        )
    kind = latent.get("type", modality)
    if samples.ndim != layout.count(",") + 1 or kind not in (modality, "samples"):
        raise InputError(
            f"{input_name} needs {wanted} of shape {layout}; it got {describe(latent)}"
            f"{f' of type {kind}' if kind != modality else ''}. Connect the {modality} output of the node before."
        )
    return samples


def require_context(value: Any, input_name: str) -> Context:
    """An encoded prompt."""
    if not isinstance(value, Context):
        raise InputError(
            f"{input_name} needs a prompt encoded by 'LTX-2 Text Encode'; it got {describe(value)}. "
            "CONDITIONING of core nodes lacks the two contexts that LTX-2 needs."
        )
    return value


def require_single_context(value: Any, input_name: str, why: str) -> Context:
    """An encoded prompt without shots; ``why`` says why they are no use here."""
    context = require_context(value, input_name)
    if context.shots is not None:
        raise InputError(
            f"{input_name} holds {len(context.shots.cuts) + 1} shots of 'LTX-2 Timed Prompt'; {why} Connect "
            "'LTX-2 Text Encode'."
        )
    return context


def parse_numbers(name: str, text: str) -> list[float]:
    """Numbers from a widget, separated by commas. Raises `InputError` for anything else."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InputError(f"{name} is '{text}'; write numbers separated by commas, for example 1, 0.5.")
    return numbers


def parse_blocks(text: str, name: str = "stg_blocks") -> tuple[int, ...] | None:
    """Block numbers from a widget: "28", "3, 7", "" for none, "all" for every block (None)."""
    text = text.strip()
    if text.lower() == "all":
        return None
    if not text:
        return ()
    try:
        blocks = tuple(int(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        raise InputError(
            f"{name} is '{text}'; write block numbers separated by commas (for example 28), or all."
        ) from None
    if any(block < 0 for block in blocks):
        raise InputError(f"{name} is '{text}'; block numbers start at 0.")
    return tuple(sorted(set(blocks)))
