"""Pictures, masks, HDR, switches and numbers."""

from __future__ import annotations

from typing import Any

from tools.conversion.converter import Conversion, rule
from tools.conversion.reading import Item, Link
from tools.conversion.values import Wire


@rule("ComfySwitchNode", "InversionDemoLazySwitch")
def switch(conversion: Conversion, item: Item) -> list[Any] | None:
    """The branch that is on; what lies on both may be no longer of one kind."""
    state = conversion.typed(item, "switch")
    if not isinstance(state, bool):
        return None
    chosen = "on_true" if state else "on_false"
    if isinstance(item.inputs.get("on_true"), Link) and isinstance(item.inputs.get("on_false"), Link):
        conversion.note(f"{item} was {'on' if state else 'off'}; the other branch is left out.")
    return [conversion.get(item, chosen)]


@rule("LTXVInpaintPreprocess")
def inpaint_fill(conversion: Conversion, item: Item) -> list[Any]:
    return [
        conversion.wire(
            "LTX2InpaintFill",
            images=conversion.picture(item, "images"),
            mask=conversion.get(item, "mask"),
            grow=0,
        )
    ]


@rule("LTXVDilateVideoMask")
def dilated(conversion: Conversion, item: Item) -> list[Any]:
    """Core's 'GrowMask' grows each picture of the mask; its corners are not tapered, as there."""
    radius = conversion.typed(item, "spatial_radius", 1)
    mask = conversion.get(item, "mask")
    if mask is None:
        picture = conversion.picture(item, "image_as_mask")
        mask = picture and conversion.wire("ImageToMask", image=picture, channel="red")
    if conversion.typed(item, "temporal_radius", 0):
        conversion.note(f"Left out: the temporal radius of {item}.")
    return [mask and conversion.wire("GrowMask", mask=mask, expand=radius, tapered_corners=False)]


@rule("LTXVLaplacianPyramidBlend")
def pyramid(conversion: Conversion, item: Item) -> list[Any]:
    if conversion.typed(item, "mask_low_res_dilation", 5):
        conversion.note(f"Left out: the dilation of the mask of {item}; grow the mask before it.")
    return [
        conversion.wire(
            "LTX2PyramidBlend",
            images=conversion.picture(item, "image_a"),
            source=conversion.picture(item, "image_b"),
            mask=conversion.get(item, "mask"),
        )
    ]


@rule("LTXVSparseTrackEditor")
def tracks(conversion: Conversion, item: Item) -> list[Any]:
    return [conversion.typed(item, "coordinates", "")]


@rule("LTXVDrawTracks")
def drawn(conversion: Conversion, item: Item) -> list[Any]:
    editor = conversion.origin(item, "tracks")
    length = conversion.typed(editor, "points_to_sample", 121) if editor else 121
    return [
        conversion.wire(
            "LTX2DrawTracks",
            tracks=conversion.get(item, "tracks", ""),
            width=conversion.get(item, "width", 512),
            height=conversion.get(item, "height", 512),
            length=(length - 1) // 8 * 8 + 1 if isinstance(length, int) else 121,
        )
    ]


@rule("LTXVHDRDecodePostprocess")
def hdr(conversion: Conversion, item: Item) -> list[Any]:
    """Decoded and expanded in one node, from the latent; files by the node after it."""
    picture = conversion.picture(item, "image")
    if picture is None or picture.decoded is None:
        return conversion.lost(item, "Its pictures do not come from a decoder; 'LTX-2 HDR Decode' takes a latent.")
    latent, vae = picture.decoded
    curve = {"acescct": "ACEScct"}.get(str(conversion.typed(item, "transfer", "logc3")), "LogC3")
    exposure = conversion.get(item, "exposure", 0.0)
    node = conversion.add("LTX2HDRDecode", video_latent=latent, video_vae=vae, curve=curve, exposure=exposure)
    if conversion.typed(item, "save_exr", False):
        half = conversion.get(item, "half_precision", True)
        conversion.add("LTX2SaveEXR", images=Wire(node, 0), half=half)
        if curve == "ACEScct":
            conversion.note(f"{item}: EXR files hold linear light here, whatever its exr_color_space was.")
    return [Wire(node, 1), Wire(node, 0)]
