"""One check of what a graph gives a node's widgets, before the node's own checks: any JSON may arrive there.

ComfyUI leaves the inputs that a node's ``validate_inputs`` names to the node. Here the schema judges them first, so
that a node's own check only ever sees values of the right kind and range.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from comfy_api.latest import io

from .checks import InputError, check_between
from .refusals import shown_by_name

_SHOWN = 60


def guard(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """Put the schema's check before ``validate_inputs`` and ``execute`` of a node class; once.

    The widgets that take fractions are named too, where the node does not name them: ComfyUI lets NaN pass, which JSON
    in Python may hold.
    """
    if "_is_guarded" not in vars(node):
        slots = {slot.id: slot for slot in node.define_schema().inputs if isinstance(slot, io.WidgetInput)}
        own = _own_check(node)
        node.validate_inputs = classmethod(_guarded_validate(slots, own.__func__ if own else None))
        node.execute = classmethod(_guarded_execute(slots, node.execute.__func__))
        node._is_guarded = True
    return node


def _own_check(node: type[io.ComfyNode]) -> Any:
    """The ``validate_inputs`` that the node itself defines, None where it has only ComfyUI's empty one."""
    owner = next((cls for cls in node.__mro__ if "validate_inputs" in vars(cls)), io.ComfyNode)
    return None if issubclass(io.ComfyNode, owner) else vars(owner)["validate_inputs"]


def _guarded_validate(
    slots: Mapping[str, io.WidgetInput], own: Callable[..., bool | str] | None
) -> Callable[..., bool | str]:
    parameters = dict(list(inspect.signature(own).parameters.items())[1:]) if own else {}
    required = [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    named = [*parameters, *(name for name, slot in slots.items() if isinstance(slot, io.Float.Input))]

    def validate_inputs(cls: type[io.ComfyNode], *args: Any, **kwargs: Any) -> bool | str:
        values = {**dict(zip(parameters, args, strict=False)), **kwargs}
        try:
            _check(slots, values)
        except InputError as error:
            return str(error)
        missing = [name for name in required if name not in values]
        if missing:
            return f"{', '.join(missing)} is left out; the node needs it. Set it, or connect it."
        return own(cls, **{name: value for name, value in values.items() if name in parameters}) if own else True

    # ComfyUI asks the signature which inputs to hand over; one that is left out must not be an error of Python's.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shown = [inspect.Parameter("cls", kind), *(inspect.Parameter(name, kind) for name in dict.fromkeys(named))]
    validate_inputs.__signature__ = inspect.Signature(shown)
    return validate_inputs


def _guarded_execute(slots: Mapping[str, io.WidgetInput], own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def execute(cls: type[io.ComfyNode], *args: Any, **kwargs: Any) -> Any:
        for name in slots.keys() & kwargs.keys():
            _check_run(slots[name], kwargs[name])
        try:
            return own(cls, *args, **kwargs)
        except Exception as error:
            shown_by_name(type(error))
            raise

    return execute


def _check(slots: Mapping[str, io.WidgetInput], values: Mapping[str, Any]) -> None:
    """Kind and range of values by input name; None stands for one that is linked."""
    for name, value in values.items():
        if name in slots and value is not None:
            _check_value(slots[name], value)


def _check_value(slot: io.WidgetInput, value: Any) -> None:
    if isinstance(slot, io.Boolean.Input):
        _need(slot, value, isinstance(value, bool), "true or false")
    elif isinstance(slot, (io.Int.Input, io.Float.Input)):
        kind = int if isinstance(slot, io.Int.Input) else (int, float)
        number = isinstance(value, kind) and not isinstance(value, bool) and _finite(value)
        _need(slot, value, number, "a whole number" if kind is int else "a number")
        low = -math.inf if slot.min is None else slot.min
        high = math.inf if slot.max is None else slot.max
        check_between(slot.id, value, low, high)
    elif isinstance(slot, (io.String.Input, io.Combo.Input)):
        _need(slot, value, isinstance(value, str), "a text" if isinstance(slot, io.String.Input) else "a name")


def _check_run(slot: io.WidgetInput, value: Any) -> None:
    """What only shows when the node runs: null in place of a value, and what arrives by a wire."""
    if value is None:
        _need(slot, value, slot.optional, "a value")
    elif isinstance(slot, io.Float.Input) and isinstance(value, (int, float)) and not _finite(value):
        bounds = "" if None in (slot.min, slot.max) else f"; it must lie between {slot.min} and {slot.max}"
        raise InputError(f"{slot.id} is {value}, which is no finite number{bounds}.")


def _need(slot: io.WidgetInput, value: Any, holds: bool, needed: str) -> None:
    if not holds:
        shown = "null" if value is None else repr(value) if len(repr(value)) <= _SHOWN else repr(value)[:_SHOWN] + "..."
        raise InputError(f"{slot.id} is {shown}; {needed} is needed.")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False
