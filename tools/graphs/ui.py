"""A description as the front-end saves it: boxes, subgraphs, wires (litegraph, version 0.4).

The boxes are those of steps.py. A node keeps its id wherever it stands: node 7 inside the box 21 is '21:7' to the
server, so what the front-end queues is the API prompt of the same description up to this prefix.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tools.graphs import layout
from tools.graphs.graph import Graph, InputSlot, Node, Output, input_slots, output_index
from tools.graphs.layout import Box
from tools.graphs.steps import FILE, GENERATE, MODEL, PROMPT, RESULT, SIZE, Step, shown_widgets, topological
from tools.graphs.views import View, fitting_view
from tools.provision import PACK_NAME
from tools.published_files import model_properties
from tools.server import NODE_PREFIX

OPTIONAL_SHAPE = 7  # litegraph's hollow circle
INPUT_END, OUTPUT_END = -10, -20  # litegraph's ids of the two ends of a subgraph
END_WIDTH = 180

COLOURS = {
    MODEL: ("#223", "#335"),
    PROMPT: ("#232", "#353"),
    SIZE: ("#2a363b", "#3f5159"),
    FILE: ("#233", "#355"),
    GENERATE: ("#323", "#535"),
    RESULT: ("#322", "#533"),
}
NOTE_COLOURS = ("#222", "#000")
"""Title and body of a box by what it is there for: colours that the front-end offers for nodes."""


MAIN = ("prompt", "lora", "file")
"""Widgets that the title of their node names, where a box shows several of them."""
SWITCHES = ("frozen",)
"""Widgets that the title of their node names."""


class Wire(NamedTuple):
    """A link; its fields are in the order of a saved graph."""

    id: int
    origin_id: int
    origin_slot: int
    target_id: int
    target_slot: int
    type: str


class Shown(NamedTuple):
    """A widget of a node inside, shown by the box around it."""

    node: Node
    slot: InputSlot
    name: str
    label: str

    @property
    def value(self) -> Any:
        return self.node.inputs.get(self.slot.name, self.slot.default)


@dataclass
class Host:
    """A subgraph seen from outside: its number, and its sockets in order."""

    id: int
    step: Step
    taken: dict[Output, str]
    given: dict[Output, str]
    shown: list[Shown]


def ui_graph(graph: Graph, object_info: dict[str, Any]) -> dict[str, Any]:
    """The graph as the front-end saves it."""
    return _Writer(graph, object_info, fitting_view(graph, object_info)).graph_file()


class _Writer:
    """One graph on its way into a file."""

    def __init__(self, graph: Graph, object_info: dict[str, Any], view: View) -> None:
        self.graph, self.info, self.view = graph, object_info, view
        self.link_count = 0
        self.home = {node: step for step in view.steps for node in step.nodes}
        first = max(node.id for node in graph.nodes) + 1
        folded = [step for step in view.steps if step.is_subgraph]
        self.hosts = {step.title: self._host(first + index, step) for index, step in enumerate(folded)}

    def graph_file(self) -> dict[str, Any]:
        wires = self._outer_wires()
        nodes = []
        for order, step in enumerate(self.view.steps):
            box = self.view.boxes[step.title]
            if step.is_subgraph:
                nodes.append(self._host_node(self.hosts[step.title], order, box, wires))
            else:
                nodes.append(self._node(step.nodes[0], order, box, wires, COLOURS[step.role]))
        nodes.sort(key=lambda node: node["id"])
        number = max(node["id"] for node in [*nodes, *({"id": one.id} for one in self.graph.nodes)])
        for index, (title, markdown) in enumerate(self.graph.notes):
            nodes.append(_note(number + 1 + index, title, markdown, self.view.notes[index]))
        definitions = [self._definition(host) for host in self.hosts.values()]
        result = {
            "id": self._uuid(""),
            "revision": 0,
            "last_node_id": number + len(self.graph.notes),
            "last_link_id": self.link_count,
            "nodes": nodes,
            "links": [list(wire) for wire in wires],
            "groups": [],
            "config": {},
            "extra": {"workflowRendererVersion": "LG"},  # and no saved view: the front-end fits it to its window
            "version": 0.4,
        }
        return {**result, "definitions": {"subgraphs": definitions}} if definitions else result

    # Sockets and wires

    def _host(self, id: int, step: Step) -> Host:
        inside = set(step.nodes)
        taken = {out: self.home[out.node] for node in step.nodes for out in _outputs(node) if out.node not in inside}
        users = (out for node in self.graph.nodes if node not in inside for out in _outputs(node))
        given = list(dict.fromkeys(out for out in users if out.node in inside))
        shown = [(node, slot) for node in step.nodes for slot in shown_widgets(self.graph, node, self._slots(node))]
        labels = [self._label(node, slot, [other.name for _, other in shown]) for node, slot in shown]
        names = _unique(
            [
                *(self._qualified(out) for out in taken),
                *((slot.name, label) for (_, slot), label in zip(shown, labels, strict=True)),
            ]
        )
        return Host(
            id,
            step,
            dict(zip(taken, names, strict=False)),
            dict(zip(given, _unique([self._qualified(out) for out in given]), strict=True)),
            [
                Shown(node, slot, name, label)
                for (node, slot), name, label in zip(shown, names[len(taken) :], labels, strict=True)
            ],
        )

    def _label(self, node: Node, slot: InputSlot, names: list[str]) -> str:
        """What a box calls a widget: its name, and where several have the same, what it belongs to."""
        if slot.name in SWITCHES and node.title:
            return node.title
        if names.count(slot.name) == 1:
            return slot.name
        if node.title:
            return node.title if slot.name in MAIN else f"{slot.name} ({node.title})"
        owner = next((source.title for source in node.sources if source.title), None)
        return f"{slot.name} ({owner or self.info[node.type]['display_name'].removeprefix('LTX-2 ')})"

    def _qualified(self, out: Output) -> tuple[str, str]:
        """What an output is called, and what it is called where that is not enough."""
        return out.name, f"{out.name}, {out.node.title}" if out.node.title else out.name

    def _slots(self, node: Node) -> list[InputSlot]:
        """The inputs of a node, sockets first, as the front-end draws them."""
        return sorted(input_slots(self.info[node.type]), key=lambda slot: slot.is_widget)

    def _type(self, out: Output) -> str:
        info = self.info[out.node.type]
        return info["output"][output_index(info, out.name)]

    def _source(self, out: Output) -> tuple[int, int]:
        """The node and the slot of an output in the first view."""
        host = self.hosts.get(self.home[out.node].title)
        if host is None:
            return out.node.id, output_index(self.info[out.node.type], out.name)
        return host.id, list(host.given).index(out)

    def _wire(self, origin: tuple[int, int], target: tuple[int, int], type: str) -> Wire:
        self.link_count += 1
        return Wire(self.link_count, *origin, *target, type)

    def _outer_wires(self) -> list[Wire]:
        wires = []
        for step in self.view.steps:
            host = self.hosts.get(step.title)
            if host:
                wires += [
                    self._wire(self._source(out), (host.id, k), self._type(out)) for k, out in enumerate(host.taken)
                ]
                continue
            [node] = step.nodes
            for k, slot in enumerate(self._slots(node)):
                value = node.inputs.get(slot.name)
                if isinstance(value, Output):
                    wires.append(self._wire(self._source(value), (node.id, k), self._type(value)))
        return wires

    def _inner_wires(self, host: Host) -> list[Wire]:
        taken = list(host.taken)
        shown = {(one.node, one.slot.name): len(taken) + k for k, one in enumerate(host.shown)}
        wires = []
        for node in host.step.nodes:
            for k, slot in enumerate(self._slots(node)):
                value, target = node.inputs.get(slot.name), (node.id, k)
                if isinstance(value, Output) and value in host.taken:
                    wires.append(self._wire((INPUT_END, taken.index(value)), target, self._type(value)))
                elif isinstance(value, Output):
                    slot_number = output_index(self.info[value.node.type], value.name)
                    wires.append(self._wire((value.node.id, slot_number), target, self._type(value)))
                elif (node, slot.name) in shown:
                    wires.append(self._wire((INPUT_END, shown[node, slot.name]), target, slot.type))
        for k, out in enumerate(host.given):
            slot_number = output_index(self.info[out.node.type], out.name)
            wires.append(self._wire((out.node.id, slot_number), (OUTPUT_END, k), self._type(out)))
        return wires

    # Nodes

    def _node(
        self, node: Node, order: int, box: Box, wires: list[Wire], colours: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        info = self.info[node.type]
        ends = {(wire.target_id, wire.target_slot): wire.id for wire in wires}
        inputs: list[dict[str, Any]] = []
        for k, slot in enumerate(self._slots(node)):
            entry: dict[str, Any] = {"name": slot.name, "type": slot.type, "link": ends.get((node.id, k))}
            if slot.optional:
                entry["shape"] = OPTIONAL_SHAPE
            if slot.is_widget:
                entry["widget"] = {"name": slot.name}
            inputs.append(entry)
        values: list[Any] = []
        for slot in input_slots(info):
            if slot.is_widget:
                value = node.inputs.get(slot.name, slot.default)
                values.append(slot.default if isinstance(value, Output) else value)
            values += slot.extra
        outputs = zip(info["output_name"], info["output"], strict=True)
        entry = {
            **_frame(node.id, node.type, order, box),
            "inputs": inputs,
            "outputs": _output_slots(node.id, list(outputs), wires),
            "properties": {
                "cnr_id": PACK_NAME if node.type.startswith(NODE_PREFIX) else "comfy-core",
                "Node name for S&R": node.type,
                **model_properties(node.inputs.values()),
            },
            "widgets_values": values,
        }
        if node.title is not None:
            entry["title"] = node.title
        return entry if colours is None else {**entry, "color": colours[0], "bgcolor": colours[1]}

    def _host_node(self, host: Host, order: int, box: Box, wires: list[Wire]) -> dict[str, Any]:
        ends = {(wire.target_id, wire.target_slot): wire.id for wire in wires}
        inputs: list[dict[str, Any]] = []
        values: list[Any] = []
        for k, (out, name) in enumerate(host.taken.items()):
            entry: dict[str, Any] = {"name": name, "type": self._type(out), "link": ends[host.id, k]}
            widget = self._widget_of(host, out)
            if widget is not None:  # to the front-end the box has this widget too, and counts its value
                entry["widget"] = {"name": name}
                values.append(widget.default)
            inputs.append(entry)
        inputs += [
            {"name": one.name, "label": one.label, "type": one.slot.type, "widget": {"name": one.name}, "link": None}
            for one in host.shown
        ]
        outputs = [(name, self._type(out)) for out, name in host.given.items()]
        colour, background = COLOURS[host.step.role]
        return {
            **_frame(host.id, self._uuid(host.step.title), order, box),
            "inputs": inputs,
            "outputs": _output_slots(host.id, outputs, wires),
            "properties": {},
            "widgets_values": values + [one.value for one in host.shown],
            "title": host.step.title,
            "color": colour,
            "bgcolor": background,
        }

    def _widget_of(self, host: Host, out: Output) -> InputSlot | None:
        """The first widget inside that takes its value from outside."""
        ends = ((node, slot) for node in host.step.nodes for slot in self._slots(node))
        return next((slot for node, slot in ends if slot.is_widget and node.inputs.get(slot.name) == out), None)

    # Subgraphs

    def _definition(self, host: Host) -> dict[str, Any]:
        wires = self._inner_wires(host)
        inside = set(host.step.nodes)
        nodes = [node for node in topological(self.graph.nodes) if node in inside]
        columns = layout.columns(
            nodes, lambda node: [one for one in node.sources if one in inside], lambda node: self._height(node), 1400
        )
        boxes = layout.place(columns, lambda node: (layout.NODE_WIDTH, self._height(node)), gap=80)
        right = max(x + width for (x, _), (width, _) in boxes.values())
        inputs = [(name, None, self._type(out)) for out, name in host.taken.items()]
        inputs += [(one.name, one.label, one.slot.type) for one in host.shown]
        outputs = [(name, None, self._type(out)) for out, name in host.given.items()]
        return {
            "id": self._uuid(host.step.title),
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": max(node.id for node in nodes),
                "lastLinkId": self.link_count,
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": host.step.title,
            "inputNode": {"id": INPUT_END, "bounding": [-END_WIDTH - 120, 0, END_WIDTH, 40 + 20 * len(inputs)]},
            "outputNode": {"id": OUTPUT_END, "bounding": [right + 120, 0, END_WIDTH, 40 + 20 * len(outputs)]},
            "inputs": self._ports(host, "inputs", inputs, -140, [(w.origin_id, w.origin_slot, w.id) for w in wires]),
            "outputs": self._ports(
                host, "outputs", outputs, right + 140, [(w.target_id, w.target_slot, w.id) for w in wires]
            ),
            "widgets": [],
            "nodes": [self._node(node, order, boxes[node], wires) for order, node in enumerate(nodes)],
            "groups": [],
            "links": [wire._asdict() for wire in wires],
            "extra": {"workflowRendererVersion": "LG"},
        }

    def _ports(
        self,
        host: Host,
        side: str,
        ports: list[tuple[str, str | None, str]],
        x: int,
        ends: list[tuple[int, int, int]],
    ) -> list[dict[str, Any]]:
        """The sockets of a subgraph's end; ``ends`` are the node, the slot and the wire of every end of a wire."""
        end = INPUT_END if side == "inputs" else OUTPUT_END
        result = []
        for k, (name, label, type) in enumerate(ports):
            entry: dict[str, Any] = {"id": self._uuid(f"{host.step.title}/{side}/{name}"), "name": name, "type": type}
            entry["linkIds"] = [wire for node, slot, wire in ends if (node, slot) == (end, k)]
            if label is not None:
                entry["label"] = label
            result.append({**entry, "pos": [x, 20 + 20 * k]})
        return result

    def _height(self, node: Node) -> int:
        return layout.node_height(node, self.info[node.type])

    def _uuid(self, what: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_NAME}/{self.graph.name}{'/' if what else ''}{what}"))


def _outputs(node: Node) -> list[Output]:
    return [value for value in node.inputs.values() if isinstance(value, Output)]


def _unique(names: Iterable[tuple[str, str]]) -> list[str]:
    """Names that differ: the short one of each pair where no other has it, else the long one, numbered if need be."""
    pairs = list(names)
    short = [name for name, _ in pairs]
    result: list[str] = []
    for name, long in pairs:
        chosen = name if short.count(name) == 1 else long
        number = 2
        unique = chosen
        while unique in result:
            unique, number = f"{chosen} {number}", number + 1
        result.append(unique)
    return result


def _frame(id: int, type: str, order: int, box: Box) -> dict[str, Any]:
    position, size = box
    return {"id": id, "type": type, "pos": position, "size": size, "flags": {}, "order": order, "mode": 0}


def _output_slots(id: int, outputs: list[tuple[str, str]], wires: list[Wire]) -> list[dict[str, Any]]:
    starts = [(wire.origin_id, wire.origin_slot, wire.id) for wire in wires]
    return [
        {"name": name, "type": type, "links": [wire for node, slot, wire in starts if (node, slot) == (id, k)] or None}
        for k, (name, type) in enumerate(outputs)
    ]


def _note(id: int, title: str, markdown: str, box: Box) -> dict[str, Any]:
    colour, background = NOTE_COLOURS
    return {
        **_frame(id, "MarkdownNote", id - 1, box),
        "inputs": [],
        "outputs": [],
        "title": title,
        "properties": {},
        "widgets_values": [markdown],
        "color": colour,
        "bgcolor": background,
    }
