"""Graphs of LTX-2.5's alpha LoRA and of its refine LoRA in tiled fusion (spec 08 §6.3 and §7.1)."""

from __future__ import annotations

from tools.graphs.graph import Graph
from tools.graphs.ltx25 import DISTILLED, FOLDERS, split_pipeline

ALPHA_LORA = "ltx-2.5-22b-ic-lora-alpha-gen-0.9.safetensors"
REFINE_LORA = "ltx-2.5-22b-ic-lora-refine-details-1.0.safetensors"
FOLDERS |= {ALPHA_LORA: "loras", REFINE_LORA: "loras"}
LOOK = "A clean, sharp film with fine natural detail, soft daylight and true colours."


def alpha() -> Graph:
    """The matte of a clip, and the clip with it as a film with alpha."""
    advice = (
        "- **Video**: up to 145 frames (121 are safest) of at most 1920 x 1088; longer clips show through in the "
        "matte.\n"
        "- **Prompt**: stays empty; the model chooses the subject.\n"
        "- **LTX-2 Refine Matte**: clips against haze and holes, unmix for hair; connect a plate to see the result.\n"
        "- **LTX-2 Save Alpha**: ProRes 4444 for editing, WebM for the web, PNG files."
    )
    make = split_pipeline("ltx-2.5-alpha", "LTX-2.5: a matte for a video", DISTILLED, advice, (ALPHA_LORA,))
    model = make.lora(ALPHA_LORA, 1.0, "IC-LoRA, alpha")
    positive = make.text("", "Prompt (stays empty)")
    with make.graph.group("Video"):
        video = make.graph.node("LoadVideo", file="source.mp4")
        parts = make.graph.node("GetVideoComponents", video=video["VIDEO"])
        source = make.graph.node(
            "LTX2FitVideo", images=parts["images"], audio=parts["audio"], frame_rate=parts["fps"], fit="pad"
        )
        clip = make.clip_like(source)
        guides = make.reference(source["images"], model, clip["video_latent"])
    with make.graph.group("Sampling and decoding"):
        sigmas = make.distilled_sigmas()
        wires = {"model": model, "video": clip["video_latent"], "guides": guides, "solver": "euler_ancestral"}
        result = make.stage("Sampling", make.guider(positive), sigmas, **wires, seed=42)
        matte = make.pictures(result["video_latent"])
    with make.graph.group("Files"):
        refined = make.graph.node("LTX2RefineMatte", matte=matte, images=parts["images"])
        make.graph.node(
            "LTX2SaveAlpha",
            images=refined["images"],
            mask=refined["mask"],
            audio=source["audio"],
            frame_rate=source["frame_rate"],
            filename_prefix="video/ltx-2.5-alpha",
        )
    make.save(refined["over"], source["audio"], source["frame_rate"], make.graph.name)
    return make.graph


def tiled_fusion() -> Graph:
    """A video rebuilt with new detail at 4K, in tiles that are fused in every step."""
    advice = (
        "- **Canvas** in 'LTX-2 Tiling Sizes': FullHD, 4K, 8K. The memory is that of a tile, the time grows with the "
        "canvas.\n"
        "- **Prompt**: look and style alone, as every tile reads it.\n"
        "- The last frames lose detail: take 8 more than needed.\n"
        "- The sound of the video is kept."
    )
    title = "LTX-2.5: rebuild detail at 4K or 8K"
    make = split_pipeline("ltx-2.5-tiled-fusion", title, DISTILLED, advice, (REFINE_LORA,))
    model = make.lora(REFINE_LORA, 1.0, "IC-LoRA, refine details")
    positive = make.text(LOOK, "Prompt (look and style)")
    with make.graph.group("Video"):
        source = make.source()
        sizes = make.graph.node(
            "LTX2TilingSizes", **{name: source[name] for name in ("width", "height", "length")}, canvas="4K", tile="HD"
        )
        canvas = {name: sizes[name] for name in ("width", "height")}
        clip = make.clip(**canvas, length=source["length"], frame_rate=source["frame_rate"])
    with make.graph.group("Tiles"):
        tile = {name: sizes[name] for name in ("tile_width", "tile_height", "tile_frames")}
        windows = make.graph.node("LTX2TiledFusion", **tile)["windows"]
        guides = make.reference(
            source["images"], model, clip["video_latent"], tile_size=1024, tile_frames=sizes["tile_frames"]
        )
    with make.graph.group("Sampling"):
        wires = {"model": model, "video": clip["video_latent"], "guides": guides, "windows": windows}
        result = make.stage("Sampling", make.guider(positive), make.distilled_sigmas(), **wires, seed=42)
    with make.graph.group("Video file"):
        make.graph.node(
            "LTX2SaveVideo",
            video_latent=result["video_latent"],
            video_vae=make.loader["video_vae"],
            audio=source["audio"],
            filename_prefix="video/ltx-2.5-tiled-fusion",
            tile_size=1024,
            tile_overlap=128,
        )
    return make.graph


GRAPHS = [alpha(), tiled_fusion()]
