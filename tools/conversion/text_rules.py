"""Prompts: encoded, zeroed, written out, with a frame rate or a reference sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.conversion.converter import Conversion, rule
from tools.conversion.reading import Item
from tools.conversion.values import Clip, Model, Prompt, Vae, Wire


@rule("CLIPTextEncode")
def encode(conversion: Conversion, item: Item) -> list[Any] | None:
    clip = conversion.get(item, "clip")
    if not isinstance(clip, Clip):
        return None
    title = item.title if item.title != item.type else None
    text = conversion.get(item, "text", "")
    return [Prompt(conversion.wire("LTX2TextEncode", title=title, text_encoder=clip.wire, prompt=text))]


@rule("ConditioningZeroOut")
def zeroed(conversion: Conversion, item: Item) -> list[Any] | None:
    """As negative prompt of a model without guidance it has no effect, and nothing is needed."""
    return [Prompt(None)] if isinstance(conversion.get(item, "conditioning"), Prompt) else None


@rule("LTXVConditioning")
def conditioning(conversion: Conversion, item: Item) -> list[Any]:
    """Its frame rate travels with the latent here (`frame_rate`)."""
    return [conversion.get(item, "positive"), conversion.get(item, "negative")]


def frame_rate(conversion: Conversion) -> Any:
    """Frames per second of the graph, typed or wired: the first `LTXVConditioning`'s, else what ComfyUI takes."""
    for item in conversion.of_type("LTXVConditioning"):
        value = conversion.get(item, "frame_rate", 25.0)
        if isinstance(value, Wire) or isinstance(value, (int, float)):
            return value
    return 25.0


@rule("LTXFloatToInt")
def rounded(conversion: Conversion, item: Item) -> list[Any]:
    return [conversion.get(item, "a")]


@rule("TextGenerate", "TextGenerateLTX2Prompt", "LTXVGemmaEnhancePrompt")
def enhance(conversion: Conversion, item: Item) -> list[Any] | None:
    clip = conversion.get(item, "clip")
    if not isinstance(clip, Clip):
        return None if item.type != "LTXVGemmaEnhancePrompt" else conversion.lost(item, "Its text encoder is missing.")
    if "gemma4" in str(clip.inputs.get("text_encoder")):
        return conversion.lost(item, "LTX-2.5's text encoder cannot write; connect a prompt.")
    if conversion.get(item, "video") is not None or conversion.get(item, "audio") is not None:
        conversion.note(f"Left out: the video or sound at {item}; the prompt writer sees a picture.")
    tokens = conversion.typed(item, "max_length", conversion.typed(item, "max_tokens", 512))
    seed = conversion.typed(item, "seed", 42)
    return [
        conversion.wire(
            "LTX2EnhancePrompt",
            text_encoder=clip.wire,
            prompt=conversion.get(item, "prompt", ""),
            seed=seed if isinstance(seed, int) else 42,
            max_tokens=tokens if isinstance(tokens, int) else 512,
            image=None if conversion.typed(item, "bypass_i2v", False) else conversion.picture(item, "image"),
        )
    ]


@rule("LTXVSetAudioRefTokens")
def reference_tokens(conversion: Conversion, item: Item) -> list[Any]:
    sound = conversion.latent(item, "audio_latent")
    positive, negative = conversion.get(item, "positive"), conversion.get(item, "negative")
    if isinstance(positive, Prompt):
        positive = replace(positive, reference=sound.audio)
    frozen = sound.audio and conversion.wire("LTX2FreezeLatent", latent=sound.audio)
    return [positive, negative, replace(sound, audio=frozen)]


@rule("LTXVReferenceAudio")
def reference_audio(conversion: Conversion, item: Item) -> list[Any]:
    model = conversion.wanted(item, "model", Model)
    positive, negative = conversion.get(item, "positive"), conversion.get(item, "negative")
    vae = conversion.wanted(item, "audio_vae", Vae)
    if isinstance(positive, Prompt) and vae and vae.audio:
        encoded = conversion.wire(
            "LTX2AudioVAEEncode", audio=conversion.get(item, "reference_audio"), audio_vae=vae.audio
        )
        positive = replace(positive, reference=encoded)
    if conversion.typed(item, "identity_guidance_scale", 3.0):
        conversion.note(f"Left out: the identity guidance of {item}; its reference sound is kept.")
    return [model, positive, negative]


@rule("LTXVDurationPredictor")
def duration(conversion: Conversion, item: Item) -> list[Any]:
    prompt = conversion.wanted(item, "positive", Prompt)
    node = conversion.add(
        "LTX2DurationPredictor",
        duration_head=conversion.get(item, "duration_head"),
        context=prompt and prompt.wire,
        frame_rate=conversion.get(item, "frame_rate", 24.0),
        min_seconds=conversion.get(item, "min_seconds", 1.0),
        max_seconds=conversion.get(item, "max_seconds", 20.0),
    )
    return [Wire(node, 0), Wire(node, 1)]
