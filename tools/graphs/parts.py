"""What the graphs have in common: models, prompts, one stage of sampling, decoding and saving."""

from __future__ import annotations

from dataclasses import dataclass

from tools.graphs.graph import Graph, Node, Output
from tools.graphs.prompts import NEGATIVE, PROMPTS
from tools.published_files import download_advice, file_list

FULL, DISTILLED = "ltx-2.3-22b-dev.safetensors", "ltx-2.3-22b-distilled.safetensors"
GEMMA = "gemma_3_12B_it.safetensors"
FULL_2_0 = "ltx-2-19b-dev.safetensors"
DISTILLED_LORA = "ltx-2.3-22b-distilled-lora-384.safetensors"
SPATIAL_UPSCALER = "ltx-2.3-spatial-upscaler-x2-1.1.safetensors"
TEMPORAL_UPSCALER = "ltx-2.3-temporal-upscaler-x2-1.0.safetensors"
STAGE_2 = "stage 2 (3 steps)"

NOTE = """\
{advice}

{files}
- {download}
"""


@dataclass
class Pipeline:
    """A graph under construction: its models, and shorthand for the parts that pipelines repeat."""

    graph: Graph
    loader: Node | dict[str, Output]
    """The model and its parts by output name: one loader of a combined checkpoint, or the outputs of several."""
    encoder: Node | None
    """None where no prompt is encoded."""

    # Models

    def lora(self, file: str, strength: float, title: str, model: Output | None = None) -> Output:
        """The model with a LoRA."""
        with self.graph.group("Models"):
            model = model or self.loader["model"]
            node = self.graph.node("LTX2LoraLoader", title, model=model, lora=file, strength=strength)
        return node["model"]

    def upscaler(self, file: str = SPATIAL_UPSCALER) -> Output:
        """A latent upscaler."""
        with self.graph.group("Models"):
            return self.graph.node("LTX2UpscalerLoader", upscaler=file)["upscaler"]

    # Inputs

    def text(self, prompt: str | None = None, title: str = "Prompt") -> Output:
        """An encoded prompt: what the graph shows, if none is given."""
        prompt = PROMPTS[self.graph.name] if prompt is None else prompt
        with self.graph.group("Prompt"):
            return self.graph.node("LTX2TextEncode", title, text_encoder=self.encoder["text_encoder"], prompt=prompt)[
                "context"
            ]

    def negative(self) -> Output:
        """The encoded negative prompt of the full models."""
        return self.text(NEGATIVE, "Negative prompt")

    def clip(self, **inputs: int | float | Output) -> Node:
        """Empty latents."""
        size = {"width": 768, "height": 512, "length": 121, "frame_rate": 24.0}
        return self.graph.node("LTX2EmptyLatents", **(size | inputs))

    def clip_like(self, source: Node) -> Node:
        """Empty latents of the size of a fitted clip."""
        return self.clip(**{name: source[name] for name in ("width", "height", "length", "frame_rate")})

    def source(self, **inputs: int | Output) -> Node:
        """An existing clip, fitted."""
        video = self.graph.node("LoadVideo", file="source.mp4")
        parts = self.graph.node("GetVideoComponents", video=video["VIDEO"])
        return self.graph.node(
            "LTX2FitVideo", images=parts["images"], audio=parts["audio"], frame_rate=parts["fps"], **inputs
        )

    def encoded(self, source: Node, sound: bool = True) -> tuple[Output, Output | None]:
        """The latents of a clip and of its sound."""
        video = self.encoded_pictures(source["images"], source["frame_rate"])
        return video, self.encoded_sound(source["audio"], fit_to=video) if sound else None

    def encoded_pictures(self, images: Output, frame_rate: Output) -> Output:
        """The latent of a clip, encoded in tiles."""
        return self.graph.node(
            "LTX2VideoVAEEncode",
            images=images,
            video_vae=self.loader["video_vae"],
            tile_size=512,
            temporal_size=64,
            frame_rate=frame_rate,
        )["video_latent"]

    def encoded_sound(self, audio: Output, title: str | None = None, **inputs: Output) -> Output:
        """The latent of a sound."""
        return self.graph.node("LTX2AudioVAEEncode", title, audio=audio, audio_vae=self.loader["audio_vae"], **inputs)[
            "audio_latent"
        ]

    def frozen(self, latent: Output, title: str | None = None) -> Output:
        """A latent that stays as it is."""
        return self.graph.node("LTX2FreezeLatent", title, latent=latent)["latent"]

    def image(self, image: Output, latent: Output, guides: Output | None = None, **inputs: float | bool) -> Output:
        """A picture as guide."""
        chained = {} if guides is None else {"guides": guides}
        node = self.graph.node(
            "LTX2ImageGuide", image=image, video_vae=self.loader["video_vae"], video_latent=latent, **inputs, **chained
        )
        return node["guides"]

    def reference(self, images: Output, model: Output, latent: Output, **inputs: float | Output) -> Output:
        """A reference video as guide."""
        return self.graph.node(
            "LTX2ReferenceVideoGuide",
            images=images,
            model=model,
            video_vae=self.loader["video_vae"],
            video_latent=latent,
            **inputs,
        )["guides"]

    # Sampling

    def latents(self, clip: Node) -> dict[str, Output]:
        """Picture and sound of a clip, for `stage`."""
        return {"video": clip["video_latent"], "audio": clip["audio_latent"]}

    def guidance(self, preset: str = "LTX-2.3", sound: bool = True) -> dict[str, Output]:
        """Guidance of picture and sound from a preset."""
        node = self.graph.node("LTX2GuidanceParameters", "Guidance of the picture", preset=f"{preset} video")
        inputs = {"video_guidance": node["guidance"]}
        if sound:
            node = self.graph.node("LTX2GuidanceParameters", "Guidance of the sound", preset=f"{preset} audio", cfg=7.0)
            inputs["audio_guidance"] = node["guidance"]
        return inputs

    def guider(self, positive: Output, title: str | None = None, **inputs: Output) -> Output:
        """Prompts and guidance."""
        return self.graph.node("LTX2Guider", title, positive=positive, **inputs)["guider"]

    def stage(
        self,
        title: str,
        guider: Output,
        sigmas: Output,
        *,
        model: Output | None = None,
        video: Output | None = None,
        audio: Output | None = None,
        guides: Output | None = None,
        windows: Output | None = None,
        corrections: Output | None = None,
        seed: int = 10,
        solver: str = "euler",
    ) -> Node:
        """A sampler with its noise."""
        noise = self.graph.node("LTX2LatentNoise", f"Noise of {title.lower()}", seed=seed)
        wires = {
            "video_latent": video,
            "audio_latent": audio,
            "guides": guides,
            "windows": windows,
            "corrections": corrections,
        }
        if video is not None:
            wires["video_vae"] = self.loader["video_vae"]  # for the live preview
        return self.graph.node(
            "LTX2Sampler",
            title,
            model=model or self.loader["model"],
            guider=guider,
            sigmas=sigmas,
            noise=noise["noise"],
            solver=solver,
            **{name: wire for name, wire in wires.items() if wire is not None},
        )

    def distilled_sigmas(self, schedule: str = "stage 1 (8 steps)", title: str | None = None) -> Output:
        """Sigmas of the distilled models."""
        return self.graph.node("LTX2DistilledSigmas", title, schedule=schedule)["sigmas"]

    def upscale(self, latent: Output, upscaler: Output) -> Node:
        """A larger latent."""
        return self.graph.node(
            "LTX2LatentUpscale", video_latent=latent, upscaler=upscaler, video_vae=self.loader["video_vae"]
        )

    def switchable_sound(self, stage_1: Node) -> Output:
        """The sound of the first stage for the second, which refines it or, at the flip of a switch, keeps it."""
        return self.graph.node(
            "LTX2FreezeLatent", "Keep the sound of stage 1?", latent=stage_1["audio_latent"], frozen=False
        )["latent"]

    # Results

    def pictures(self, latent: Output) -> Output:
        """Decoded frames."""
        return self.graph.node("LTX2VideoVAEDecode", video_latent=latent, video_vae=self.loader["video_vae"])["images"]

    def sound(self, latent: Output) -> Output:
        """Decoded sound."""
        mel = self.graph.node("LTX2AudioVAEDecode", audio_latent=latent, audio_vae=self.loader["audio_vae"])
        return self.graph.node("LTX2Vocoder", mel=mel["mel"], vocoder=self.loader["vocoder"])["audio"]

    def save(self, images: Output, audio: Output, fps: Output, name: str) -> None:
        """A video file."""
        with self.graph.group("Video file"):
            video = self.graph.node("CreateVideo", images=images, audio=audio, fps=fps)
            self.graph.node("SaveVideo", video=video["VIDEO"], filename_prefix=f"video/{name}", format="mp4")


def pipeline(name: str, title: str, checkpoint: str, advice: str, files: tuple[str, ...] = ()) -> Pipeline:
    """A new graph with its note and its models."""
    return with_models(name, title, checkpoint, note(NOTE, (checkpoint, GEMMA, *files), advice))


def note(template: str, files: tuple[str, ...], advice: str) -> str:
    """The note of a graph that uses these files."""
    return template.format(files=file_list(files), download=download_advice(files), advice=advice)


def with_models(name: str, title: str, checkpoint: str, note: str) -> Pipeline:
    """A new graph with this note and the models of a combined checkpoint."""
    graph = Graph(name)
    graph.note(title, note)
    with graph.group("Models"):
        loader = graph.node("LTX2CheckpointLoader", checkpoint=checkpoint)
        encoder = graph.node("LTX2TextEncoderLoader", text_encoder=GEMMA, text_projection=loader["text_projection"])
    return Pipeline(graph, loader, encoder)
