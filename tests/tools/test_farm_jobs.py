"""Tables of jobs: what their lines stand for, where values go, and how what is wrong is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tools.farm.jobs import MOST_JOBS, BadJobs, Job, read_jobs
from tools.farm.placing import PlacingError, choices, place, places

GRAPH: dict[str, Any] = {
    "1": {"class_type": "Text", "inputs": {"prompt": "a cat"}, "_meta": {"title": "Prompt"}},
    "2": {"class_type": "Text", "inputs": {"prompt": "blurry"}, "_meta": {"title": "Negative prompt"}},
    "3": {"class_type": "Guider", "inputs": {"positive": ["1", 0], "negative": ["2", 0], "cfg": 3.0}},
    "4": {"class_type": "Noise", "inputs": {"seed": 10, "device": "cpu"}, "_meta": {"title": "First noise"}},
    "5": {"class_type": "Noise", "inputs": {"seed": 11, "device": "cpu"}, "_meta": {"title": "Second noise"}},
    "6": {"class_type": "Size", "inputs": {"length": 17, "tiled": True, "rate": 8.0, "wired": ["3", 0]}},
    "7": {"class_type": "Size", "inputs": {"length": 33, "tiled": True}, "_meta": {"title": "Large.size"}},
}


def table(folder: Path, text: str, suffix: str = ".csv") -> list[Job]:
    (folder / "mine.json").write_text(json.dumps(GRAPH))
    path = folder / f"jobs{suffix}"
    path.write_bytes(text.encode())
    return read_jobs(path)


def problems(folder: Path, text: str, suffix: str = ".csv") -> dict[int, str]:
    with pytest.raises(BadJobs) as error:
        table(folder, text, suffix)
    for number, message in error.value.problems:
        assert f"jobs{suffix}, line {number}: {message}" in str(error.value)
    return dict(error.value.problems)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_ranges_multiply_and_keep_the_order_of_the_table(tmp_path: Path) -> None:
    jobs = table(tmp_path, "graph,seed,#6.length\nmine.json,1..3,9..25..8\nmine.json,7,\n")
    found = [(job.line, job.prompt["4"]["inputs"]["seed"], job.prompt["6"]["inputs"]["length"]) for job in jobs]
    assert found == [*((2, seed, length) for seed in (1, 2, 3) for length in (9, 17, 25)), (3, 7, 17)]
    assert [job.seed for job in jobs] == [*(3 * [1] + 3 * [2] + 3 * [3]), 7]
    assert jobs[0].placed == {("4", "seed"), ("5", "seed"), ("6", "length")}
    assert (jobs[0].graph, jobs[0].name) == ("mine", "mine")


def test_json_lines_give_the_same_jobs_as_csv(tmp_path: Path) -> None:
    rows = [
        {"graph": "mine.json", "seed": "1..2", "prompt": "a dog, 1..2", "name": "dogs"},
        {"graph": "mine.json", "seed": [5, 6], "prompt": None},
    ]
    jobs = table(tmp_path, "\n\n".join(map(json.dumps, rows)), ".jsonl")
    csv = 'graph,prompt,seed,name\nmine.json,"a dog, 1..2",1..2,dogs\n\nmine.json,,5,\nmine.json,,6,\n'
    same = table(tmp_path, csv)
    assert [(job.prompt, job.placed, job.name) for job in jobs] == [(j.prompt, j.placed, j.name) for j in same]
    assert [job.line for job in jobs] == [1, 1, 3, 3]
    assert jobs[0].prompt["1"]["inputs"]["prompt"] == "a dog, 1..2"


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    jobs = table(
        tmp_path, '\ufeffgraph;seed;rate;prompt\r\nmine.json;3;12.5;"two\r\nlines; one text"\r\nmine.json;4;;\r\n'
    )
    assert [job.line for job in jobs] == [2, 4]
    assert jobs[0].prompt["6"]["inputs"]["rate"] == 12.5
    assert jobs[0].prompt["1"]["inputs"]["prompt"] == "two\nlines; one text"


def test_a_graph_of_the_pack_is_named_without_its_ending(tmp_path: Path) -> None:
    [job] = table(tmp_path, "graph,prompt,seed,length\ndemo-text-to-video,a blue square,5,33\n")
    inputs = {node["class_type"]: node["inputs"] for node in job.prompt.values()}
    assert (inputs["LTX2LatentNoise"]["seed"], inputs["LTX2EmptyLatents"]["length"]) == (5, 33)
    texts = [node["inputs"]["prompt"] for node in job.prompt.values() if node["class_type"] == "LTX2TextEncode"]
    assert texts == ["a blue square", ""]


def test_every_bad_line_is_named_with_its_number(tmp_path: Path) -> None:
    text = (
        "graph,seed,name,Size.lengths,#6.wired\nmine.json,x,,,\nnothing,1,,,\n,1,,,\nmine.json,1,a/b,,\n"
        "mine.json,5..1,,,\nmine.json,1,,9,\nmine.json,1,,,9\nmine.json,1,,,,,\nother.json,1,,,\ntext-to-vide,,,,\n"
    )
    found = problems(tmp_path, text)
    assert found.keys() == {2, 3, 4, 5, 6, 8, 9, 10, 11}, "line 7 sets an input that the schema may have"
    for number, words in {
        2: "'seed' is 'x'; a number is needed",
        3: "no graph 'nothing' in workflows/api",
        4: "no graph named",
        5: "name 'a/b' begins file names",
        6: "a range goes up",
        8: "comes over a wire from node 3",
        9: "7 cells below 5 columns",
        10: "no file .*other.json",
        11: "text-to-video",
    }.items():
        assert re.search(words, found[number]), found[number]


def test_lines_that_are_not_json_objects_are_named(tmp_path: Path) -> None:
    found = problems(
        tmp_path, '{"graph": \n[1]\n{"graph": "mine.json", "seed": {}}\n{"graph": "mine.json", "seed": []}', ".jsonl"
    )
    assert "not JSON" in found[1] and "not an object" in found[2]
    assert "an object" in found[3] and "at least one" in found[4]


@pytest.mark.parametrize("text", ["", "seed\n1\n", "graph,seed,seed\n", "graph,\n", "graph,seed\n"])
def test_a_table_without_header_or_jobs_says_what_is_needed(tmp_path: Path, text: str) -> None:
    assert "graph" in problems(tmp_path, text)[1]


def test_a_slip_in_a_range_does_not_make_millions_of_jobs(tmp_path: Path) -> None:
    found = problems(tmp_path, "graph,seed\nmine.json,1..99\nmine.json,1..10000000000\nmine.json,0..1" + 100 * "0")
    assert found.keys() == {3, 4} and str(MOST_JOBS) in found[3]


def test_files_that_are_no_api_prompts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "canvas.json").write_text('{"nodes": [], "links": []}')
    (tmp_path / "broken.json").write_text("{")
    found = problems(tmp_path, "graph,seed\ncanvas.json,1\nbroken.json,1\n")
    assert "no API prompt" in found[2] and "not JSON" in found[3]
    with pytest.raises(BadJobs, match="cannot be read"):
        read_jobs(tmp_path / "gone.csv")


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("prompt", [("1", "prompt")]),
        ("negative", [("2", "prompt")]),
        ("seed", [("4", "seed"), ("5", "seed")]),
        ("tiled", [("6", "tiled"), ("7", "tiled")]),
        ("Second noise.seed", [("5", "seed")]),
        ("Noise.seed", [("4", "seed"), ("5", "seed")]),
        ("#7.length", [("7", "length")]),
        ("Large.size.length", [("7", "length")]),
        ("Guider.new", [("3", "new")]),
    ],
)
def test_where_a_column_goes(column: str, expected: list[tuple[str, str]]) -> None:
    assert places(GRAPH, column) == expected


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("length", "could be any of 'Size.length' .#6., 'Large.size.length' .#7."),
        ("lenght", "no node of the graph has such a value; there are cfg, device, length"),
        ("Third noise.seed", "no node has the title, type or #id 'Third noise'; there are First noise"),
        ("Size.wired", "over a wire"),
    ],
)
def test_a_column_that_goes_nowhere_says_where_it_could(column: str, words: str) -> None:
    with pytest.raises(PlacingError, match=words):
        places(GRAPH, column)


def test_the_graph_itself_is_left_alone_and_nothing_is_set_twice() -> None:
    before = json.dumps(GRAPH)
    filled, _ = place(GRAPH, {"seed": 3})
    assert filled["4"]["inputs"]["seed"] == 3 and json.dumps(GRAPH) == before
    with pytest.raises(PlacingError, match="so does another column"):
        place(GRAPH, {"seed": 3, "First noise.seed": 4})


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("seed", "1..3", [1, 2, 3]),
        ("seed", "-2..0", [-2, -1, 0]),
        ("seed", "18446744073709551615", [2**64 - 1]),
        ("cfg", "4", [4]),
        ("cfg", "4.5", [4.5]),
        ("tiled", "no", [False]),
        ("tiled", "TRUE", [True]),
        ("prompt", "1..3", ["1..3"]),
        ("prompt", "7", ["7"]),
        ("prompt", ["a", "b"], ["a", "b"]),
        ("Guider.new", "5", [5]),
        ("Guider.new", "five", ["five"]),
    ],
)
def test_a_cell_becomes_the_kind_of_value_that_the_graph_holds(column: str, cell: Any, expected: list[Any]) -> None:
    found = list(choices(GRAPH, column, cell))
    assert found == expected and [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("tiled", "perhaps", "true or false"),
        ("prompt", 5, "a text"),
        ("cfg", "high", "a number"),
        ("seed", "1..9..0", "up"),
    ],
)
def test_a_cell_of_another_kind_is_refused(column: str, cell: Any, words: str) -> None:
    with pytest.raises(PlacingError, match=words):
        choices(GRAPH, column, cell)
