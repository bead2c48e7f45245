"""Writes locales/en/nodeDefs.json from the nodes' schemas, and says what locales/zh still lacks.

    python3 tools/locales.py            # writes the English file, fills in Chinese for sentences that are known already
    python3 tools/locales.py --check    # writes nothing; fails where a file differs or lacks something

ComfyUI reads these files of a pack and the front-end shows them in the user's language. A new node: run this, then
translate the entries that it prints into locales/zh/nodeDefs.json; locales/README.md has the words.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.provision import REPO, ProvisionError, provision
from tools.server import NODE_PREFIX, Server

LOCALES = REPO / "locales"
LANGUAGES = ("zh",)
Locale = dict[str, Any]
# What the front-end's message format (vue-i18n) gives a meaning to.
_SPECIAL = re.compile(r"[{}@|]")
_QUOTED = re.compile(r"\{'(.)'\}")


def escaped(text: str) -> str:
    """A text as a message of the front-end, which shows it as it is."""
    return _SPECIAL.sub(lambda match: "{'" + match[0] + "'}", text)


def unescaped(message: str) -> str:
    """The text that the front-end shows for a message."""
    return _QUOTED.sub(r"\1", message)


def english(object_info: Mapping[str, Any]) -> Locale:
    """The English file: names and texts of all nodes of this pack, as ComfyUI's ``/object_info`` tells them."""
    return {name: _node(info) for name, info in sorted(object_info.items()) if name.startswith(NODE_PREFIX)}


def _node(info: Mapping[str, Any]) -> Locale:
    slots = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    inputs = {name: _texts(slot[1].get("display_name") or name, slot[1].get("tooltip")) for name, slot in slots.items()}
    tooltips = info.get("output_tooltips") or [None] * len(info["output_name"])
    outputs = {str(index): _texts(*both) for index, both in enumerate(zip(info["output_name"], tooltips, strict=True))}
    return {
        "display_name": escaped(info["display_name"]),
        "description": escaped(info["description"]),
        "inputs": inputs,
        "outputs": outputs,
    }


def _texts(name: str, tooltip: str | None) -> Locale:
    return {"name": escaped(name)} | ({"tooltip": escaped(tooltip)} if tooltip else {})


def messages(locale: Locale, path: str = "") -> Iterator[tuple[str, str]]:
    """Every message of a file with its path, such as ``LTX2Sampler.inputs.eta.tooltip``."""
    for key, value in locale.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from messages(value, here)
        else:
            yield here, value


def filled(locale: Locale, source: Locale, known: Mapping[tuple[str, str], str]) -> Locale:
    """A translation with the keys of ``source``, in its order; entries that are missing come from ``known``.

    ``known`` maps (last part of the path, English text) to a translation. What is in neither stays out.
    """
    result: Locale = {}
    for key, value in source.items():
        if isinstance(value, dict):
            result[key] = filled(locale.get(key, {}), value, known)
        elif key in locale:
            result[key] = locale[key]
        elif (key, value) in known:
            result[key] = known[key, value]
    return result


def translations(source: Locale, locale: Locale) -> dict[tuple[str, str], str]:
    """The translation of each English message, by the last part of its path and its text."""
    translated = dict(messages(locale))
    return {(path.rpartition(".")[2], text): translated[path] for path, text in messages(source) if path in translated}


def missing(source: Locale, locale: Locale) -> list[str]:
    """What is to be translated: a line for each entry that a translation lacks, and for each that it has too many."""
    texts, translated = dict(messages(source)), dict(messages(locale))
    lacking = [f"add {path}: {unescaped(text)}" for path, text in texts.items() if path not in translated]
    return lacking + [f"remove {path}, which no node has" for path in translated if path not in texts]


def read(language: str) -> Locale:
    """A file of this repository; empty while it does not exist."""
    path = LOCALES / language / "nodeDefs.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def written(locale: Locale) -> str:
    """A file's content."""
    return json.dumps(locale, ensure_ascii=False, indent=2) + "\n"


def _write(language: str, locale: Locale) -> None:
    path = LOCALES / language / "nodeDefs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written(locale), "utf-8")


def main() -> int:
    """Write or check the files; 1 when something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    check = parser.parse_args().check
    try:
        with Server(provision()) as server:
            source = english(server.client.object_info())
    except ProvisionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    wrong = [] if read("en") == source or not check else ["locales/en differs from the nodes; run tools/locales.py"]
    if not check:
        before = read("en")
        _write("en", source)
        for language in LANGUAGES:
            _write(language, filled(read(language), source, translations(before, read(language))))
    for language in LANGUAGES:
        wrong += [f"locales/{language}: {line}" for line in missing(source, read(language))]
    print("\n".join(wrong) or f"{len(source)} nodes in {len(LANGUAGES) + 1} languages")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
