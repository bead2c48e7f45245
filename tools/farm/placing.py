"""Values of a table put into the nodes of an API prompt.

A column is ``Title.input`` or ``Type.input`` (every node of that title or type), ``#id.input``, or just ``input``: then
every node that has it gets the value, if they all hold the same now; ``seed`` always goes to all of them, ``prompt``
and ``negative`` to the texts that a guider takes as positive and as negative.
"""

from __future__ import annotations

import re
import sys
from copy import deepcopy
from typing import Any

from tools.server import Prompt

RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(\d+))?")
TEXTS = {"prompt": "positive", "negative": "negative"}
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")

Place = tuple[str, str]
"""A node's id and the name of an input."""


class PlacingError(Exception):
    """A column or a cell that does not fit the graph; the message says what would."""


def place(prompt: Prompt, values: dict[str, Any]) -> tuple[Prompt, set[Place]]:
    """A copy of the prompt with the values (column -> value) in it, and where they went."""
    filled = deepcopy(prompt)
    placed: set[Place] = set()
    for column, value in values.items():
        for node, name in places(prompt, column):
            if (node, name) in placed:
                raise PlacingError(f"'{column}' gives node {node} its '{name}', and so does another column.")
            filled[node]["inputs"][name] = value
            placed.add((node, name))
    return filled, placed


def choices(prompt: Prompt, column: str, cell: Any) -> list[Any] | range:
    """The values that a cell stands for: one, or those of a range (``1..50``, ``0..100..10``) or of a JSON list."""
    node, name = places(prompt, column)[0]
    now = prompt[node]["inputs"].get(name)
    if isinstance(cell, list):
        if not cell or any(isinstance(value, (list, dict)) for value in cell):
            raise PlacingError(f"'{column}' is {cell}; a list holds the values to try, and at least one.")
        return [_converted(column, value, now) for value in cell]
    if isinstance(cell, dict):
        raise PlacingError(f"'{column}' is an object; a text, a number, true, false or a list is needed.")
    numbers = RANGE.fullmatch(cell) if isinstance(cell, str) and not isinstance(now, str) else None
    if numbers is None:
        return [_converted(column, cell, now)]
    first, last, step = int(numbers[1]), int(numbers[2]), int(numbers[3] or 1)
    if first > last or step == 0:
        raise PlacingError(f"'{column}' is {cell}: a range goes up, from the first value to the last (1..50).")
    if (last - first) // step >= sys.maxsize:
        raise PlacingError(f"'{column}' is {cell}: nobody needs so many.")
    return range(first, last + 1, step)


def places(prompt: Prompt, column: str) -> list[Place]:
    """Where a column's value goes. Raises PlacingError where that is nowhere, or not clear."""
    owner, _, name = column.rpartition(".")
    if owner:
        found = [(key, name) for key, node in prompt.items() if owner in (f"#{key}", node["class_type"], _title(node))]
        if not found:
            names = sorted(
                {_title(node) for node in prompt.values()} | {node["class_type"] for node in prompt.values()}
            )
            raise PlacingError(
                f"'{column}': no node has the title, type or #id '{owner}'; there are {', '.join(names)}."
            )
    elif column in TEXTS:
        found = _text(prompt, TEXTS[column])
    else:
        found = [(key, name) for key, node in prompt.items() if _is_literal(node["inputs"].get(name))]
        if not found:
            known = sorted({key for node in prompt.values() for key, v in node["inputs"].items() if _is_literal(v)})
            raise PlacingError(f"'{column}': no node of the graph has such a value; there are {', '.join(known)}.")
        now = {repr(prompt[node]["inputs"][name]) for node, _ in found}
        if len(now) > 1 and name != "seed":
            raise _unclear(prompt, column, found)
    for node, name in found:
        if isinstance(prompt[node]["inputs"].get(name), list):
            raise PlacingError(
                f"'{column}': '{name}' of {_title(prompt[node])} comes over a wire from node "
                f"{prompt[node]['inputs'][name][0]}. Set the value there."
            )
    return found


def _text(prompt: Prompt, side: str) -> list[Place]:
    """The text of the nodes that a guider's input ``side`` is wired to; else the only text there is."""
    wires = [node["inputs"].get(side) for node in prompt.values()]
    sources = list(dict.fromkeys(wire[0] for wire in wires if isinstance(wire, list)))
    found = [(key, name) for key in sources if key in prompt for name in ("prompt", "text")]
    found = [(key, name) for key, name in found if isinstance(prompt[key]["inputs"].get(name), str)]
    if not found and side == "positive":
        found = [(key, "prompt") for key, node in prompt.items() if isinstance(node["inputs"].get("prompt"), str)]
    if len({prompt[key]["inputs"][name] for key, name in found}) > 1:
        raise _unclear(prompt, "prompt", found)
    if not found:
        raise PlacingError(f"the graph has no text that a guider takes as {side}. Name the node: Title.input.")
    return found


def _unclear(prompt: Prompt, column: str, found: list[Place]) -> PlacingError:
    names = ", ".join(f"'{_title(prompt[node])}.{name}' (#{node})" for node, name in found)
    return PlacingError(f"'{column}' could be any of {names}, which differ. Name the column so, or '#id.{column}'.")


def _title(node: dict[str, Any]) -> str:
    return node.get("_meta", {}).get("title") or node["class_type"]


def _is_literal(value: Any) -> bool:
    return value is not None and not isinstance(value, (list, dict))


def _converted(column: str, value: Any, now: Any) -> Any:
    """A cell as the kind of value that the graph holds there now; where it holds none, a number if it reads as one."""
    if not isinstance(value, str) or isinstance(now, str):
        if isinstance(now, str) and not isinstance(value, str):
            raise PlacingError(f"'{column}' is {value!r}; a text is needed.")
        return value
    if isinstance(now, bool):
        if value.lower() not in TRUE + FALSE:
            raise PlacingError(f"'{column}' is '{value}'; true or false is needed.")
        return value.lower() in TRUE
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    if now is not None:
        raise PlacingError(f"'{column}' is '{value}'; a number is needed.")
    return value
