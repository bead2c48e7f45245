"""The model files that a graph names: what its nodes declare, else what the table of published files knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tools.published_files import PUBLISHED_FILES

FOLDER_NAMES = {
    "checkpoints",
    "diffusion_models",
    "embeddings",
    "latent_upscale_models",
    "loras",
    "model_patches",
    "text_encoders",
    "vae",
}
SUFFIXES = (".safetensors", ".sft", ".gguf")


class DownloadError(Exception):
    """A file cannot be fetched; the message says what to do."""


@dataclass(frozen=True)
class Wanted:
    """A file that a graph names."""

    name: str
    url: str
    directory: str
    sha256: str | None = None


def wanted_files(graph: Any) -> tuple[list[Wanted], list[str]]:
    """The files to fetch for a graph, and the names of published files whose address is not known.

    Raises DownloadError for an entry that would leave ComfyUI's model folders.
    """
    files: dict[str, Wanted] = {}
    without_address = []
    for values, models in _nodes(graph):
        for model in models:
            if isinstance(model, dict) and model.get("name") in values:
                file = _checked(model)
                files[file.name] = file
        for value in values:
            published = PUBLISHED_FILES.get(value)
            if published is not None and value not in files:
                if published.url is None:
                    without_address.append(value)
                else:
                    files[value] = Wanted(value, published.url, published.directory, published.sha256)
    return list(files.values()), sorted(set(without_address) - files.keys())


def _nodes(graph: Any) -> Iterator[tuple[list[str], list[Any]]]:
    """Typed texts and declared models of each node, of a graph of the front-end or of a prompt."""
    if not isinstance(graph, dict):
        raise DownloadError(
            "This is no graph: a graph is a JSON object with 'nodes', or a prompt with its nodes by id."
        )
    if not isinstance(graph.get("nodes"), list):
        for node in graph.values():
            inputs = node.get("inputs") if isinstance(node, dict) else None
            if isinstance(inputs, dict):
                yield [value for value in inputs.values() if isinstance(value, str)], []
        return
    definitions = graph.get("definitions")
    inner = definitions.get("subgraphs", []) if isinstance(definitions, dict) else []
    for part in (graph, *inner):
        for node in part.get("nodes", []) if isinstance(part, dict) else []:
            values = node.get("widgets_values") if isinstance(node, dict) else None
            properties = node.get("properties") if isinstance(node, dict) else None
            models = properties.get("models") if isinstance(properties, dict) else None
            typed = values.values() if isinstance(values, dict) else values if isinstance(values, list) else []
            yield (
                [value for value in typed if isinstance(value, str)],
                models if isinstance(models, list) else [],
            )


def _checked(model: dict[str, Any]) -> Wanted:
    """An entry of a graph, which anyone may have written: a plain name in a folder of models, over https."""
    name, url, directory = (model.get(key) for key in ("name", "url", "directory"))
    if not all(isinstance(value, str) for value in (name, url, directory)):
        raise DownloadError(f"The graph's entry {model} has no name, url and directory.")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or ":" in name or "\0" in name or not name.endswith(SUFFIXES):
        raise DownloadError(
            f"'{name}' is no plain file name that ends with {', '.join(SUFFIXES)}; nothing was fetched."
        )
    if directory not in FOLDER_NAMES:
        raise DownloadError(f"'{directory}' is none of the model folders {', '.join(sorted(FOLDER_NAMES))}.")
    if urlsplit(url).scheme != "https":
        raise DownloadError(f"{name}: the address {url} is not https.")
    sha256 = model.get("hash") if str(model.get("hash_type", "")).lower() == "sha256" else None
    return Wanted(name, url, directory, sha256.lower() if isinstance(sha256, str) else None)
