"""Every value of a text encoder's config, made wrong: it opens all the same, or a sentence names file and key."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ltx_core_impl.loader.errors import CheckpointError
from ltx_core_impl.text_encoders.gemma.judging import judge_text_encoder
from tests.conftest import TESTS

SOURCE = TESTS / "golden" / "gemma-tiny"
WRONG = (True, 0, -1, "x", [], {}, None, math.inf, 1 << 40)


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from places(item, (*path, key))


def changed(config: dict, path: tuple, value: Any) -> dict:
    config = copy.deepcopy(config)
    inner = config
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SOURCE, tmp_path / "gemma"))


def test_a_wrong_value_opens_or_is_said(folder: Path) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    unclear, said = [], 0
    for number, path in enumerate(places(config)):
        for value in {
            str(WRONG[(number + step) % len(WRONG)]): WRONG[(number + step) % len(WRONG)] for step in (0, 4)
        }.values():
            file.write_text(json.dumps(changed(config, path, value)))
            try:
                judge_text_encoder(folder)
            except CheckpointError as error:
                said += 1
                if "gemma" not in str(error) or not (path[-1] in str(error) or "declares" in str(error)):
                    unclear.append(f"{path} = {value!r}: {error}")
            except Exception as error:  # what no user should see
                unclear.append(f"{path} = {value!r}: {error!r}")
    assert not unclear, "\n".join(unclear)
    assert said > 10


@pytest.mark.parametrize("model_type", ["gemma3", None])
def test_a_whole_config_without_its_text_part_is_refused(folder: Path, model_type: str | None) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config = {key: value for key, value in config.items() if key not in ("text_config", "model_type")}
    file.write_text(json.dumps(config if model_type is None else {**config, "model_type": model_type}))
    with pytest.raises(CheckpointError, match=r"config\.json has no text_config"):
        judge_text_encoder(folder)


def test_the_config_of_a_text_model_alone_opens(folder: Path) -> None:
    """``gemma3_text``: what Gemma 3 1B has, and what `save_pretrained` of the language model writes."""
    file = folder / "config.json"
    whole = json.loads(file.read_text())
    expected = judge_text_encoder(folder).config
    file.write_text(json.dumps(whole["text_config"]))
    assert judge_text_encoder(folder).config.kinds == expected.kinds
