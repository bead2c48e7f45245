"""The engine of a conversion: follows the wires from what a graph saves back to its loaders, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.conversion.defaults import DEFAULTS
from tools.conversion.reading import Item, Link, is_foreign
from tools.conversion.values import Clip, Guider, Latent, Model, Parameters, Picture, Prompt, Solver, Vae, Wire

Rule = Callable[["Conversion", Item], "list[Any] | None"]
"""The values of a node's outputs, or None where the node is to stay as it is."""
RULES: dict[str, Rule] = {}
OURS = (Model, Clip, Vae, Prompt, Guider, Solver, Parameters)
"""What has no meaning for a node of another pack."""
MAX_NODES = 5000


def rule(*types: str) -> Callable[[Rule], Rule]:
    """Registers the rule of these node types."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return register


@dataclass
class Node:
    """A node of the new graph."""

    type: str
    inputs: dict[str, Any]
    title: str | None


@dataclass
class Conversion:
    """A conversion under way. ``notes``: what has no counterpart, and what was decided, one sentence each."""

    items: list[Item]
    nodes: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    memo: dict[str, list[Any]] = field(default_factory=dict)
    loaded: dict[tuple[str, str], int] = field(default_factory=dict)
    """Loaders of the new graph by type and file."""
    _open: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.by_id = {item.id: item for item in self.items}

    # The old graph

    def of_type(self, *types: str) -> list[Item]:
        """The nodes of these types."""
        return [item for item in self.items if item.type in types]

    def outputs(self, item: Item) -> list[Any]:
        """The values of a node's outputs, converted once."""
        if item.id not in self.memo:
            if item.id in self._open or len(self._open) > MAX_NODES:
                self.note(f"{item}: its wires lead in a circle.")
                return []
            self._open.add(item.id)
            rule = RULES.get(item.type)
            values = rule(self, item) if rule else None
            if values is None:
                values = self._without_rule(item)
            self._open.discard(item.id)
            self.memo[item.id] = values
        return self.memo[item.id]

    def get(self, item: Item, name: str, default: Any = None) -> Any:
        """An input of a node: a converted value, or what was typed."""
        value = item.inputs.get(name, default)
        if isinstance(value, Link):
            outputs = self.outputs(self.by_id[value.node])
            return outputs[value.slot] if value.slot < len(outputs) else None
        return value

    def typed(self, item: Item, name: str, default: Any = None) -> Any:
        """The number or text behind an input, through primitive nodes; None where it is computed."""
        value = item.inputs.get(name, default)
        for _ in range(len(self.items) + 1):
            if not isinstance(value, Link):
                return value
            source = self.by_id[value.node]
            if source.type.startswith("Primitive"):
                value = source.inputs.get("value")
            elif source.type == "LTXFloatToInt":
                value = source.inputs.get("a")
            else:
                return None
        return None

    def origin(self, item: Item, name: str) -> Item | None:
        """The node that an input comes from."""
        value = item.inputs.get(name)
        return self.by_id[value.node] if isinstance(value, Link) else None

    # The new graph

    def add(self, type: str, title: str | None = None, **inputs: Any) -> int:
        """Adds a node; inputs that are None are left out."""
        given = {name: self._plain(value) for name, value in inputs.items() if value is not None}
        self.nodes.append(Node(type, DEFAULTS.get(type, {}) | given, title))
        return len(self.nodes) - 1

    def wire(self, type: str, slot: int = 0, title: str | None = None, **inputs: Any) -> Wire:
        """Adds a node and gives one of its outputs."""
        return Wire(self.add(type, title, **inputs), slot)

    def note(self, text: str) -> None:
        """Something that the person should know."""
        if text not in self.notes:
            self.notes.append(text)

    def lost(self, item: Item, reason: str) -> list[Any]:
        """A node without a counterpart."""
        self.note(f"No counterpart: {item}. {reason}")
        return []

    def wanted(self, item: Item, name: str, kind: type) -> Any:
        """An input that must be of a kind; None, with a note, where it is not."""
        value = self.get(item, name)
        if isinstance(value, kind):
            return value
        self.note(f"To do: {item} had something at '{name}' that was not converted; what it became lacks it.")
        return None

    def picture(self, item: Item, name: str) -> Picture | None:
        """Pictures at an input."""
        value = self.get(item, name)
        if isinstance(value, Wire):
            return Picture(value)
        return value if isinstance(value, Picture) else None

    def latent(self, item: Item, name: str) -> Latent:
        """A latent at an input; one of a node that is no LTX node counts as picture."""
        value = self.get(item, name)
        if isinstance(value, Wire):
            return Latent(video=value)
        return value if isinstance(value, Latent) else Latent()

    @staticmethod
    def _plain(value: Any) -> Any:
        return value.wire if isinstance(value, Picture) else value

    # Nodes that stay

    def keep(self, item: Item) -> int:
        """The same node in the new graph."""
        inputs: dict[str, Any] = {}
        for name in item.inputs:
            value = self.get(item, name)
            if isinstance(value, Latent):
                value = value.video or value.audio
            if isinstance(value, Solver):  # of a sampler that stays
                value = Wire(self.keep(self.origin(item, name)), 0)
            if isinstance(value, OURS):
                self.note(f"To do: {item} works on '{name}' of other LTX nodes, which these ones do not give.")
                continue
            if value is None:
                if isinstance(item.inputs[name], Link):
                    self.note(f"To do: '{name}' of {item} has lost what it was connected to.")
                continue
            inputs[name] = self._plain(value)
        if item.unnamed:
            self.note(f"To do: {item} stays, but the file does not name its widgets; set them again.")
        return self.add(item.type, item.title if item.title != item.type else None, **inputs)

    def _without_rule(self, item: Item) -> list[Any]:
        if is_foreign(item.type):
            return self.lost(item, REASONS.get(item.type, "See docs/nodes-map.md for what does its work here."))
        through = [v for name in item.inputs if isinstance(v := self.get(item, name), (Model, Clip, Vae))]
        if through and item.type not in RULES:
            self.note(f"Left out: {item}. It changes a {type(through[0]).__name__.lower()} in ComfyUI's own way.")
            return through
        node = self.keep(item)
        return [Wire(node, slot) for slot in range(16)]


REASONS = {
    "GemmaAPITextEncode": "It sends the prompt to a paid service; encode it here.",
    "DynamicConditioning": "No recipe uses it; two samplers with 'SplitSigmas' give the same.",
    "LTXVSaveHLG": "Save EXR files with 'LTX-2 Save EXR' and encode the HLG master from them.",
    "LTXVLoadEXRSequence": "Load the frames with a node that gives IMAGE and connect it where it was.",
    "LTXVSDRToHDRWorkingSpace": "Convert the pictures before they are loaded.",
    "LTXVAudioOnlyEmptyVideoLatent": "No placeholder is needed.",
}
