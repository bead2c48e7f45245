"""What a node answers when a graph is queued."""

from __future__ import annotations

from typing import Any


def answer(node: Any, *values: Any, **named: Any) -> bool | str:
    """True, or the sentence of a refusal, which the pack raises so that ComfyUI shows it once."""
    try:
        return node.validate_inputs(*values, **named)
    except ValueError as error:
        if type(error).__name__ != "InputError":
            raise
        return str(error)
