"""LTX-2.5 beside a reference: control, changed videos, tracks, sheets, inpainting (spec 08 §3.3, §5.1, §5.4 to 5.6)."""

from __future__ import annotations

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.ltx25 import DISTILLED, SPATIAL_UPSCALER, split_pipeline
from tools.graphs.ltx25_distilled import ANCESTRAL, SEED
from tools.graphs.media import TRACK_LORA, TRACKS
from tools.graphs.parts import STAGE_2, Pipeline
from tools.graphs.prompts_25 import CAPTIONS, WORDS
from tools.graphs.videos import INPAINT_LORA, UNION_LORA

COLOUR_LORA = "ltx-2.5-22b-ic-lora-colorization-0.9.safetensors"
LAYOUT_LORA = "ltx-2.5-22b-ic-lora-layout-to-render-1.0.safetensors"
SHEET_LORA = "ltx-2.5-22b-ic-lora-ingredients-0.9.safetensors"
FILL_SEED = 43
FILL_SIGMAS = "0.725, 0.421875, 0"


def union_control() -> Graph:
    """The outlines of a video decide what moves where; its sound stays."""
    advice = (
        "- **Video**: any size and length; it is cut to multiples of 64 pixels and 8k + 1 frames.\n"
        "- **Depth, pose**: the LoRA follows these as well. Put the annotator of any node pack (Video Depth Anything, "
        "DWPose) in the place of 'Edges', or connect a ready control video.\n"
        "- **Image**: the first frame in the new look, with the same outlines. Without: bypass 'LTX-2 Image Guide' "
        "(Ctrl+B)."
    )
    name = "ltx-2.5-union-control"
    make = split_pipeline(name, "LTX-2.5: follow edges, depth or a pose", DISTILLED, advice, (UNION_LORA,))
    model = make.lora(UNION_LORA, 1.0, "IC-LoRA, union control")
    positive = make.text(CAPTIONS[name])
    with make.graph.group("Control video and image"):
        source = make.source(multiple=64)
        clip = make.clip_like(source)
        edges = make.graph.node("Canny", "Edges", image=source["images"], low_threshold=0.4, high_threshold=0.8)
        picture = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"]
        guides = make.image(picture, clip["video_latent"])
        guides = make.reference(edges["IMAGE"], model, clip["video_latent"], guides=guides, tile_size=512)
    _beside(make, positive, model, source, clip, guides)
    return make.graph


def video_to_video() -> Graph:
    """A whole video changed by an IC-LoRA; its sound stays."""
    advice = (
        "- **LoRA**: any that changes a video: colorization, deblur, decompression, water, clean plate, day to "
        "night ... Its card says how the prompt begins.\n"
        "- **Width, height** of 'LTX-2 Fit Video': the shape of the video; this LoRA was trained with 960 x 544 and "
        "121 frames at 24 per second.\n"
        "- One stage: a second one drifts, or takes the effect back."
    )
    name = "ltx-2.5-video-to-video"
    make = split_pipeline(name, "LTX-2.5: change a video with an IC-LoRA", DISTILLED, advice, (COLOUR_LORA,))
    model = make.lora(COLOUR_LORA, 1.0, "IC-LoRA, colorization")
    positive = make.text(WORDS[name])
    with make.graph.group("Video"):
        source = make.source(width=960, height=544)
        clip = make.clip_like(source)
        guides = make.reference(source["images"], model, clip["video_latent"], tile_size=512)
    _beside(make, positive, model, source, clip, guides)
    return make.graph


def motion_tracks() -> Graph:
    """The paths of a few points decide how a picture moves."""
    advice = (
        "- **Tracks**: one per line, points x,y in pixels of the clip; a single point holds its place. The JSON of the "
        "official track editor is read as well.\n"
        "- **Image**: the first frame, which the tracks are drawn for.\n"
        "- **Width, height, length** stand in 'LTX-2 Draw Tracks' too; sides are multiples of 64."
    )
    name = "ltx-2.5-motion-tracks"
    make = split_pipeline(name, "LTX-2.5: a picture moved along tracks", DISTILLED, advice, (TRACK_LORA,))
    model = make.lora(TRACK_LORA, 1.0, "IC-LoRA, motion track")
    positive = make.text(WORDS[name])
    with make.graph.group("Picture and tracks"):
        clip = make.clip()
        picture = make.graph.node("LoadImage", "First frame", image="example.png")["IMAGE"]
        tracks = make.graph.node("LTX2DrawTracks", tracks=TRACKS, width=768, height=512, length=121)["images"]
        guides = make.image(picture, clip["video_latent"])
        guides = make.reference(tracks, model, clip["video_latent"], guides=guides)
    _with_new_sound(make, positive, model, clip, guides)
    return make.graph


def ingredients() -> Graph:
    """People, things and a place from pictures, laid out on one sheet."""
    advice = (
        "- **Pictures**: cut-outs (PNG with alpha) of people and things, one whole picture of the place. With more "
        "than two whole pictures the clip tends to copy the sheet.\n"
        "- **Prompt**: 'Reference sheet: ...' says what is where, 'Generated video: ...' what happens.\n"
        "- **Size**: the LoRA knows 768 x 448 and 121 frames at 24 per second; keep them, enlarge afterwards."
    )
    name = "ltx-2.5-ingredients"
    make = split_pipeline(name, "LTX-2.5: a clip from a reference sheet", DISTILLED, advice, (SHEET_LORA,))
    model = make.lora(SHEET_LORA, 1.0, "IC-LoRA, ingredients")
    positive = make.text(WORDS[name])
    with make.graph.group("Ingredients"):
        panels = {}
        for number, title in enumerate(("Person, close", "Person, whole", "Thing", "Place"), start=1):
            loaded = make.graph.node("LoadImage", title, image="example.png")
            panels[f"image_{number}"] = make.graph.node(
                "JoinImageWithAlpha", image=loaded["IMAGE"], alpha=loaded["MASK"]
            )["IMAGE"]
    with make.graph.group("Sheet"):
        sheet = make.graph.node("LTX2ReferenceSheet", **panels, width=768, height=448, length=121, gap=16)["images"]
        clip = make.clip(width=768, height=448)
        guides = make.reference(sheet, model, clip["video_latent"])
    _with_new_sound(make, positive, model, clip, guides)
    return make.graph


def layout_to_render() -> Graph:
    """A gray playblast and one finished still become a finished shot; the LoRA and both references in both stages."""
    advice = (
        "- **Look**: the playblast's first frame as an image model finished it.\n"
        "- **Sizes**: the whole in 'LTX-2 Fit Video', half in 'LTX-2 Empty Latents'."
    )
    name = "ltx-2.5-layout-to-render"
    files = (LAYOUT_LORA, SPATIAL_UPSCALER)
    make = split_pipeline(name, "LTX-2.5: a finished shot from a layout", DISTILLED, advice, files)
    model = make.lora(LAYOUT_LORA, 1.0, "IC-LoRA")
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    positive = make.text(WORDS[name])
    with make.graph.group("Layout and look"):
        source = make.source(width=1920, height=1088)
        look = make.graph.node("LoadImage", "Look", image="example.png")["IMAGE"]

    def references(latent: Output) -> Output:
        guides = make.reference(source["images"], model, latent, tile_size=512)
        return make.reference(look, model, latent, guides=guides, frame_index=-1)

    with make.graph.group("Stage 1"):
        clip = make.clip(width=960, height=544, length=source["length"], frame_rate=source["frame_rate"])
        start, guider = clip["video_latent"], make.guider(positive)
        wires = {"model": model, "solver": ANCESTRAL, "seed": SEED}
        first = make.stage("Stage 1", guider, make.distilled_sigmas(), video=start, guides=references(start), **wires)
    with make.graph.group("Stage 2"):
        larger = make.upscale(first["video_latent"], upscaler)["video_latent"]
        sigmas = make.distilled_sigmas(STAGE_2)
        second = make.stage("Stage 2", guider, sigmas, video=larger, guides=references(larger), **wires)
        images = make.pictures(second["video_latent"])
    make.save(images, source["audio"], source["frame_rate"], name)
    return make.graph


def inpaint() -> Graph:
    """A masked part of the picture is made anew, at half the size and then at the whole."""
    advice = (
        "- **Video**: any size and length; its sides become multiples of 64. A short side of about 1024 suits.\n"
        "- **Mask**: red where the picture is to be new, one picture for the clip; a film through 'Convert Image to "
        "Mask' moves.\n"
        "- **Prompt**: the new part as a scene; may stay empty.\n"
        "- **Edges** that show: a larger grow, or fewer levels of the blend.\n"
        "- **Image** to set: an 'LTX-2 Image Guide' before the reference."
    )
    make = _filling("ltx-2.5-inpaint", "LTX-2.5: paint in a video, two stages", advice)
    with make.graph.group("Video and mask"):
        full = make.source(multiple=64)
        mask = make.graph.node("LoadImageMask", image="example.png", channel="red")["MASK"]
    _fill_in_two_stages(make, full, mask, grow=(15, 30))
    return make.graph


def outpaint() -> Graph:
    """The picture grows at its sides."""
    advice = (
        "- **Video**: any size and length; its sides become multiples of 64. A short side of about 1024 suits.\n"
        "- **left, right, top, bottom**: pixels to add; left + right and top + bottom are multiples of 64.\n"
        "- **Prompt**: what the whole picture shows; may stay empty."
    )
    make = _filling("ltx-2.5-outpaint", "LTX-2.5: widen a video, two stages", advice)
    with make.graph.group("Video and frame"):
        source = make.source(multiple=64)
        padded = make.graph.node("ImagePadForOutpaint", image=source["images"], left=128, right=128, feathering=0)
        full = make.graph.node(
            "LTX2FitVideo",
            "Widened video",
            images=padded["IMAGE"],
            audio=source["audio"],
            frame_rate=source["frame_rate"],
            multiple=64,
        )
    _fill_in_two_stages(make, full, padded["MASK"], grow=(0, 0))
    return make.graph


def _filling(name: str, title: str, advice: str) -> Pipeline:
    return split_pipeline(name, title, DISTILLED, advice, (INPAINT_LORA,))


def _fill_in_two_stages(make: Pipeline, full: Node, mask: Output, grow: tuple[int, int]) -> None:
    """Fills the mask beside a green reference at half the size, and refines that at the whole size."""
    model = make.lora(INPAINT_LORA, 1.0, "IC-LoRA, in- and out-painting")
    positive = make.text(WORDS[make.graph.name])
    with make.graph.group("Stage 1, half the size"):
        smaller = make.graph.node("ImageScaleBy", image=full["images"], upscale_method="area", scale_by=0.5)
        half = make.graph.node(
            "LTX2FitVideo",
            "Half the size",
            images=smaller["IMAGE"],
            audio=full["audio"],
            frame_rate=full["frame_rate"],
        )
        green = make.graph.node("LTX2InpaintFill", "Green, half the size", images=half["images"], mask=mask)
        green.inputs["grow"] = grow[0]
        clip = make.clip_like(half)
        frozen = make.frozen(make.encoded_sound(half["audio"], fit_to=clip["video_latent"]), "Keep the sound")
        guides = make.reference(green["images"], model, clip["video_latent"], tile_size=512)
        guider = make.guider(positive)
        wires = {"model": model, "video": clip["video_latent"], "audio": frozen, "guides": guides}
        first = make.stage("Stage 1", guider, make.distilled_sigmas(), **wires, seed=FILL_SEED, solver=ANCESTRAL)
        blended = _blended(make, "Blend of stage 1", first, half["images"], green["mask"])
    with make.graph.group("Stage 2"):
        larger = make.graph.node("ImageScaleBy", image=blended, upscale_method="bilinear", scale_by=2.0)
        latent = make.graph.node(
            "LTX2VideoVAEEncode",
            images=larger["IMAGE"],
            video_vae=make.loader["video_vae"],
            tile_size=512,
            tile_overlap=64,
            temporal_size=504,
            temporal_overlap=64,
            frame_rate=full["frame_rate"],
        )["video_latent"]
        green = make.graph.node("LTX2InpaintFill", "Mask of the whole size", images=full["images"], mask=mask)
        green.inputs["grow"] = grow[1]
        sigmas = make.graph.node("LTX2DistilledSigmas", schedule="stage 2 (3 steps)", typed=FILL_SIGMAS)["sigmas"]
        wires = {"model": model, "video": latent, "audio": frozen}
        second = make.stage("Stage 2", guider, sigmas, **wires, seed=SEED)
        images = _blended(make, "Blend of stage 2", second, full["images"], green["mask"])
    make.save(images, full["audio"], full["frame_rate"], make.graph.name)


def _blended(make: Pipeline, title: str, stage: Node, source: Output, mask: Output) -> Output:
    images = make.pictures(stage["video_latent"])
    return make.graph.node("LTX2PyramidBlend", title, images=images, source=source, mask=mask)["images"]


def _beside(make: Pipeline, positive: Output, model: Output, source: Node, clip: Node, guides: Output) -> None:
    """One stage beside a reference; the sound of the source is heard by the model and stays as it is."""
    with make.graph.group("Sampling and decoding"):
        sound = make.frozen(make.encoded_sound(source["audio"], fit_to=clip["video_latent"]), "Keep the sound")
        wires = {"model": model, "video": clip["video_latent"], "audio": sound, "guides": guides, "solver": ANCESTRAL}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=SEED)
        images = make.pictures(result["video_latent"])
    make.save(images, source["audio"], source["frame_rate"], make.graph.name)


def _with_new_sound(make: Pipeline, positive: Output, model: Output, clip: Node, guides: Output) -> None:
    """One stage beside a reference that makes its own sound."""
    with make.graph.group("Sampling and decoding"):
        wires = {"model": model, **make.latents(clip), "guides": guides, "solver": ANCESTRAL}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=SEED)
        images, sound = make.pictures(result["video_latent"]), make.sound(result["audio_latent"])
    make.save(images, sound, clip["frame_rate"], make.graph.name)


GRAPHS = [
    union_control(),
    video_to_video(),
    motion_tracks(),
    ingredients(),
    layout_to_render(),
    inpaint(),
    outpaint(),
]
