"""Reference sheets for the ingredients IC-LoRA: several pictures as panels of one."""

from __future__ import annotations

import logging
import re

from comfy_api.latest import io

from ...ltx_core_impl import media
from .. import host
from ..wires.checks import InputError, check_frames, check_grid, check_widgets, message_or_true
from ..wires.inputs import MAX_LENGTH
from ..wires.pictures import require_pictures

logger = logging.getLogger(__name__)
CATEGORY = "LTX-2/guides"
WIDTH, HEIGHT, LENGTH, GAP = 768, 448, 121, 16
MAX_SIDE, MAX_GAP = 8192, 512
PICTURES = 8
FRAMED_PANELS = 2


class LTX2ReferenceSheet(io.ComfyNode):
    """Characters, props and a place on one picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2ReferenceSheet",
            display_name="LTX-2 Reference Sheet",
            category=CATEGORY,
            description="Lays several pictures out on pure black, as the ingredients IC-LoRA wants its reference: "
            "people, things and a place that the clip shall show. Give the frames to 'LTX-2 Reference Video Guide'.",
            inputs=[
                io.Image.Input(
                    "image_1",
                    tooltip="A picture; each one of a batch is a panel. Pictures with alpha (core 'Join Image with "
                    "Alpha') are cut out on black, which works best for people and things.",
                ),
                io.String.Input(
                    "layout",
                    multiline=True,
                    default="",
                    tooltip="One row per line: numbers of the panels, separated by spaces (1 2 3). Empty: the rows, in "
                    "order, in which the panels are largest.",
                ),
                io.Int.Input(
                    "width",
                    default=WIDTH,
                    min=32,
                    max=MAX_SIDE,
                    step=32,
                    tooltip="Width of the clip in pixels. The LoRA was trained with 768 x 448 alone.",
                ),
                io.Int.Input(
                    "height", default=HEIGHT, min=32, max=MAX_SIDE, step=32, tooltip="Height of the clip in pixels."
                ),
                io.Int.Input(
                    "length",
                    default=LENGTH,
                    min=1,
                    max=MAX_LENGTH,
                    tooltip="Frames of the clip, 8k + 1; the sheet stands still for all of them. The LoRA knows 121.",
                ),
                io.Int.Input(
                    "gap", default=GAP, min=0, max=MAX_GAP, tooltip="Black pixels around the panels. Good: 8 to 32."
                ),
                *(
                    io.Image.Input(f"image_{number}", optional=True, tooltip="Another picture, or several.")
                    for number in range(2, PICTURES + 1)
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The sheet, once for every frame of the clip."),
                io.Image.Output(display_name="sheet", tooltip="The sheet once, to look at."),
            ],
        )

    @classmethod
    def validate_inputs(cls, layout, width, height, length, gap) -> bool | str:
        return message_or_true(lambda: cls._check(layout, width, height, length, gap))

    @classmethod
    def _check(
        cls, layout: str | None, width: int | None, height: int | None, length: int | None, gap: int | None
    ) -> None:
        check_widgets(cls, width=width, height=height, length=length, gap=gap)
        for name, side in (("width", width), ("height", height)):
            if side is not None:
                check_grid(name, side, 32)
        if length is not None:
            check_frames(length, 8)
        if layout is not None:
            _rows(layout)

    @classmethod
    def execute(cls, image_1, layout, width, height, length, gap, **more) -> io.NodeOutput:
        cls._check(layout, width, height, length, gap)
        given = {"image_1": image_1} | {name: more[name] for name in sorted(more) if more[name] is not None}
        for name, images in given.items():
            require_pictures(images, name)
        pictures = [
            picture if picture.shape[-1] > 1 else picture.expand(-1, -1, 3) for one in given.values() for picture in one
        ]
        framed = sum(picture.shape[-1] == 3 for picture in pictures)
        if framed > FRAMED_PANELS:
            logger.warning(
                "%d panels of the sheet are whole pictures; with more than %d the clip tends to copy the sheet as a "
                "split screen. Cut people and things out: 'Join Image with Alpha' before this node.",
                framed,
                FRAMED_PANELS,
            )
        try:
            sheet = media.reference_sheet(pictures, height, width, gap, _rows(layout))
        except ValueError as error:
            raise InputError(str(error)) from None
        sheet = sheet[None].to(host.output_device())
        return io.NodeOutput(sheet.expand(length, -1, -1, -1), sheet)


def _rows(layout: str) -> list[list[int]] | None:
    """Numbers of the panels in each row, from 0 on; None for an empty layout."""
    lines = [line.strip() for line in layout.splitlines() if line.strip()]
    if not lines:
        return None
    rows = []
    for line in lines:
        parts = re.split(r"[\s,;]+", line.strip(",; "))
        if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= media.MOST_PANELS for part in parts):
            raise InputError(
                f"layout has the line '{line}'; write the numbers of a row's panels, 1 to {media.MOST_PANELS}, for "
                "example 1 2 3."
            )
        rows.append([int(part) - 1 for part in parts])
    numbers = [number for row in rows for number in row]
    if len(set(numbers)) < len(numbers):
        raise InputError("layout names a panel twice. Name every panel once.")
    return rows


NODES = [LTX2ReferenceSheet]
