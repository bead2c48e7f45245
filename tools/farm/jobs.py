"""The table of jobs: its lines, and the prompts that they ask for.

A table is CSV with a header, or JSON lines of flat objects. ``graph`` names a graph of ``workflows/api`` or the path of
an API prompt, beside the table or absolute; ``name``, where given, begins the names of the results. Every other column
is a place in the graph (see placing.py); an empty cell, or null, leaves what the graph says.
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tools.farm.placing import PlacingError, choices, place
from tools.provision import REPO
from tools.server import Prompt

GRAPHS = REPO / "workflows" / "api"
OWN_COLUMNS = ("graph", "name")
# A slip such as seed=1..10000000 should be a sentence, not an hour of hashing.
MOST_JOBS = 100_000


class BadJobs(Exception):
    """Lines that cannot be run: ``problems`` holds (line number, what is wrong)."""

    def __init__(self, source: str, problems: list[tuple[int, str]]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{source}, line {number}: {message}" for number, message in problems))


@dataclass(frozen=True)
class Line:
    """A line of the table. ``values`` maps columns to cells: text from CSV, JSON values from JSON lines."""

    number: int
    graph: str
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One prompt. ``placed`` are the (node, input) pairs that the table, not the graph, gave a value."""

    line: int
    graph: str
    name: str
    prompt: Prompt
    placed: frozenset[tuple[str, str]]

    @property
    def seed(self) -> int | None:
        """The first seed in the prompt, in the order of its nodes."""
        for key in ("seed", "noise_seed"):
            for node in self.prompt.values():
                if isinstance(node["inputs"].get(key), int):
                    return node["inputs"][key]
        return None


def read_jobs(path: Path) -> list[Job]:
    """Every job of a table, ranges expanded, in its order. Raises BadJobs, which names every bad line."""
    problems: list[tuple[int, str]] = []
    jobs: list[Job] = []
    for line in _lines(path, problems):
        try:
            jobs += _expand(line, path.parent, MOST_JOBS - len(jobs))
        except PlacingError as error:
            problems.append((line.number, str(error)))
    if not jobs and not problems:
        problems.append((1, "no jobs. Below a header such as graph,prompt,seed comes a line for each job."))
    if problems:
        raise BadJobs(path.name, sorted(problems))
    return jobs


def _expand(line: Line, folder: Path, most: int) -> Iterator[Job]:
    """The jobs of a line: one for every combination of the values that its cells stand for."""
    prompt = _graph(line.graph, folder)
    options = [choices(prompt, column, cell) for column, cell in line.values.items()]
    if math.prod(map(len, options)) > most:
        raise PlacingError(f"more than {MOST_JOBS} jobs up to here. Split the table, or narrow its ranges.")
    label = Path(line.graph).stem
    for values in itertools.product(*options):
        filled, placed = place(prompt, dict(zip(line.values, values, strict=True)))
        yield Job(line.number, label, line.name or label, filled, frozenset(placed))


def _graph(name: str, folder: Path) -> Prompt:
    path = (folder / name) if name.endswith(".json") else GRAPHS / f"{name}.json"
    if not path.is_file():
        stems = sorted(file.stem for file in GRAPHS.glob("*.json"))
        known = ", ".join(difflib.get_close_matches(name, stems) or stems)
        what = f"no file {path}" if name.endswith(".json") else f"no graph '{name}' in workflows/api; there are {known}"
        raise PlacingError(f"{what}. A graph of your own is named by its path, ending in .json.")
    return _prompt(path)


@cache
def _prompt(path: Path) -> Prompt:
    try:
        prompt = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise PlacingError(f"{path} is not JSON: {error}.") from None
    is_prompt = isinstance(prompt, dict) and prompt
    if not is_prompt or not all(isinstance(n, dict) and "class_type" in n and "inputs" in n for n in prompt.values()):
        raise PlacingError(
            f"{path} is no API prompt (nodes by number, each with class_type and inputs). "
            "In ComfyUI: Workflow, Export (API). Of this pack, the files of workflows/api fit."
        )
    return prompt


# --- the two formats -------------------------------------------------------------------------------------------------


def _lines(path: Path, problems: list[tuple[int, str]]) -> list[Line]:
    """The lines that can be read; what is wrong with the others goes into ``problems``."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadJobs(path.name, [(1, f"cannot be read: {error.strerror}.")]) from None
    except UnicodeDecodeError:
        raise BadJobs(path.name, [(1, "not UTF-8 text. Save the table as CSV in UTF-8.")]) from None
    rows = _json_rows(text, problems) if path.suffix in (".jsonl", ".ndjson", ".json") else _csv_rows(text, problems)
    lines = []
    for number, row in rows:
        graph, name = row.pop("graph", None), row.pop("name", None)
        if not isinstance(graph, str) or not graph:
            problems.append((number, "no graph named: the column 'graph' is empty."))
        elif name and (not isinstance(name, str) or not _is_file_name(name)):
            problems.append((number, f"name {name!r} begins file names: letters, digits, spaces and - _ . only."))
        else:
            lines.append(Line(number, graph, name or "", {k: v for k, v in row.items() if v not in (None, "")}))
    return lines


def _is_file_name(name: str) -> bool:
    return len(name) <= 100 and name[0].isalnum() and all(c.isalnum() or c in " -_." for c in name)


def _csv_rows(text: str, problems: list[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","  # what spreadsheets write where 1,5 is a number
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [column.strip() for column in next(reader, [])]
    if "graph" not in header or "" in header or len(set(header)) < len(header):
        found = ", ".join(header) or "nothing"
        problems.append((1, f"a header of different column names, 'graph' among them, is needed; found {found}."))
        return
    begin = reader.line_num
    for row in reader:
        number, begin = begin + 1, reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(header):
            problems.append((number, f"{len(row)} cells below {len(header)} columns. A text with commas needs quotes."))
            continue
        yield number, dict(zip(header, (cell.strip() for cell in row), strict=False))


def _json_rows(text: str, problems: list[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            problems.append((number, f"not JSON: {error}."))
            continue
        if not isinstance(row, dict):
            problems.append((number, 'not an object such as {"graph": "text-to-video", "seed": 7}.'))
            continue
        yield number, row
