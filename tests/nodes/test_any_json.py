"""Whatever JSON a prompt holds, a node answers with a sentence, and never with an error of Python's own."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TESTS
from tests.nodes.queueing import answer

ANY_JSON = (
    None,
    True,
    False,
    0,
    -1,
    0.5,
    1 << 63,
    10**400,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "x",
    "\0",
    "../../etc/passwd",
    "9" * 5000,
    "[" * 5000,
    [],
    ["a", "b", "c"],
    {},
    {"a": [None]},
)
WORKFLOWS = TESTS.parent / "workflows" / "api"


def graph_nodes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(workflow, node id of ours, its inputs), each kind of node once per set of inputs."""
    seen = set()
    for file in sorted(WORKFLOWS.glob("*.json")):
        for entry in json.loads(file.read_text()).values():
            key = (entry["class_type"], *sorted(entry["inputs"]))
            if entry["class_type"].startswith("LTX2") and key not in seen:
                seen.add(key)
                yield file.stem, entry["class_type"], entry["inputs"]


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def asked(node: Any, inputs: dict[str, Any]) -> Any:
    """What ComfyUI hands to ``validate_inputs``: the named inputs, None for those that are linked."""
    names = inspect.getfullargspec(node.validate_inputs).args[1:]
    handed = {name: None if is_link(value) else value for name, value in inputs.items() if name in names}
    return answer(node, **handed)


GRAPH_NODES = list(graph_nodes())


@pytest.mark.parametrize(
    ("node_id", "inputs"), [entry[1:] for entry in GRAPH_NODES], ids=[f"{e[0]}-{e[1]}" for e in GRAPH_NODES]
)
def test_a_node_answers_any_json_with_a_sentence(nodes: dict[str, Any], node_id: str, inputs: dict[str, Any]) -> None:
    node = nodes[node_id]
    for name in inputs:
        for value in ANY_JSON:
            said = asked(node, {**inputs, name: value})
            assert said is True or (isinstance(said, str) and said), f"{name} = {value!r:.60}: {said!r}"
        left_out = asked(node, {key: value for key, value in inputs.items() if key != name})
        assert left_out is True or "positional" not in left_out


@pytest.mark.parametrize(
    ("node_id", "changed", "words"),
    [
        (
            "LTX2EmptyLatents",
            {"batch_size": 1 << 63},
            "batch_size is 9223372036854775808; it must lie between 1 and 64",
        ),
        ("LTX2EmptyLatents", {"width": "wide"}, "width is 'wide'; a whole number is needed"),
        ("LTX2EmptyLatents", {"frame_rate": math.inf}, "frame_rate is inf; a number is needed"),
        ("LTX2EmptyLatents", {"frame_rate": 10**400}, "a number is needed"),
        ("LTX2GuidanceParameters", {"cfg": math.nan}, "cfg is nan; a number is needed"),
        ("LTX2GuidanceParameters", {"stg_blocks": {"a": 1}}, "stg_blocks is {'a': 1}; a text is needed"),
        ("LTX2CheckpointLoader", {"checkpoint": ["a", "b", "c"]}, "checkpoint is ['a', 'b', 'c']; a name is needed"),
    ],
)
def test_what_is_wrong_is_said(nodes: dict[str, Any], node_id: str, changed: dict[str, Any], words: str) -> None:
    inputs = next(inputs for _, other, inputs in GRAPH_NODES if other == node_id)
    assert words in asked(nodes[node_id], {**inputs, **changed})


def test_a_value_that_is_left_out_is_named(nodes: dict[str, Any]) -> None:
    assert "strength is left out" in answer(nodes["LTX2LoraLoader"], lora="none")


def test_null_is_refused_when_the_node_runs(nodes: dict[str, Any]) -> None:
    """At the queue ComfyUI hands over None for a link as well; null can only be told apart later."""
    with pytest.raises(ValueError, match="frame_rate is null; a value is needed"):
        nodes["LTX2EmptyLatents"].execute(width=64, height=64, length=9, frame_rate=None, batch_size=1)
    with pytest.raises(ValueError, match="checkpoint is null; a value is needed"):
        nodes["LTX2CheckpointLoader"].execute(
            checkpoint=None, precision="auto", calibration="none", lora="none", lora_strength=1.0
        )


def test_the_hosts_own_validation_ends_in_sentences(nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Through ComfyUI's own door: no mutated prompt ends in an exception while it is validated."""
    import nodes as core

    try:
        import execution
    except ImportError as error:  # a ComfyUI whose server needs more than this Python has
        pytest.skip(f"ComfyUI's execution cannot be imported: {error}")

    monkeypatch.setattr(core, "NODE_CLASS_MAPPINGS", {**core.NODE_CLASS_MAPPINGS, **nodes})
    for value in (1 << 63, math.inf, "x", {"a": 1}, ["a", "b", "c"], None, 10**400):
        for name in ("batch_size", "width", "frame_rate"):
            inputs = {"width": 64, "height": 64, "length": 9, "frame_rate": 24.0, "batch_size": 1, name: value}
            prompt = {"1": {"class_type": "LTX2EmptyLatents", "inputs": inputs}}
            try:
                valid, errors, _ = asyncio.run(execution.validate_inputs("p", copy.deepcopy(prompt), "1", {}))
            except ValueError as error:
                assert type(error).__name__ == "InputError" and name in str(error)
            else:
                # A null is only told from a link when the node runs, where ComfyUI does not convert the value itself.
                assert (not valid and errors) or (value is None and name == "frame_rate")
