"""Every published file lies in a folder in which the node that wants it looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.provision import REPO
from tools.published_files import PUBLISHED_FILES

PROMPTS = sorted(path for path in (REPO / "workflows" / "api").glob("*.json") if not path.stem.startswith("demo-"))


@pytest.mark.parametrize("path", PROMPTS, ids=lambda path: path.stem)
def test_the_loader_finds_the_file_in_its_folder(
    path: Path, nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of the loader, made anew, has the file when it lies (empty) where the graph says that it belongs."""
    import folder_paths

    wanted = [
        (node["class_type"], name, PUBLISHED_FILES[value])
        for node in json.loads(path.read_text("utf-8")).values()
        for name, value in node["inputs"].items()
        if isinstance(value, str) and value in PUBLISHED_FILES
    ]
    assert wanted
    for _, _, file in wanted:
        target = tmp_path / file.directory / file.name
        target.parent.mkdir(exist_ok=True)
        target.touch()
    for directory in {file.directory for _, _, file in wanted}:
        paths, extensions = folder_paths.folder_names_and_paths[directory]
        monkeypatch.setitem(
            folder_paths.folder_names_and_paths, directory, ([*paths, str(tmp_path / directory)], extensions)
        )
        folder_paths.filename_list_cache.pop(directory, None)
    for type_name, input_name, file in wanted:
        [options] = [i.options for i in nodes[type_name].define_schema().inputs if i.id == input_name]
        assert file.name in options, f"{type_name}.{input_name} does not list models/{file.directory}"
    for directory in {file.directory for _, _, file in wanted}:
        folder_paths.filename_list_cache.pop(directory, None)
