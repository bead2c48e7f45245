"""One sentence for one refusal: ComfyUI repeats what `validate_inputs` returns for every input that it names."""

from __future__ import annotations

import functools
import inspect

from comfy_api.latest import io

from .checks import InputError

PACK = "ltx2"
_ROOT = __name__.removesuffix(".nodes.wires.refusals")


def shown_by_name(error: type[Exception]) -> None:
    """Give an error class of this pack the module name ``ltx2``.

    ComfyUI shows and sends the class with its module, which for a pack begins with the path of its folder.
    """
    if error.__module__.startswith(f"{_ROOT}."):
        error.__module__ = PACK


shown_by_name(InputError)


def refused_once(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node, whose refusals at queue time are raised instead of returned.

    The host shows a returned text once per named input, and the node with twelve widgets shows it twelve times; an
    exception it shows once, with the same text.
    """
    own = node.__dict__.get("validate_inputs")
    if own is None or hasattr(own.__func__, "__wrapped__"):
        return node
    check = own.__func__

    @functools.wraps(check)
    def raising(cls, *args, **values):
        answer = check(cls, *args, **values)
        if answer is not True:
            raise InputError(answer)
        return True

    # The host reads from the signature which inputs to pass.
    raising.__signature__ = inspect.signature(check)
    node.validate_inputs = classmethod(raising)
    return node
