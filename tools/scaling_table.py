"""Writes the tables of docs/scaling.md: what travels between the cards that sample one clip, and how long that takes.

    python3 tools/scaling_table.py    # after a change of the exchange; a test compares the page with the code

Counted from the config of the published LTX-2.3 (22B). Nothing here is measured on several cards.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from ltx_core_impl.model.transformer import LTXModelConfigurator, TransformerOptions
from ltx_core_impl.parallel.traffic import WAYS, operations, sent_bytes
from ltx_core_impl.types import AudioLatentShape, VideoLatentShape, VideoPixelShape
from tools.provision import REPO

PAGE = REPO / "docs" / "scaling.md"
SIZES = ((768, 512, 121), (1280, 704, 121), (1920, 1088, 225))
RANKS = (2, 4, 8)
ITEMSIZE = torch.bfloat16.itemsize
FRAME_RATE = 24.0
TEXT_TOKENS = 1024
MEASURED_PASS = 0.404  # seconds, bf16, 768x512x121 on one H200: docs/benchmark.md
LINKS = {"NVLink": 450e9, "PCIe 5": 64e9, "PCIe 4": 32e9}
"""Bytes per second and direction on paper: NVLink 4 of an H100 or H200, PCIe with 16 lanes."""


def options() -> TransformerOptions:
    """Of the published model."""
    config = json.loads((REPO / "tests" / "inventory" / "config-22b.json").read_text())
    with torch.device("meta"):
        return LTXModelConfigurator.from_config(config).options


def tokens(size: tuple[int, int, int]) -> tuple[int, int]:
    """Video and audio tokens of a clip."""
    width, height, frames = size
    pixels = VideoPixelShape(batch=1, frames=frames, height=height, width=width, fps=FRAME_RATE)
    video = VideoLatentShape.from_pixel_shape(pixels, latent_channels=128)
    return video.token_count(), AudioLatentShape.from_video_pixel_shape(pixels).token_count()


def seconds_alone(model: TransformerOptions, size: tuple[int, int, int]) -> float:
    """A pass on one card: the measured one, by the number of operations."""
    first = operations(model, *tokens(SIZES[0]), TEXT_TOKENS)
    return MEASURED_PASS * operations(model, *tokens(size), TEXT_TOKENS) / first


def traffic_table() -> str:
    """Bytes per pass and row, for all ways."""
    model = options()
    lines = [("clip", "tokens", "ranks", *WAYS), ("---",) * 6]
    for size in SIZES:
        video, audio = tokens(size)
        for ranks in RANKS:
            sent = [sent_bytes(model, video, audio, ranks=ranks, itemsize=ITEMSIZE, way=way) for way in WAYS]
            name = "x".join(map(str, size))
            lines.append((name, f"{video:,} + {audio}", str(ranks), *map(_bytes, sent)))
    return _table(lines)


def time_table() -> str:
    """Computing and sending of one row's pass, for the way that the code goes."""
    model = options()
    head = ("clip", "ranks", "computing", *LINKS, *(f"faster with {name}" for name in LINKS))
    lines = [head, ("---",) * len(head)]
    for size in SIZES:
        alone = seconds_alone(model, size)
        for ranks in RANKS:
            sent = sent_bytes(model, *tokens(size), ranks=ranks, itemsize=ITEMSIZE, way="heads")
            times = [sent / speed for speed in LINKS.values()]
            gains = [f"{alone / (alone / ranks + one):.1f}x" for one in times]
            lines.append(("x".join(map(str, size)), str(ranks), _ms(alone / ranks), *map(_ms, times), *gains))
    return _table(lines)


def weights_table() -> str:
    """What sharded weights add to every pass."""
    with torch.device("meta"):
        config = json.loads((REPO / "tests" / "inventory" / "config-22b.json").read_text())
        model = LTXModelConfigurator.from_config(config).to(torch.bfloat16)
    whole = sum(weight.nbytes for weight in model.parameters())
    lines = [("ranks", "each holds", "each receives per pass", *LINKS), ("---",) * 6]
    for ranks in RANKS:
        received = whole * (ranks - 1) / ranks
        lines.append(
            (str(ranks), _bytes(whole / ranks), _bytes(received), *(_ms(received / link) for link in LINKS.values()))
        )
    return _table(lines)


def page(text: str) -> str:
    """The page with its tables made anew, each between its two marks."""
    for name, table in (("traffic", traffic_table()), ("time", time_table()), ("weights", weights_table())):
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
        text, count = re.subn(pattern, lambda found, table=table: found[1] + table + found[2], text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} places for the table {name!r}; it needs one.")
    return text


def _table(lines: list[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _ms(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def main() -> int:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(REPO)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
