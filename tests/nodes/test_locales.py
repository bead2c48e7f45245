"""The texts of every node in every language: none missing, none too many, numbers and names as in English."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tools.locales import LANGUAGES, english, escaped, filled, messages, missing, read, translations, unescaped

# What a translation leaves as it is: numbers, paths and file names, placeholders, files' formats, sizes and units.
NUMBER = re.compile(r"\d+(?:\.\d+)?")
KEPT = re.compile(
    r"[\w.-]+/[\w./-]*\w|[\w-]+\.(?:safetensors|exr|mp4|json)\b|%[\w:-]+%|\b(?:px|kHz|MP4|AAC|EXR|JSON|fp8\w*)\b",
    re.ASCII,
)


@pytest.fixture(scope="module")
def source(nodes: dict[str, Any]) -> dict[str, Any]:
    return english({name: node.GET_NODE_INFO_V1() for name, node in nodes.items()})


def test_the_english_file_is_what_the_nodes_say(source: dict[str, Any]) -> None:
    assert read("en") == source, "run: python3 tools/locales.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_missing(source: dict[str, Any], language: str) -> None:
    lines = missing(source, read(language))
    assert lines == [], f"locales/{language}/nodeDefs.json:\n" + "\n".join(lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_and_names_agree(source: dict[str, Any], language: str) -> None:
    translated = dict(messages(read(language)))
    wrong = []
    for path, text in messages(source):
        for pattern in (NUMBER, KEPT):
            there, here = (sorted(pattern.findall(unescaped(one))) for one in (text, translated[path]))
            if there != here:
                wrong.append(f"{path}: English has {there}, the translation {here}")
    assert wrong == []


def test_chinese_is_chinese(source: dict[str, Any]) -> None:
    """Sentences, not names such as CFG, are in Chinese characters and punctuation."""
    for path, text in messages(read("zh")):
        if path.endswith(("tooltip", "description", "display_name")):
            assert re.search(r"[\u4e00-\u9fff]", text), path
            assert not re.search(r"[\u4e00-\u9fff] ?[,;:?!](?: |$)", text), path


def test_one_english_text_has_one_translation(source: dict[str, Any]) -> None:
    texts = dict(messages(source))
    for language in LANGUAGES:
        known = translations(source, read(language))
        for path, text in messages(read(language)):
            assert known[path.rpartition(".")[2], texts[path]] == text, path


def test_what_the_command_makes_of_a_new_node() -> None:
    source = {"A": {"inputs": {"x": {"name": "x", "tooltip": "Width."}}}, "B": {"inputs": {"x": {"name": "x"}}}}
    before = {"A": {"inputs": {"x": {"name": "宽", "tooltip": "宽度。"}}}, "C": {"description": "旧"}}
    new = {**source, "B": {"inputs": {"x": {"name": "x", "tooltip": "Width."}, "y": {"name": "y"}}}}
    locale = filled(before, new, translations(source, before))
    assert locale == {"A": before["A"], "B": {"inputs": {"x": {"name": "宽", "tooltip": "宽度。"}, "y": {}}}}
    assert missing(new, locale) == ["add B.inputs.y.name: y"]
    assert missing(new, before)[-1] == "remove C.description, which no node has"


def test_signs_of_the_message_format_are_escaped() -> None:
    text = 'a | b, {"x": 1}, user@host'
    assert escaped(text) == "a {'|'} b, {'{'}\"x\": 1{'}'}, user{'@'}host"
    assert unescaped(escaped(text)) == text
