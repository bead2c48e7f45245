"""Runs the API form of a graph inside this process, node by node, up to the node that is asked for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

from tools.server import Prompt

CORE_MODULES = {
    "LoadVideo": "nodes_video",
    "GetVideoComponents": "nodes_video",
    "LoadAudio": "nodes_audio",
    "TrimAudioDuration": "nodes_audio",
    "Canny": "nodes_canny",
    "ImageToMask": "nodes_mask",
    "JoinImageWithAlpha": "nodes_compositing",
}
STAND_INS: dict[str, Callable[..., tuple[Any, ...]]] = {
    # Core's own want a whole server around them, or have other class names.
    "ImageFromBatch": lambda image, batch_index, length: (image[batch_index : batch_index + length],),
    "PrimitiveFloat": lambda value: (value,),
}


class GraphRunner:
    """Results of a prompt's nodes; every node runs once, when its result is first needed.

    Prompts that are given the same ``results`` share them, as in a server: what has the same inputs runs once.
    """

    def __init__(
        self, prompt: Prompt, nodes: dict[str, Any], results: dict[str, tuple[Any, ...]] | None = None
    ) -> None:
        self.prompt, self._nodes = prompt, nodes
        self._results = {} if results is None else results

    def __call__(self, title: str) -> tuple[Any, ...]:
        """All outputs of the node with this title (or, if only one has it, this class)."""
        [key] = [key for key, node in self.prompt.items() if title in (node["_meta"]["title"], node["class_type"])]
        return self._result(key)

    def _result(self, key: str) -> tuple[Any, ...]:
        signature = json.dumps(self._signature(key))
        if signature not in self._results:
            node = self.prompt[key]
            inputs = {
                name: self._result(value[0])[value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            }
            self._results[signature] = self._function(node["class_type"])(**inputs)
        return self._results[signature]

    def _signature(self, key: str) -> list[Any]:
        """The node and all that its result depends on."""
        node = self.prompt[key]
        inputs = {
            name: [value[1], self._signature(value[0])] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }
        return [node["class_type"], inputs]

    def _function(self, type: str) -> Callable[..., tuple[Any, ...]]:
        if type in self._nodes:
            return lambda **inputs: self._nodes[type].execute(**inputs).args
        if type in STAND_INS:
            return STAND_INS[type]
        if type in CORE_MODULES:
            node = getattr(importlib.import_module(f"comfy_extras.{CORE_MODULES[type]}"), type)
            if hasattr(node, "execute"):
                return lambda **inputs: node.execute(**inputs).args
        else:
            import nodes

            node = nodes.NODE_CLASS_MAPPINGS[type]
        return getattr(node(), node.FUNCTION)
