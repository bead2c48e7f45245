"""A graph of the front-end, or a prompt, as nodes with named inputs: without subgraphs, reroutes and bypassed nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tools.conversion.widgets import widget_names

MUTED, BYPASSED = 2, 4
INPUT_ID, OUTPUT_ID = -10, -20  # a subgraph's own sockets, as the front-end numbers them
COMMENTS = {"Note", "MarkdownNote"}
AFTER_GENERATE = {"fixed", "increment", "decrement", "randomize"}
SEEDS = {"seed", "noise_seed"}
MAX_DEPTH = 20


class ConversionError(Exception):
    """The graph cannot be read; the message says why."""


@dataclass(frozen=True)
class Link:
    """Output ``slot`` of node ``node``."""

    node: str
    slot: int


@dataclass(eq=False)
class Item:
    """A node of the graph as it was."""

    id: str
    type: str
    title: str
    inputs: dict[str, Any] = field(default_factory=dict)
    """By name: a `Link`, or a value."""
    unnamed: bool = False
    """Has values of widgets whose names the file does not give."""

    def __str__(self) -> str:
        return f"{self.type} ({self.id})"


def read_graph(graph: Any) -> list[Item]:
    """The nodes of a graph saved by the front-end or of an API prompt.

    Raises ConversionError for anything else.
    """
    try:
        if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
            items = _Saved(graph).items
        elif (
            isinstance(graph, dict) and graph and all(isinstance(n, dict) and "class_type" in n for n in graph.values())
        ):
            items = _prompt(graph)
        else:
            raise ConversionError("This is no graph: neither nodes of the front-end nor a prompt with nodes by id.")
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ConversionError(f"This graph is damaged: {error!r}.") from None
    known = {item.id for item in items}
    for item in items:
        item.inputs = {
            name: value for name, value in item.inputs.items() if not isinstance(value, Link) or value.node in known
        }
    return items


def _prompt(prompt: dict[str, Any]) -> list[Item]:
    items = []
    for id, node in prompt.items():
        inputs = {
            name: Link(str(value[0]), int(value[1])) if isinstance(value, list) and len(value) == 2 else value
            for name, value in node["inputs"].items()
        }
        title = (node.get("_meta") or {}).get("title") or node["class_type"]
        items.append(Item(str(id), node["class_type"], title, inputs))
    return items


class _Saved:
    """Reads a graph of the front-end, subgraph by subgraph."""

    def __init__(self, graph: dict[str, Any]) -> None:
        self.items: list[Item] = []
        self._subgraphs = {part["id"]: part for part in (graph.get("definitions") or {}).get("subgraphs") or []}
        self._read(graph, "", [], {})

    def _read(self, graph: dict[str, Any], prefix: str, given: list[Any], typed: dict[int, Any]) -> list[Any]:
        """Adds the nodes of one level. ``given``: what comes into its sockets; ``typed``: values of promoted widgets.

        Returns what leaves its output sockets: a `Link`, a value or None each.
        """
        if prefix.count(":") > MAX_DEPTH:
            raise ConversionError("Subgraphs lie within one another without end.")
        nodes = {node["id"]: node for node in graph["nodes"] if node["type"] not in COMMENTS}
        links = {link[0]: link[1:] for link in map(_as_list, graph.get("links") or [])}
        leaving: dict[Any, list[Any]] = {}
        outputs: dict[int, Any] = {}

        def source(origin: Any, slot: int, depth: int = 0) -> Any:
            """What an output gives in the end."""
            if depth > len(nodes) + 1:
                raise ConversionError("Reroutes or bypassed nodes lead in a circle.")
            if origin == INPUT_ID:
                value = given[slot] if slot < len(given) else None
                return value if value is not None else typed.get(slot)
            node = nodes.get(origin)
            if node is None or node.get("mode") == MUTED:
                return None
            if node["type"] == "PrimitiveNode":
                return (node.get("widgets_values") or [None])[0]
            if node["type"] == "Reroute" or node.get("mode") == BYPASSED:
                kind = node["outputs"][slot].get("type")
                for entry in node.get("inputs") or []:
                    if entry.get("link") in links and (node["type"] == "Reroute" or entry.get("type") == kind):
                        before = links[entry["link"]]
                        return source(before[0], before[1], depth + 1)
                return None
            if node["type"] in self._subgraphs:
                return expand(node)[slot]
            return Link(f"{prefix}{origin}", slot)

        def expand(node: dict[str, Any]) -> list[Any]:
            if node["id"] not in leaving:
                leaving[node["id"]] = []  # one that contains itself gives nothing
                inner = self._subgraphs[node["type"]]
                by_name = {entry["name"]: entry for entry in node.get("inputs") or []}
                into = [linked(by_name.get(entry["name"], {})) for entry in inner.get("inputs") or []]
                promoted = _promoted(inner, node.get("widgets_values") or [])
                leaving[node["id"]] = self._read(inner, f"{prefix}{node['id']}:", into, promoted)
            return leaving[node["id"]]

        def linked(entry: dict[str, Any]) -> Any:
            link = links.get(entry.get("link"))
            return None if link is None else source(link[0], link[1])

        for id, node in nodes.items():
            if node.get("mode") in (MUTED, BYPASSED) or node["type"] in ("Reroute", "PrimitiveNode"):
                continue
            if node["type"] in self._subgraphs:
                expand(node)
                continue
            values, unnamed = _widget_values(node)
            item = Item(f"{prefix}{id}", node["type"], node.get("title") or node["type"], values, unnamed)
            for entry in node.get("inputs") or []:
                value = linked(entry)
                if value is not None:
                    item.inputs[entry["name"]] = value
            self.items.append(item)
        for link in links.values():
            if link[2] == OUTPUT_ID:
                outputs[link[3]] = source(link[0], link[1])
        return [outputs.get(slot) for slot in range(len(graph.get("outputs") or []))] if prefix else []


def _as_list(link: Any) -> list[Any]:
    if isinstance(link, dict):
        return [link[key] for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    return link


def _promoted(subgraph: dict[str, Any], values: list[Any]) -> dict[int, Any]:
    """Values of the widgets that a subgraph shows on its node, by the socket that they go into."""
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    links = {link[0]: link[1:] for link in map(_as_list, subgraph.get("links") or [])}
    result: dict[int, Any] = {}
    rest = list(values)
    for slot, entry in enumerate(subgraph.get("inputs") or []):
        targets = [links[id] for id in entry.get("linkIds") or [] if id in links]
        inputs = [nodes[link[2]]["inputs"][link[3]] for link in targets if link[2] in nodes]
        if rest and inputs and inputs[0].get("widget"):
            result[slot] = rest.pop(0)
            if rest and rest[0] in AFTER_GENERATE and inputs[0]["name"] in SEEDS:
                rest.pop(0)
    return {slot: value for slot, value in result.items() if value is not None}


def _widget_values(node: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Values by the name of their widget, and whether some have no name."""
    values = node.get("widgets_values")
    if isinstance(values, dict):  # some packs save names
        return {name: value for name, value in values.items() if not isinstance(value, dict)}, False
    if not isinstance(values, list):
        return {}, False
    known = widget_names(node["type"], values)
    names = known
    if names is None:
        names = [entry["widget"]["name"] for entry in node.get("inputs") or [] if entry.get("widget")]
    named: dict[str, Any] = {}
    rest = list(values)
    for name in names:
        if not rest:
            break
        if name == "*":
            if rest[0] in AFTER_GENERATE:
                rest.pop(0)
            continue
        named[name] = rest.pop(0)
        if name in SEEDS and rest and isinstance(rest[0], str) and rest[0] in AFTER_GENERATE:
            rest.pop(0)
    named = {name: value for name, value in named.items() if value is not None}
    if node["type"] == "TextGenerateLTX2Prompt":
        numbers = [value for value in rest if isinstance(value, int) and not isinstance(value, bool)]
        named.setdefault("seed", numbers[-1] if numbers else 0)
        return named, False
    left = [value for value in rest if value not in (None, "", "image")]
    return named, bool(left) and known is None


def is_foreign(type: str) -> bool:
    """A node for LTX models of ComfyUI or of the official pack, by its name."""
    return bool(
        re.match(r"LTX(?!2)|Ltx|EmptyLTXV|ModelSamplingLTXV|ModelMergeLTXV|Gemma|GuiderParameters|Multimodal|STG", type)
    )
