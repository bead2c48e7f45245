"""Prompts held against node schemas, and the files, ids and models of those that pass."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tools.farm.checking import Task, check, check_jobs
from tools.farm.jobs import BadJobs, Job

INFOS: dict[str, Any] = {
    "ModelLoader": {"input": {"required": {"model": [["a.safetensors", "b.safetensors"]]}}, "output": ["MODEL"]},
    "LoadImage": {"input": {"required": {"image": [["x.png"], {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]},
    "Sampler": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "seed": ["INT", {"min": 0, "max": 100}],
                "cfg": ["FLOAT", {"min": 1.0}],
                "solver": ["COMBO", {"options": ["euler", "heun"]}],
            },
            "optional": {"image": ["IMAGE,LATENT"], "text": ["STRING"], "tiled": ["BOOLEAN"]},
        },
        "output": ["LATENT"],
    },
    "Save": {"input": {"required": {"latent": ["LATENT"], "any": ["*"]}}, "output": [], "output_node": True},
}
PROMPT: dict[str, Any] = {
    "1": {"class_type": "ModelLoader", "inputs": {"model": "a.safetensors"}},
    "2": {"class_type": "LoadImage", "inputs": {"image": "x.png", "upload": "image"}},
    "3": {
        "class_type": "Sampler",
        "inputs": {"model": ["1", 0], "seed": 7, "cfg": 1, "solver": "heun", "image": ["2", 0], "tiled": True},
    },
    "4": {"class_type": "Save", "inputs": {"latent": ["3", 0], "any": ["2", 1]}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.png").write_bytes(b"picture")
    return tmp_path


def job(line: int = 2, placed: frozenset[tuple[str, str]] = frozenset(), **changes: Any) -> Job:
    """PROMPT with ``n3_seed=5`` for the input ``seed`` of node 3."""
    prompt = deepcopy(PROMPT)
    for place, value in changes.items():
        node, _, name = place[1:].partition("_")
        prompt[node]["inputs"][name] = value
    return Job(line, "graph", "graph", prompt, placed)


def test_a_good_prompt_passes_with_its_files(folder: Path) -> None:
    assert check(job(), INFOS, [folder / "none", folder]) == ({"x.png": (folder / "x.png").resolve()}, [])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n1_model": "c.safetensors"}, "node 1 (ModelLoader): model is 'c.safetensors'; there are a.safetensors, b."),
        ({"n2_image": "y.png"}, "node 2 (LoadImage): image is 'y.png', which is in none of"),
        ({"n2_image": ""}, "image is ''"),
        ({"n3_seed": 101}, "seed is 101; 0 to 100 is allowed."),
        ({"n3_seed": 1.5}, "a whole number is needed"),
        ({"n3_seed": True}, "a whole number is needed"),
        ({"n3_cfg": 0.5}, "cfg is 0.5; 1.0 to inf"),
        ({"n3_cfg": "high"}, "cfg is 'high'; a number is needed."),
        ({"n3_cfg": float("nan")}, "a number is needed"),
        ({"n3_solver": "rk4"}, "solver is 'rk4'; there are euler, heun."),
        ({"n3_tiled": "yes"}, "true or false"),
        ({"n3_text": {}}, "a text is needed"),
        ({"n3_model": ["2", 0]}, "'model' takes MODEL, not the IMAGE of LoadImage."),
        ({"n3_model": ["9", 0]}, "comes from node 9, which is not in the graph"),
        ({"n3_model": ["1", 1]}, "comes from output 1 of ModelLoader, which has 1."),
        ({"placed": frozenset({("3", "sede")})}, "node 3 (Sampler) has no input 'sede'; it has model, seed"),
    ],
)
def test_what_does_not_fit_is_said(folder: Path, changes: dict[str, Any], words: str) -> None:
    [complaint] = check(job(**changes), INFOS, [folder])[1]
    assert words in complaint


def test_a_node_that_is_missing_or_saves_nothing_is_said(folder: Path) -> None:
    one = job()
    del one.prompt["4"], one.prompt["3"]["inputs"]["cfg"]
    one.prompt["5"] = {"class_type": "Other", "inputs": {}}
    complaints = check(one, INFOS, [folder])[1]
    assert len(complaints) == 3
    for complaint, words in zip(complaints, ("'cfg' is missing", "no node type Other", "saves nothing"), strict=True):
        assert words in complaint


def test_bad_lines_are_named_once_each(folder: Path) -> None:
    jobs = [job(2, n3_seed=1), job(3, n3_cfg=0), job(3, n3_cfg=0, n3_seed=9), job(4, n3_seed=-1)]
    with pytest.raises(BadJobs) as error:
        check_jobs(jobs, INFOS, [folder], "jobs.csv")
    assert [number for number, _ in error.value.problems] == [3, 4]
    assert str(error.value).startswith("jobs.csv, line 3: node 3")


def tasks(folder: Path, *jobs: Job) -> list[Task]:
    return check_jobs(jobs, INFOS, [folder], "jobs.csv")[0]


def test_an_id_says_what_is_asked_for_and_nothing_else(folder: Path) -> None:
    first, second = tasks(folder, job(2), job(3, n3_seed=8))
    assert first.id != second.id
    assert tasks(folder, job(9))[0].id == first.id, "the place in the table does not matter"
    assert first.job.prompt == PROMPT, "the prompt is the one that a single server gets"
    assert (first.stem, first.models) == (
        f"graph-seed7-{first.id[:8]}",
        frozenset({'["ModelLoader", {"model": "a.safetensors"}]'}),
    )
    (folder / "x.png").write_bytes(b"another picture")
    assert tasks(folder, job(2))[0].id != first.id


def test_the_same_again_is_made_once_with_a_note(folder: Path) -> None:
    found, notes = check_jobs([job(2), job(3, n3_seed=8), job(5)], INFOS, [folder], "jobs.csv")
    assert [task.job.line for task in found] == [2, 3]
    assert notes == ["line 5 asks for the same as line 2: made once"]


def test_files_of_one_name_and_different_content_do_not_meet(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.png").write_bytes(b"another picture")
    first, second = tasks(folder, job(2), job(3, n2_image="sub/x.png"))
    [name], [other] = first.files, second.files
    assert name != other and {name[8:], other[8:]} == {"-x.png"}
    assert first.job.prompt["2"]["inputs"]["image"] == name and second.job.prompt["2"]["inputs"]["image"] == other
    assert first.files[name].read_bytes() == b"picture" and second.files[other].read_bytes() == b"another picture"


def test_a_file_in_a_folder_is_sent_under_its_own_name(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "x.png").rename(folder / "sub" / "x.png")
    [task] = tasks(folder, job(n2_image="sub/x.png [input]"))
    assert list(task.files) == ["x.png"] and task.job.prompt["2"]["inputs"]["image"] == "x.png"
