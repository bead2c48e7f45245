"""The nodes inside this process, with a real ComfyUI's modules around them."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from tools.provision import REPO, is_provisioned, provision

PACK = "ltx2_pack"


@functools.cache
def _pack() -> ModuleType:
    if not is_provisioned():
        pytest.skip("needs a ComfyUI: python3 tools/run_tests.py makes one")
    sys.path.insert(0, str(provision().comfyui))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    spec = importlib.util.spec_from_file_location(PACK, REPO / "__init__.py", submodule_search_locations=[str(REPO)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    """The pack as ComfyUI imports it; its modules are ``sys.modules["ltx2_pack.nodes.host"]`` and so on."""
    return _pack()


@pytest.fixture(scope="session")
def nodes(pack: ModuleType) -> dict[str, Any]:
    """Node classes by id."""
    extension = asyncio.run(pack.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


@pytest.fixture
def run(nodes: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    """``run("LTX2Sampler", model=..., ...)``: missing widgets get their defaults; returns the outputs."""

    def execute(node_id: str, **inputs: Any) -> tuple[Any, ...]:
        node = nodes[node_id]
        defaults = {
            slot.id: slot.default
            for slot in node.GET_SCHEMA().inputs
            if not slot.optional and getattr(slot, "default", None) is not None
        }
        return node.execute(**(defaults | inputs)).args

    return execute


@pytest.fixture(autouse=True)
def inference_mode() -> Iterator[None]:
    """ComfyUI runs nodes in inference mode."""
    with torch.inference_mode():
        yield
