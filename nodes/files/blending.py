"""Laying a result over its source without a visible edge."""

from __future__ import annotations

from comfy_api.latest import io

from ...ltx_core_impl import media
from ...ltx_core_impl.media.blending import LEVELS, pyramid_blend, softly_grown
from ..wires.checks import InputError, check_widgets, message_or_true
from ..wires.pictures import require_mask_for, require_pictures

CATEGORY = "LTX-2/video"
MAX_LEVELS, MAX_GROW = 12, 15


class LTX2PyramidBlend(io.ComfyNode):
    """New pictures over the source's, band by band."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LTX2PyramidBlend",
            display_name="LTX-2 Pyramid Blend",
            category=CATEGORY,
            description="Lays new pictures over the source where a mask is white, so that no edge shows: fine detail "
            "changes at the edge, colours and brightness over many pixels around it (Laplacian pyramid). In place of "
            "'Image Composite Masked' after in- and out-painting; that one keeps every other pixel exactly.",
            inputs=[
                io.Image.Input("images", tooltip="The new pictures; they win where the mask is white."),
                io.Image.Input("source", tooltip="The pictures below, of the same size."),
                io.Mask.Input(
                    "mask",
                    tooltip="White = the new pictures: blend_mask of a region node. One frame, or one per frame; any "
                    "size.",
                ),
                io.Int.Input(
                    "levels",
                    default=LEVELS,
                    min=0,
                    max=MAX_LEVELS,
                    tooltip="How far colours reach across the edge: about 2 to the power of this many pixels. 0 = a "
                    "hard edge, 4 = 16 pixels, 7 = 128.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=0,
                    max=MAX_GROW,
                    optional=True,
                    tooltip="How much larger the white part becomes, with a soft edge, in 64ths of the longer side of "
                    "the picture: 5 and 6 in the two stages of the in-painting recipe. 0 = the mask as it is.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The blended pictures.")],
        )

    @classmethod
    def validate_inputs(cls, levels, grow=0) -> bool | str:
        return message_or_true(lambda: check_widgets(cls, levels=levels, grow=grow))

    @classmethod
    def execute(cls, images, source, mask, levels, grow=0) -> io.NodeOutput:
        check_widgets(cls, levels=levels, grow=grow)
        upper, lower = require_pictures(images, "images"), require_pictures(source, "source")
        if upper.shape[1:3] != lower.shape[1:3]:
            raise InputError(
                f"images are {upper.shape[2]} x {upper.shape[1]}, source is {lower.shape[2]} x {lower.shape[1]}. Bring "
                "both to one size, for example with 'LTX-2 Fit Video'."
            )
        count = min(len(upper), len(lower))
        upper, lower = upper[:count], lower[:count].to(upper.device)
        marked = require_mask_for(mask[:count] if len(mask) > count else mask, upper, "mask")
        marked = softly_grown(media.resize_mask(marked, *upper.shape[1:3]), grow)
        return io.NodeOutput(pyramid_blend(upper, lower, marked, levels))


NODES = [LTX2PyramidBlend]
