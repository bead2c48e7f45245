"""Descriptions of example graphs, and the API prompt that a description gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tools.server import Prompt

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
UPLOADS = ("image_upload", "video_upload")  # options of a file input to which the front-end adds a button
SEED_NAMES = {"seed", "noise_seed"}  # the front-end gives these a "control after generate" widget unasked


class GraphError(Exception):
    """A description does not fit the nodes; the message says where."""


@dataclass(frozen=True)
class Output:
    """The output socket ``name`` of a node."""

    node: Node
    name: str


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a description: inputs are literal values (widgets) or outputs of other nodes (links)."""

    id: int
    type: str
    inputs: dict[str, Any]
    group: str
    title: str | None = None

    def __getitem__(self, output: str) -> Output:
        return Output(self, output)

    @property
    def sources(self) -> list[Node]:
        return [value.node for value in self.inputs.values() if isinstance(value, Output)]


@dataclass
class Graph:
    """One example graph. Its boxes on the screen follow from the types and groups of its nodes (steps.py)."""

    name: str
    nodes: list[Node] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    steps: dict[int, str] = field(default_factory=dict)
    """The box of a node, by its id, where it is not the one that steps.py would choose."""
    shown: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The widgets of a node, by its id, that its box shows, where they are not those that steps.py would choose."""
    _group: str = ""
    _step: str = ""

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Nodes added inside belong together; a group with a sampler is a stage."""
        self._group = title
        yield
        self._group = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Nodes added inside stand in the box of this title, whatever their types."""
        self._step = title
        yield
        self._step = ""

    def node(self, type: str, title: str | None = None, **inputs: Any) -> Node:
        """Adds a node."""
        node = Node(len(self.nodes) + 1, type, inputs, self._group, title)
        self.nodes.append(node)
        if self._step:
            self.steps[node.id] = self._step
        return node

    def show(self, node: Node, *names: str) -> None:
        """The box of this node shows these of its widgets, and no others."""
        self.shown[node.id] = names

    def note(self, title: str, markdown: str) -> None:
        """Adds a text to the left of everything."""
        self.notes.append((title, markdown))


# --- What a node looks like -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InputSlot:
    """An input as the front-end sees it: a socket, and for a widget also a value."""

    name: str
    type: str
    optional: bool
    is_widget: bool
    default: Any
    extra: tuple[str, ...]
    """Values of the widgets that the front-end adds after this one."""
    multiline: bool


def input_slots(info: dict[str, Any]) -> list[InputSlot]:
    """All inputs of a node in the order of its schema."""
    slots = []
    has_upload = False
    for section in ("required", "optional"):
        for name in info["input_order"].get(section, []):
            kind, options = [*info["input"][section][name], {}][:2]
            kind = "COMBO" if isinstance(kind, list) else kind
            # A list of files has no default that is the same on every machine: its graphs must name the file.
            default = options.get("default", {"COMBO": None, "STRING": "", "BOOLEAN": False}.get(kind, 0))
            extra: tuple[str, ...] = ()
            if options.get("control_after_generate") or (kind == "INT" and name in SEED_NAMES):
                extra = ("fixed",)
            is_widget = options.get("widgetType", kind) in WIDGET_TYPES and not options.get("forceInput")
            has_upload |= any(options.get(key) for key in UPLOADS)
            multiline = bool(options.get("multiline"))
            slots.append(InputSlot(name, kind, section == "optional", is_widget, default, extra, multiline))
    if has_upload:  # the button comes after all that the schema orders
        slots[-1] = replace(slots[-1], extra=(*slots[-1].extra, "image"))
    return slots


def output_index(info: dict[str, Any], name: str) -> int:
    """The slot number of an output, by its name."""
    try:
        return info["output_name"].index(name)
    except ValueError:
        raise GraphError(f"{info['name']} has no output '{name}'; it has {info['output_name']}.") from None


def check_graph(graph: Graph, object_info: dict[str, Any]) -> None:
    """Raises GraphError where a description names what the nodes do not have, or leaves out what they need."""
    for node in graph.nodes:
        where = f"{graph.name}, node {node.id}"
        if node.type not in object_info:
            raise GraphError(f"{where}: there is no node type {node.type}.")
        slots = {slot.name: slot for slot in input_slots(object_info[node.type])}
        unknown = node.inputs.keys() - slots.keys()
        if unknown:
            raise GraphError(f"{where}: {node.type} has no input {sorted(unknown)}; it has {list(slots)}.")
        for name, slot in slots.items():
            value = node.inputs.get(name)
            if not slot.is_widget and not slot.optional and not isinstance(value, Output):
                raise GraphError(f"{where}: {node.type} needs a link to '{name}'.")
            if slot.is_widget and value is None and slot.default is None:
                raise GraphError(f"{where}: {node.type} needs a choice for '{name}'.")
            if isinstance(value, Output):
                info = object_info[value.node.type]
                given = info["output"][output_index(info, value.name)]
                if slot.type != "*" and given != "*" and given not in slot.type.split(","):
                    raise GraphError(f"{where}: '{name}' takes {slot.type}, not the {given} of {value.node.type}.")


# --- API prompt -------------------------------------------------------------------------------------------------------


def api_prompt(graph: Graph, object_info: dict[str, Any]) -> Prompt:
    """The graph as the server takes it."""
    prompt: Prompt = {}
    for node in graph.nodes:
        info = object_info[node.type]
        inputs: dict[str, Any] = {}
        for slot in input_slots(info):
            value = node.inputs.get(slot.name, slot.default if slot.is_widget else None)
            if isinstance(value, Output):
                inputs[slot.name] = [str(value.node.id), output_index(object_info[value.node.type], value.name)]
            elif value is not None:
                inputs[slot.name] = value
        title = node.title or info["display_name"] or node.type
        prompt[str(node.id)] = {"inputs": inputs, "class_type": node.type, "_meta": {"title": title}}
    return prompt
