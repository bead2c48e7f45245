"""Converted graphs in a real ComfyUI server: they fit the schemas of the nodes, and run on the tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from tests.foreign_graphs import GRAPHS
from tests.pipeline_helpers import IC_LORA, write_inputs
from tests.workflows.test_media import MAX_TOKENS, SEED
from tools.conversion.graphs import convert
from tools.graphs.graph import input_slots
from tools.graphs.tiny import SPLIT_FILES, with_tiny_models, with_tiny_split_files
from tools.server import Prompt, Server

SIZE = {"width": 64, "height": 64, "length": 9}
BY_HAND = {"pack_hdr_still"}
"""Graphs that need something of the person's own where a node has no counterpart: here, the still."""
FRAMES = {"pack_detailer": 17, "core_split_files": None}


@pytest.fixture(scope="module", autouse=True)
def inputs(server: Server) -> None:
    write_inputs(server.output.parent / "input")


def tiny(name: str) -> Prompt:
    """The converted graph with tiny files and the test inputs."""
    prompt, _ = convert(GRAPHS[name]())
    if name == "core_split_files":
        return with_tiny_split_files(prompt, **SIZE)
    loras = {id: node["inputs"]["lora"] for id, node in prompt.items() if node["class_type"] == "LTX2LoraLoader"}
    version = "2.0" if "ltx-2-19b" in str(prompt) else "2.3"
    prompt = with_tiny_models(prompt, version, steps=2, **SIZE)
    for id, node in prompt.items():
        node["inputs"] |= {
            "LoadImage": {"image": "source.png"},
            "LoadImageMask": {"image": "mask.png"},
            "LoadAudio": {"audio": "source.wav"},
            "LTX2EnhancePrompt": {"max_tokens": MAX_TOKENS, "seed": SEED},
        }.get(node["class_type"], {})
        if "-ic-lora-" in loras.get(id, "") and "detailer" not in loras[id]:  # whose reference has the clip's size
            node["inputs"]["lora"] = IC_LORA.format(version)
    return prompt


def problems(prompt: Prompt, object_info: dict[str, Any]) -> list[str]:
    """What of a prompt does not fit the schemas: names, missing inputs, types of wires."""
    found = []
    for id, node in prompt.items():
        type, info = node["class_type"], object_info.get(node["class_type"])
        if info is None:
            found.append(f"{type} is not there")
            continue
        slots = {slot.name: slot for slot in input_slots(info)}
        found += [f"{type} has no input {name}" for name in node["inputs"].keys() - slots.keys()]
        for name, slot in slots.items():
            value = node["inputs"].get(name)
            if value is None and not slot.optional:
                found.append(f"{type} ({id}) needs {name}")
            if isinstance(value, list) and prompt[value[0]]["class_type"] in object_info:
                given = object_info[prompt[value[0]]["class_type"]]["output"][value[1]]
                if slot.type != "*" and given != "*" and given not in slot.type.split(","):
                    found.append(f"{type}.{name} takes {slot.type}, not {given}")
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_it_fits_the_schemas(name: str, object_info: dict[str, Any]) -> None:
    prompt, notes = convert(GRAPHS[name]())
    found = problems(prompt, object_info)
    if name in BY_HAND:
        assert any("To do" in note for note in notes)
    else:
        assert found == []
        assert not any(note.startswith("To do") for note in notes)


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in BY_HAND])
def test_it_runs(name: str, server: Server) -> None:
    done = server.client.run(tiny(name))
    assert done.status == "success", f"{done.error}\n{server.log_tail()}"
    films = [path for path in done.files if path.suffix == ".mp4"]
    assert films or name == "pack_text_to_audio"  # which plays its sound
    for path in films:
        with av.open(str(path)) as film:
            assert film.streams.video[0].frames in ((FRAMES[name],) if FRAMES.get(name) else (9, 17, 25, 33, 41, 49))


def test_the_files_of_the_split_graph_are_known() -> None:
    """So that its tiny form really is one."""
    prompt, _ = convert(GRAPHS["core_split_files"]())
    named = [v for node in prompt.values() for v in node["inputs"].values() if str(v).endswith(".safetensors")]
    assert {Path(name).stem for name in named} <= SPLIT_FILES.keys()
