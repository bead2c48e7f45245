"""A prompt held against the node schemas of a server (its ``/object_info``) before anything runs, and its files found.

What a node's own ``validate_inputs`` refuses beyond its schema shows when the prompt is queued: nothing heavy has run
then either, and the job is set aside with the node's sentence.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.farm.jobs import BadJobs, Job

ID_DIGITS = 16
SHOWN_CHOICES = 12
# How ComfyUI marks a file of its input folder, where it is not understood anyway.
INPUT_MARK = " [input]"
Infos = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """A job that passed, ready for a worker. ``files`` maps names in a server's input folder to files here."""

    id: str
    job: Job
    files: Mapping[str, Path]
    models: frozenset[str]
    """What the loaders of the prompt are asked for, one text per loader."""

    @property
    def stem(self) -> str:
        """How its results are called: the name, the seed where there is one, and the id, so that all differ."""
        seed = "" if self.job.seed is None else f"-seed{self.job.seed}"
        return f"{self.job.name}{seed}-{self.id[:8]}"


def check_jobs(jobs: Sequence[Job], infos: Infos, folders: Sequence[Path], source: str) -> tuple[list[Task], list[str]]:
    """The tasks of all jobs, and a note for each that asks for what an earlier one does.

    Args:
        infos: ``/object_info`` of a server.
        folders: where files that the prompts name are looked for, the first that has one.
        source: the table's name, for the messages.

    Raises:
        BadJobs: names every bad line, once per message.
    """
    problems: dict[tuple[int, str], None] = {}
    found: list[dict[str, Path]] = []
    for job in jobs:
        files, complaints = check(job, infos, folders)
        problems |= {(job.line, complaint): None for complaint in complaints}
        found.append(files)
    if problems:
        raise BadJobs(source, sorted(problems))
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for files in found for path in files.values()}
    contents: dict[str, set[str]] = {}
    for files in found:
        for name, path in files.items():
            contents.setdefault(_plain(name), set()).add(hashes[path])
    tasks: dict[str, Task] = {}
    notes = []
    for job, files in zip(jobs, found, strict=True):
        task = _task(job, infos, files, hashes, contents)
        if task.id in tasks:
            notes.append(f"line {job.line} asks for the same as line {tasks[task.id].job.line}: made once")
        tasks.setdefault(task.id, task)
    return list(tasks.values()), notes


def check(job: Job, infos: Infos, folders: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """The files that a prompt loads, by the name it gives them, and what is wrong with it."""
    files: dict[str, Path] = {}
    complaints: list[str] = []
    for key, node in job.prompt.items():
        info = infos.get(node["class_type"])
        if info is None:
            complaints.append(f"node {key}: the server has no node type {node['class_type']}. Is its pack installed?")
            continue
        where = f"node {key} ({node['class_type']})"
        schema = {
            name: spec for section in ("required", "optional") for name, spec in info["input"].get(section, {}).items()
        }
        unknown = [name for node_id, name in job.placed if node_id == key and name not in schema]
        complaints += [f"{where} has no input '{name}'; it has {', '.join(schema)}." for name in sorted(unknown)]
        for name in info["input"].get("required", {}):
            if name not in node["inputs"]:
                complaints.append(f"{where}: the input '{name}' is missing.")
        for name, value in node["inputs"].items():
            if name not in schema:
                continue  # of the front-end, or of another version of the node: the server passes over it
            if is_link(value):
                complaints += [
                    f"{where}: {reason}" for reason in _link_complaints(job, infos, name, value, schema[name])
                ]
            elif _is_file(schema[name]):
                path = _find(str(value), folders)
                if path is None:
                    looked = ", ".join(map(str, folders))
                    complaints.append(f"{where}: {name} is '{value}', which is in none of {looked}.")
                else:
                    files[str(value)] = path
            else:
                complaints += [f"{where}: {reason}" for reason in _value_complaints(name, value, schema[name])]
    if not any(infos.get(node["class_type"], {}).get("output_node") for node in job.prompt.values()):
        complaints.append("the graph saves nothing: it needs a node such as Save Video.")
    return files, complaints


def is_link(value: Any) -> bool:
    """Is the value of an input a wire, ``[node id, output number]``?"""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def _task(
    job: Job, infos: Infos, files: dict[str, Path], hashes: Mapping[Path, str], contents: Mapping[str, set[str]]
) -> Task:
    """Files of different content and one name get names of their own; all others keep theirs, and so the prompt."""
    renamed = {}
    for name, path in files.items():
        plain = _plain(name)
        renamed[name] = plain if len(contents[plain]) == 1 else f"{hashes[path][:8]}-{plain}"
    prompt = job.prompt
    if any(old != new for old, new in renamed.items()):
        prompt = {key: dict(node, inputs=dict(node["inputs"])) for key, node in prompt.items()}
        for node in prompt.values():
            schema = infos[node["class_type"]]["input"]
            for name, value in node["inputs"].items():
                spec = schema.get("required", {}).get(name) or schema.get("optional", {}).get(name)
                if spec and not is_link(value) and _is_file(spec):
                    node["inputs"][name] = renamed[str(value)]
        job = Job(job.line, job.graph, job.name, prompt, job.placed)
    needed = {renamed[name]: path for name, path in files.items()}
    content = json.dumps([prompt, sorted((name, hashes[path]) for name, path in needed.items())], sort_keys=True)
    return Task(hashlib.sha256(content.encode()).hexdigest()[:ID_DIGITS], job, needed, _models(job))


def _models(job: Job) -> frozenset[str]:
    """One text for each loader of the prompt: its type and its own values."""
    loaders = []
    for node in job.prompt.values():
        if "Loader" in node["class_type"]:
            own = {name: value for name, value in node["inputs"].items() if not is_link(value)}
            loaders.append(json.dumps([node["class_type"], own], sort_keys=True))
    return frozenset(loaders)


def _plain(name: str) -> str:
    return Path(name.removesuffix(INPUT_MARK)).name


def _find(value: str, folders: Sequence[Path]) -> Path | None:
    name = value.removesuffix(INPUT_MARK)
    candidates = (folder / name for folder in folders)
    return next((path.resolve() for path in candidates if name and path.is_file()), None)


def _options(spec: Sequence[Any]) -> tuple[str, Mapping[str, Any], Sequence[Any] | None]:
    """Type, options and choices of an input, in both forms that ComfyUI has for a list to choose from."""
    kind, options = [*spec, {}][:2]
    if isinstance(kind, list):
        return "COMBO", options, kind
    return kind, options, options.get("options") if kind == "COMBO" else None


def _is_file(spec: Sequence[Any]) -> bool:
    """Does the input choose from ComfyUI's input folder? Then it has a button to upload."""
    return any(value is True for name, value in _options(spec)[1].items() if name.endswith("_upload"))


def _link_complaints(job: Job, infos: Infos, name: str, link: list[Any], spec: Sequence[Any]) -> list[str]:
    source = job.prompt.get(link[0])
    if source is None:
        return [f"'{name}' comes from node {link[0]}, which is not in the graph."]
    outputs = infos.get(source["class_type"], {}).get("output")
    if outputs is None:
        return []  # an unknown type, complained about already
    if not 0 <= link[1] < len(outputs):
        return [f"'{name}' comes from output {link[1]} of {source['class_type']}, which has {len(outputs)}."]
    given, kind = outputs[link[1]], _options(spec)[0]
    if not isinstance(given, str) or "COMBO" in (given, kind) or "*" in (given, kind) or kind.startswith("COMFY_"):
        return []
    if not set(given.split(",")) & set(kind.split(",")):
        return [f"'{name}' takes {kind}, not the {given} of {source['class_type']}."]
    return []


def _value_complaints(name: str, value: Any, spec: Sequence[Any]) -> list[str]:
    kind, options, choices = _options(spec)
    if choices is not None:
        if value in choices or options.get("multiselect") or options.get("remote"):
            return []
        shown = ", ".join(map(str, choices[:SHOWN_CHOICES])) + (", ..." if len(choices) > SHOWN_CHOICES else "")
        return [f"{name} is '{value}'; there are {shown or 'none'}."]
    if kind in ("INT", "FLOAT"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or (kind == "INT" and value != int(value)):
            return [f"{name} is {value!r}; a {'whole ' if kind == 'INT' else ''}number is needed."]
        low, high = options.get("min", -math.inf), options.get("max", math.inf)
        if not low <= value <= high:
            return [f"{name} is {value}; {low} to {high} is allowed."]
    if kind == "STRING" and not isinstance(value, (str, int, float)):
        return [f"{name} is {value!r}; a text is needed."]
    if kind == "BOOLEAN" and not isinstance(value, (bool, int)):
        return [f"{name} is {value!r}; true or false is needed."]
    return []
