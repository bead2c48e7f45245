"""Graphs of LTX-2.5 at 4K and 8K: composed at FullHD, then doubled and fused from tiles (spec 08 §6.3)."""

from __future__ import annotations

from dataclasses import dataclass

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.ltx25 import DISTILLED, SPATIAL_UPSCALER, split_pipeline
from tools.graphs.ltx25_hdr import HDR_LORA, SCENE_EMBEDDING, SEED, precise, save_latent, scene
from tools.graphs.ltx25_mattes import LOOK, REFINE_LORA
from tools.graphs.parts import STAGE_2, Pipeline

NIGHT_LORA = "ltx-2.5-22b-ic-lora-day-to-night-0.9.safetensors"
NIGHT = (
    "The same scene at night, under a clear sky with a few stars. Windows and street lamps glow warmly, wet surfaces "
    "mirror them, faces are lit from the side, and the shadows are deep blue."
)
NIGHT_LOOK = "A clean, sharp film at night with fine natural detail, deep blacks, warm lamps and true colours."
TILES = {"tile_size": 1024, "tile_overlap": 128}
ADVICE = (
    "- **Canvas** in 'LTX-2 Tiling Sizes': 4K. For 8K set it to 8K and put a second 'LTX-2 Latent Upscale' behind the "
    "first.\n"
    "- **Stage 1** composes at FullHD, at once; **stage 2** rebuilds detail in tiles that are fused in every step. The "
    "memory is that of a tile, the time grows with the canvas.\n"
    "- The last frames lose detail: take 8 more than needed.\n"
)


@dataclass
class Canvas:
    """What is made of a source: its sizes, and the clip of the first stage."""

    source: Node
    sizes: Node
    clip: Node


def native() -> Graph:
    """A film turned to night at FullHD, and from there to 4K or 8K."""
    advice = f"{ADVICE}- **Prompts**: of stage 1 the night, of stage 2 look and style alone. The film's sound is kept."
    title = "LTX-2.5: day to night, native 4K or 8K"
    make = split_pipeline("ltx-2.5-tiled-native", title, DISTILLED, advice, (NIGHT_LORA, SPATIAL_UPSCALER))
    model = make.lora(NIGHT_LORA, 1.0, "IC-LoRA, day to night")
    night, look = make.text(NIGHT), make.text(NIGHT_LOOK, "Look of stage 2")
    with make.graph.group("Video"):
        canvas = _canvas(make, make.source())
    latent = _two_stages(make, model, canvas, make.guider(night), make.guider(look, "Guider of stage 2"))
    with make.graph.group("Video file"):
        make.graph.node(
            "LTX2SaveVideo",
            video_latent=latent,
            video_vae=make.loader["video_vae"],
            audio=canvas.source["audio"],
            filename_prefix=f"video/{make.graph.name}",
            **TILES,
        )
    return make.graph


def sdr_to_hdr() -> Graph:
    """An SDR film becomes an HDR master at 4K or 8K."""
    advice = f"{ADVICE}- **Scene embedding**: the LoRA's fixed text; no text encoder is needed."
    title = "LTX-2.5: SDR film to HDR at 4K or 8K"
    files = (HDR_LORA, SCENE_EMBEDDING, SPATIAL_UPSCALER)
    make = split_pipeline("ltx-2.5-tiled-sdr-to-hdr", title, DISTILLED, advice, files, with_encoder=False)
    precise(make)
    model = make.lora(HDR_LORA, 1.0, "IC-LoRA, SDR to HDR")
    guider = make.guider(scene(make))
    with make.graph.group("SDR film"):
        canvas = _canvas(make, make.graph.node("LTX2LoadHDR", file="source.mp4"))
    latent = _two_stages(make, model, canvas, guider, guider)
    save_latent(make, latent, canvas.source["audio"], **TILES)
    return make.graph


def hdr_to_hdr() -> Graph:
    """An HDR clip is refined to 4K or 8K, its first picture kept."""
    advice = (
        f"{ADVICE}- **Clip**: a folder of EXR files, or an HDR film. Its first picture is the first frame of both "
        "stages, without compression.\n"
        "- **Prompt**: look and style alone, as every tile reads it."
    )
    title = "LTX-2.5: HDR clip refined to 4K or 8K"
    make = split_pipeline("ltx-2.5-tiled-hdr-to-hdr", title, DISTILLED, advice, (REFINE_LORA, SPATIAL_UPSCALER))
    precise(make)
    model = make.lora(REFINE_LORA, 1.0, "IC-LoRA, refine details")
    guider = make.guider(make.text(LOOK, "Prompt (look and style)"))
    with make.graph.group("HDR clip"):
        canvas = _canvas(make, make.graph.node("LTX2LoadHDR", file="shot"))
        still = make.graph.node("ImageFromBatch", "First picture", image=canvas.source["images"], batch_index=0)
    latent = _two_stages(make, model, canvas, guider, guider, still["IMAGE"])
    save_latent(make, latent, canvas.source["audio"], **TILES)
    return make.graph


def _canvas(make: Pipeline, source: Node) -> Canvas:
    size = {name: source[name] for name in ("width", "height", "length")}
    sizes = make.graph.node("LTX2TilingSizes", **size, canvas="4K", tile="HD")
    clip = make.clip(
        width=sizes["first_width"],
        height=sizes["first_height"],
        length=source["length"],
        frame_rate=source["frame_rate"],
    )
    return Canvas(source, sizes, clip)


def _two_stages(
    make: Pipeline, model: Output, canvas: Canvas, first: Output, second: Output, still: Output | None = None
) -> Output:
    """FullHD at once, then the doubled latent in fused tiles; the film is the reference of both."""
    upscaler = make.upscaler(SPATIAL_UPSCALER)
    with make.graph.group("Stage 1"):
        video = canvas.clip["video_latent"]
        guides = make.reference(canvas.source["images"], model, video, tile_size=1024)
        composed = make.stage(
            "Stage 1",
            first,
            make.distilled_sigmas(),
            model=model,
            video=video,
            guides=_with_still(make, still, video, guides),
            seed=SEED,
        )
    with make.graph.group("Stage 2, in tiles"):
        video = make.upscale(composed["video_latent"], upscaler)["video_latent"]
        tile = {name: canvas.sizes[name] for name in ("tile_width", "tile_height", "tile_frames")}
        guides = make.reference(
            canvas.source["images"], model, video, tile_size=1024, tile_frames=canvas.sizes["tile_frames"]
        )
        fused = make.stage(
            "Stage 2",
            second,
            make.distilled_sigmas(STAGE_2),
            model=model,
            video=video,
            guides=_with_still(make, still, video, guides),
            windows=make.graph.node("LTX2TiledFusion", **tile)["windows"],
            seed=SEED,
        )
    return fused["video_latent"]


def _with_still(make: Pipeline, still: Output | None, latent: Output, guides: Output) -> Output:
    return guides if still is None else make.image(still, latent, guides, crf=0)


GRAPHS = [native(), sdr_to_hdr(), hdr_to_hdr()]
