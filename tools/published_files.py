"""The published model files that the example graphs name: where they lie in ComfyUI, and where they come from.

Sources: spec 01 section 1, 08 section 1.2 (names, repositories, folders, sizes); addresses are those that ComfyUI's own
templates carry for the same repositories. No hash of these files is published in either, so none stands here;
``tools/download.py`` checks what the server itself says about a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HUB = "https://huggingface.co"
GATED = "Lightricks/LTX-2.5"
"""A repository whose licence has to be accepted, by a person, before its files can be read."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of a published model."""

    name: str
    directory: str
    """ComfyUI's name of the model folder."""
    gigabytes: float | None
    """10^9 bytes, rounded as published; None where no size is published."""
    repository: str | None = None
    """None where only the name of the file is known, not the repository that holds it."""
    folder: str = ""
    """In the repository, with its slash."""
    sha256: str | None = None

    @property
    def url(self) -> str | None:
        """Where it is downloaded from."""
        return self.repository and f"{HUB}/{self.repository}/resolve/main/{self.folder}{self.name}"

    @property
    def is_gated(self) -> bool:
        return self.repository == GATED

    @property
    def model(self) -> dict[str, str] | None:
        """As the front-end reads it from ``properties.models`` of a node."""
        if self.url is None:
            return None
        entry = {"name": self.name, "url": self.url, "directory": self.directory}
        return entry if self.sha256 is None else {**entry, "hash": self.sha256, "hash_type": "SHA256"}


def _of(
    repository: str | None, directory: str, sizes: dict[str, float | None], folder: str = ""
) -> list[PublishedFile]:
    return [PublishedFile(f"{stem}.safetensors", directory, size, repository, folder) for stem, size in sizes.items()]


def _of_25(directory: str, sizes: dict[str, float | None]) -> list[PublishedFile]:
    """LTX-2.5's repository has ComfyUI's folders."""
    return _of(GATED, directory, sizes, f"{directory}/")


_ALL = [
    *_of(
        "Lightricks/LTX-2",
        "checkpoints",
        {
            "ltx-2-19b-dev": 43.3,
            "ltx-2-19b-dev-fp8": 27.1,
            "ltx-2-19b-distilled": 43.3,
            "ltx-2-19b-distilled-fp8": 27.1,
        },
    ),
    *_of("Lightricks/LTX-2", "loras", {"ltx-2-19b-distilled-lora-384": 7.7}),
    *_of(
        "Lightricks/LTX-2",
        "latent_upscale_models",
        {"ltx-2-spatial-upscaler-x2-1.0": 1.0, "ltx-2-temporal-upscaler-x2-1.0": 0.3},
    ),
    *_of("Lightricks/LTX-2-19b-IC-LoRA-Canny-Control", "loras", {"ltx-2-19b-ic-lora-canny-control": None}),
    *_of("Lightricks/LTX-2-19b-IC-LoRA-Depth-Control", "loras", {"ltx-2-19b-ic-lora-depth-control": None}),
    *_of("Lightricks/LTX-2-19b-IC-LoRA-Detailer", "loras", {"ltx-2-19b-ic-lora-detailer": 2.6}),
    *_of(
        "Lightricks/LTX-2.3",
        "checkpoints",
        {"ltx-2.3-22b-dev": 46.1, "ltx-2.3-22b-distilled": 46.1, "ltx-2.3-22b-distilled-1.1": 46.1},
    ),
    *_of("Lightricks/LTX-2.3-fp8", "checkpoints", {"ltx-2.3-22b-dev-fp8": 29.1, "ltx-2.3-22b-distilled-fp8": 29.5}),
    *_of(
        "Lightricks/LTX-2.3",
        "loras",
        {"ltx-2.3-22b-distilled-lora-384": 7.6, "ltx-2.3-22b-distilled-lora-384-1.1": 7.6},
    ),
    *_of(
        "Lightricks/LTX-2.3",
        "latent_upscale_models",
        {
            "ltx-2.3-spatial-upscaler-x2-1.1": 1.0,
            "ltx-2.3-spatial-upscaler-x1.5-1.0": 1.1,
            "ltx-2.3-temporal-upscaler-x2-1.0": 0.3,
        },
    ),
    *_of("Lightricks/LTX-2.3-22b-IC-LoRA-Union-Control", "loras", {"ltx-2.3-22b-ic-lora-union-control-ref0.5": 0.7}),
    *_of("Lightricks/LTX-2.5-22b-IC-LoRA-Ingredients", "loras", {"ltx-2.5-22b-ic-lora-ingredients-0.9": None}),
    # Each in a repository of its own, whose name none of our sources gives.
    *_of(
        None,
        "loras",
        {
            "ltx-2.3-22b-ic-lora-motion-track-control-ref0.5": 0.3,
            "ltx-2.3-22b-ic-lora-hdr-0.9": None,
            "ltx-2.3-22b-ic-lora-lipdub-0.9": None,
            "ltx-2.3-22b-ic-lora-colorization-0.9": None,
            "ltx-2.3-22b-ic-lora-in-outpainting-0.9": None,
            "ltx-2.3-22b-ic-lora-pixel-spatial-upscaler-x2-0.9": None,
            "ltx-2.5-22b-ic-lora-alpha-gen-0.9": None,
            "ltx-2.5-22b-ic-lora-refine-details-1.0": None,
            "ltx-2.5-22b-ic-lora-day-to-night-0.9": None,
            "ltx-2.5-22b-ic-lora-colorization-0.9": None,
            "ltx-2.5-22b-ic-lora-layout-to-render-1.0": None,
            "ltx-2.5-22b-lora-slow-motion-control-1.0": None,
        },
    ),
    *_of("Lightricks/LTX-2.5-22b-IC-LoRA-SDR-To-HDR", "loras", {"ltx-2.5-22b-ic-lora-sdr-to-hdr-1.0": None}),
    *_of(
        "Lightricks/LTX-2.5-22b-IC-LoRA-SDR-To-HDR",
        "embeddings",
        {"ltx-2.5-22b-ic-lora-sdr-to-hdr-scene-emb": None},
    ),
    *_of(
        "Comfy-Org/ltx-2",
        "text_encoders",
        {"gemma_3_12B_it": 24.4, "gemma_3_12B_it_fp8_scaled": 13.2, "gemma_3_12B_it_fp4_mixed": 9.4},
        "split_files/text_encoders/",
    ),
    *_of_25(
        "diffusion_models",
        {"ltx-2.5-22b-dev-transformer-bf16": 42.0, "ltx-2.5-22b-distilled-transformer-bf16": 42.0},
    ),
    *_of_25("text_encoders", {"gemma4-12b-with-proj-ltx-2.5-bf16": 26.3}),
    *_of_25(
        "vae",
        {"ltx-2.5-video-vae-bf16": 1.5, "ltx-2.5-video-vae-conv-bf16": 1.5, "ltx-2.5-audio-vae-bf16": 0.4},
    ),
    *_of_25(
        "loras",
        {"ltx-2.5-22b-distilled-lora-450-bf16": 8.9, "ltx-2.5-22b-ic-lora-pixel-spatial-upscaler-x2-1.0": None},
    ),
    *_of_25(
        "latent_upscale_models",
        {
            "ltx-2.5-latent-spatial-upscaler-x2-bf16-1.0": 1.0,
            "ltx-2.5-latent-temporal-upscaler-x2-bf16-1.0": 0.3,
        },
    ),
    *_of_25("model_patches", {"ltx-2.5-duration-head-bf16": 0.01}),
]
PUBLISHED_FILES = {file.name: file for file in _ALL}


def model_properties(values: Iterable[Any]) -> dict[str, list[dict[str, str]]]:
    """What a node whose inputs have these values says about its files: ``models`` for its properties, or nothing.

    The front-end (0.3.75 and the newest alike) offers an entry for download when its name is the value of a widget of
    the same node and its folder does not hold it.
    """
    named = (PUBLISHED_FILES.get(value) for value in values if isinstance(value, str))
    models = [file.model for file in named if file is not None and file.model is not None]
    return {"models": models} if models else {}


def file_list(names: Iterable[str]) -> str:
    """These files for the note of a graph, which is narrow: a list with name, size and folder."""
    return "**Files**\n" + "\n".join(_row(PUBLISHED_FILES[name]) for name in names)


def download_advice(names: Iterable[str]) -> str:
    """How the files come, for the note of a graph; also what ComfyUI cannot offer, and the gate of LTX-2.5."""
    files = [PUBLISHED_FILES[name] for name in names]
    lines = [
        "ComfyUI offers to download what is missing; `python tools/download.py GRAPH` does it without a browser. Then "
        "press **R**."
    ]
    by_hand = [file.name for file in files if file.url is None]
    if by_hand:
        lines.append(f"By hand, from {HUB}/Lightricks: {', '.join(by_hand)}.")
    if any(file.is_gated for file in files):
        lines.append(
            f"LTX-2.5 has a licence: signed in, accept it once at {HUB}/{GATED}. Without a browser set HF_TOKEN to a "
            "token of that account."
        )
    return "\n- ".join(lines)


def _row(file: PublishedFile) -> str:
    size = "" if file.gigabytes is None else f" ({file.gigabytes:g} GB)"
    return f"- {file.directory}: {file.name}{size}"
