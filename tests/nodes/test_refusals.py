"""What ComfyUI itself makes of a refusal at queue time: one sentence, on the node that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def host_validates(nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The host's own validation of a prompt."""
    import execution

    import nodes as host_nodes

    for node_id, node in nodes.items():
        monkeypatch.setitem(host_nodes.NODE_CLASS_MAPPINGS, node_id, node)
    return lambda prompt: asyncio.run(execution.validate_prompt("a", prompt, None))


def prompt_of(nodes: dict[str, Any], tile_size: int = 512) -> dict[str, Any]:
    """Encode a video file, decode the latent, save it."""

    def defaults(node_id: str) -> dict[str, Any]:
        slots = nodes[node_id].GET_SCHEMA().inputs
        return {slot.id: slot.default for slot in slots if getattr(slot, "default", None) is not None}

    return {
        "1": {
            "class_type": "LTX2CheckpointLoader",
            "inputs": defaults("LTX2CheckpointLoader") | {"checkpoint": "ltx-2.3-tiny.safetensors"},
        },
        "2": {
            "class_type": "LTX2EmptyLatents",
            "inputs": defaults("LTX2EmptyLatents"),
        },
        "3": {
            "class_type": "LTX2SaveVideo",
            "inputs": defaults("LTX2SaveVideo")
            | {"video_latent": ["2", 0], "video_vae": ["1", 1], "tile_size": tile_size},
        },
    }


def test_a_good_prompt_passes(nodes: dict[str, Any], host_validates: Any) -> None:
    valid, error, outputs, node_errors = host_validates(prompt_of(nodes))
    assert (valid, error, outputs, node_errors) == (True, None, ["3"], {})


def test_a_refusal_shows_once_on_an_output_node(nodes: dict[str, Any], host_validates: Any) -> None:
    valid, _, _, node_errors = host_validates(prompt_of(nodes, tile_size=33))
    assert not valid
    assert list(node_errors) == ["3"]
    [error] = node_errors["3"]["errors"]
    assert error["details"].startswith("Spatial tile size is 33 px; it must be a multiple of 32")


def test_a_refusal_shows_once_on_a_node_in_the_middle(nodes: dict[str, Any], host_validates: Any) -> None:
    prompt = prompt_of(nodes)
    prompt["2"]["inputs"] |= {"width": 700, "length": 100}
    valid, _, _, node_errors = host_validates(prompt)
    assert not valid
    assert list(node_errors) == ["2"]
    [error] = node_errors["2"]["errors"]
    assert error["details"].startswith("width is 700; it must be a multiple of 32 pixels. Set it to 672 or 704")


def test_every_node_with_a_check_refuses_once(nodes: dict[str, Any]) -> None:
    checked = [node for node in nodes.values() if "validate_inputs" in vars(node)]
    assert len(checked) > 20
    assert all(hasattr(node.validate_inputs, "__wrapped__") for node in checked)


FRAME_RATES = (
    "LTX2EmptyLatents",
    "LTX2FitVideo",
    "LTX2ExtendClip",
    "LTX2DurationPredictor",
    "LTX2VideoVAEEncode",
    "LTX2SaveVideo",
    "LTX2EncodeVideoFile",
    "LTX2Sampler",
)


def test_a_frame_rate_may_come_as_a_whole_number(nodes: dict[str, Any], host_validates: Any) -> None:
    for node_id in FRAME_RATES:
        schema = nodes[node_id].GET_NODE_INFO_V1()["input"]
        kind, options = {**schema["required"], **schema.get("optional", {})}["frame_rate"]
        assert (kind, options["widgetType"]) == ("FLOAT,INT", "FLOAT"), node_id
    prompt = prompt_of(nodes)
    prompt["4"] = {"class_type": "LTX2EmptyLatents", "inputs": dict(prompt["2"]["inputs"])}
    whole = next(
        index
        for index, output in enumerate(nodes["LTX2EncodeVideoFile"].GET_SCHEMA().outputs)
        if output.io_type == "INT"
    )
    prompt["5"] = {
        "class_type": "LTX2EncodeVideoFile",
        "inputs": {
            slot.id: slot.default
            for slot in nodes["LTX2EncodeVideoFile"].GET_SCHEMA().inputs
            if getattr(slot, "default", None) is not None
        }
        | {"file": None, "video_vae": ["1", 1]},
    }
    prompt["2"]["inputs"]["frame_rate"] = ["5", whole]
    _, _, _, node_errors = host_validates(prompt)
    assert "2" not in node_errors
    prompt["2"]["inputs"]["frame_rate"] = ["1", 0]
    _, _, _, node_errors = host_validates(prompt)
    assert "received_type(LTX2_MODEL) mismatch" in node_errors["2"]["errors"][0]["details"]


def test_an_error_has_a_short_name(nodes: dict[str, Any], host_validates: Any) -> None:
    """ComfyUI shows a class with its module, which for a pack begins with the path of its folder."""
    _, _, _, node_errors = host_validates(prompt_of(nodes, tile_size=33))
    [error] = node_errors["3"]["errors"]
    assert error["extra_info"]["exception_type"] == "ltx2.InputError"


def test_an_error_of_a_run_has_a_short_name(nodes: dict[str, Any]) -> None:
    import execution

    with pytest.raises(ValueError) as refused:
        nodes["LTX2EmptyLatents"].execute(700, 512, 97, 24.0, 1)
    assert execution.full_type_name(refused.type) == "ltx2.InputError"
    with pytest.raises(ValueError) as refused:
        nodes["LTX2CheckpointLoader"].execute("missing.safetensors", "auto", "none", "none", 1.0)
    assert execution.full_type_name(refused.type).startswith("ltx2.")
