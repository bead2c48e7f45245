"""Guides: what a picture, a video or a voice becomes, what it does to a run, and what is refused."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltx_core_impl.conditioning import VideoLatentTools
from ltx_core_impl.media import conditioning_image
from ltx_core_impl.types import VideoLatentShape, VideoPixelShape

Run = Callable[..., tuple[Any, ...]]
WIDTH, HEIGHT, FRAMES, FPS = 64, 64, 17, 24.0
IC_LORA, PLAIN_LORA = "ltx-2.3-tiny-lora-b.safetensors", "ltx-2.3-tiny-lora-a.safetensors"
few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Setup:
    """The tiny LTX-2.3 with an encoded prompt and empty latents."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.nodes = nodes
        self.model, self.video_vae, self.audio_vae, _, projection = self.run(
            "LTX2CheckpointLoader", checkpoint="ltx-2.3-tiny.safetensors"
        )
        [encoder] = self.run("LTX2TextEncoderLoader", text_encoder="gemma-3-tiny", text_projection=projection)
        [context] = self.run("LTX2TextEncode", text_encoder=encoder, prompt="a red circle")
        [self.guider] = self.run("LTX2Guider", positive=context)
        self.video, self.audio, _ = self.run(
            "LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=FRAMES, frame_rate=FPS
        )

    def run(self, node_id: str, **inputs: Any) -> tuple[Any, ...]:
        node = self.nodes[node_id]
        slots = node.GET_SCHEMA().inputs
        defaults = {s.id: s.default for s in slots if not s.optional and getattr(s, "default", None) is not None}
        if node_id == "LTX2CheckpointLoader":
            defaults |= {"precision": "auto", "calibration": "none", "lora": "none"}
        return node.execute(**(defaults | inputs)).args

    def guide(self, image: torch.Tensor, **inputs: Any) -> Any:
        latents = {"video_latent": self.video, "video_vae": self.video_vae}
        return self.run("LTX2ImageGuide", image=image, **(latents | inputs))[0]

    def reference(self, images: torch.Tensor, **inputs: Any) -> Any:
        wires = {"video_latent": self.video, "video_vae": self.video_vae, "model": self.model}
        return self.run("LTX2ReferenceVideoGuide", images=images, **(wires | inputs))[0]

    def lora(self, name: str, strength: float = 1.0, model: Any = None) -> Any:
        return self.run("LTX2LoraLoader", model=model or self.model, lora=name, strength=strength)[0]

    def sample(self, steps: int = 2, **inputs: Any) -> tuple[Any, ...]:
        wires = {
            "model": self.model,
            "guider": self.guider,
            "sigmas": self.run("LTX2Scheduler", steps=steps)[0],
            "noise": self.run("LTX2LatentNoise", seed=5)[0],
            "solver": "euler",
            "video_latent": self.video,
            "audio_latent": self.audio,
        }
        return self.run("LTX2Sampler", **(wires | inputs))


@pytest.fixture(scope="module")
def tiny(nodes: dict[str, Any]) -> Setup:
    with torch.inference_mode():
        return Setup(nodes)


def picture(seed: int = 0, height: int = 90, width: int = 200, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 3, 4, generator=generator)
    large = torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear")
    return (large.movedim(1, -1) * 255).round() / 255


def refused(words: list[str], call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError) as refusal:
        call()
    assert [word for word in words if word not in str(refusal.value)] == [], str(refusal.value)


def test_a_latent_may_be_film_before_or_inside_the_clip(tiny: Setup) -> None:
    given = torch.randn(1, 128, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    wires = {"reference": {"samples": given, "type": "video"}, "model": tiny.model, "video_latent": tiny.video}
    results = [tiny.sample()[0]["samples"]]
    for index, start in ((-1, -8), (1, 1), (2, 9)):
        [guides] = tiny.run("LTX2ReferenceLatentGuide", latent_index=index, **wires)
        [item] = guides.video
        assert (item.frame_idx, item.num_pixel_frames) == (start, 8)
        results.append(tiny.sample(guides=guides)[0]["samples"])
    assert min((one - two).abs().mean() for one, two in combinations(results, 2)) > 1e-4
    refused(
        ["1 latent frames", "latent_index 3", "has 3"],
        lambda: tiny.run("LTX2ReferenceLatentGuide", latent_index=3, **wires),
    )
    wires["reference"] = {"samples": given[..., :1], "type": "video"}
    refused(["clip's own size", "1 x 2"], lambda: tiny.run("LTX2ReferenceLatentGuide", latent_index=-1, **wires))


# Images


@pytest.mark.parametrize(
    ("index", "as_keyframe", "frame"),
    [(0, False, None), (0, True, 0), (5, False, 5), (16, False, 16), (-1, False, 16), (-16, True, 1)],
)
def test_where_a_picture_goes(tiny: Setup, index: int, as_keyframe: bool, frame: int | None) -> None:
    [item] = tiny.guide(picture(), frame_index=index, as_keyframe=as_keyframe, strength=0.75).video
    assert item.strength == 0.75
    if frame is None:
        assert (item.latent_idx, tuple(item.latent.shape)) == (0, (1, 128, 1, 2, 2))
    else:
        assert (item.frame_idx, tuple(item.keyframes.shape)) == (frame, (1, 128, 1, 2, 2))


@pytest.mark.parametrize(
    ("index", "count", "seconds"), [(-1, 1, (-1, 0)), (-5, 1, (-5, -4)), (-8, 8, (-8, 0)), (-24, 16, (-24, -8))]
)
def test_before_start_is_before_the_clip_and_takes_no_frame_of_it(
    tiny: Setup, index: int, count: int, seconds: tuple[int, int]
) -> None:
    film = picture(3, count=count)
    [item] = tiny.guide(film, frame_index=index, before_start=True).video
    pixels = VideoPixelShape(batch=1, frames=FRAMES, height=HEIGHT, width=WIDTH, fps=FPS)
    tools = VideoLatentTools(VideoLatentShape.from_pixel_shape(pixels), fps=FPS)
    state = item.apply_to(tools.create_initial_state("cpu", torch.float32), tools)
    times = state.positions[0, 0, 12:]
    assert (times.min() * FPS, times.max() * FPS) == pytest.approx(seconds, abs=1e-5)
    assert torch.equal(state.positions[:, :, :12], tools.target_positions())
    assert bool((state.denoise_mask[:, :12] == 1).all()), "the clip's own frames are all made"
    [last] = tiny.guide(film[:1], frame_index=-1, before_start=False).video
    assert last.frame_idx == FRAMES - 1
    [same] = tiny.guide(film[:1], frame_index=5, before_start=True).video
    assert same.frame_idx == 5


def test_a_picture_before_the_clip_acts_and_does_not_claim_the_last_frame(tiny: Setup) -> None:
    last = tiny.guide(picture(1), frame_index=-1)
    both = tiny.guide(picture(2), frame_index=-1, before_start=True, guides=last)
    assert [item.frame_idx for item in both.video] == [16, -1]
    one, two = (tiny.sample(guides=guides)[0]["samples"] for guides in (last, both))
    assert one.shape == two.shape and (one - two).abs().mean() > 1e-4
    windows = tiny.run("LTX2ContextWindows", window_length=9, overlap=8)[0]
    apart = [tiny.sample(guides=guides, windows=windows)[0]["samples"] for guides in (last, both)]
    assert (apart[0][:, :, 2:] - apart[1][:, :, 2:]).abs().mean() > 1e-4


@pytest.mark.parametrize(("height", "width"), [(90, 200), (64, 64), (1, 1), (33, 500), (301, 31)])
def test_a_picture_of_any_size_is_the_references(tiny: Setup, height: int, width: int) -> None:
    image = picture(1, height, width)
    [item] = tiny.guide(image).video
    pixels = conditioning_image((image[0] * 255).round().to(torch.uint8), HEIGHT, WIDTH, crf=33)
    components = sys.modules["ltx2_pack.nodes.loading.components"]
    with components.video_encoder(tiny.video_vae, pixels=0) as encoder:
        assert torch.equal(item.latent, encoder(pixels))


def test_the_compression_is_that_of_the_model_version(tiny: Setup) -> None:
    def latent(crf: int) -> torch.Tensor:
        return tiny.guide(picture(), crf=crf).video[0].latent

    assert torch.equal(latent(-1), latent(33))
    assert not torch.equal(latent(0), latent(33))


def test_alpha_and_grey(tiny: Setup) -> None:
    image = picture()
    with_alpha = torch.cat([image, torch.rand_like(image[..., :1])], dim=-1)
    assert torch.equal(tiny.guide(with_alpha).video[0].latent, tiny.guide(image).video[0].latent)
    grey = image[..., :1]
    assert torch.equal(tiny.guide(grey).video[0].latent, tiny.guide(grey.expand(-1, -1, -1, 3)).video[0].latent)


def test_the_first_frames_of_a_film_may_start_the_clip(tiny: Setup) -> None:
    film = picture(2, HEIGHT, WIDTH, count=9)
    guides = tiny.guide(film)
    assert guides.video[0].latent.shape == (1, 128, 2, 2, 2)
    video = tiny.sample(guides=guides)[0]["samples"]
    torch.testing.assert_close(video[:, :, :2], guides.video[0].latent)


def test_a_piece_of_film_may_stand_later(tiny: Setup) -> None:
    """It covers the cells of the clip's own latent frames, and nothing of it is lost to the encoder's first frame."""
    film = picture(2, HEIGHT, WIDTH, count=8)
    [item] = tiny.guide(film, frame_index=-8, crf=0).video
    [whole] = tiny.guide(torch.cat([film[:1], film]), crf=0).video
    torch.testing.assert_close(item.keyframes, whole.latent[:, :, 1:])
    pixels = VideoPixelShape(batch=1, frames=FRAMES, height=HEIGHT, width=WIDTH, fps=FPS)
    tools = VideoLatentTools(VideoLatentShape.from_pixel_shape(pixels), fps=FPS)
    state = item.apply_to(tools.create_initial_state("cpu", torch.float32), tools)
    assert torch.equal(state.positions[:, :, 12:], state.positions[:, :, 8:12])
    free, guided = tiny.sample(), tiny.sample(guides=tiny.guide(film, frame_index=-8))
    assert guided[0]["samples"].shape == free[0]["samples"].shape
    assert (guided[0]["samples"] - free[0]["samples"]).abs().mean() > 1e-3
    refused(["claim frame 9"], lambda: tiny.guide(film, frame_index=9, guides=tiny.guide(film, frame_index=-8)))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"frame_index": 17}, ["frame_index is 17", "17 frames", "0 to 16", "-17"]),
        ({"frame_index": -18}, ["frame_index is -18"]),
        ({"strength": 1.5}, ["strength", "between 0.0 and 1.0"]),
        ({"crf": 52}, ["crf", "51"]),
        ({"image": torch.rand(2, 8, 8, 3)}, ["1 or 9"]),
        ({"image": torch.rand(25, 8, 8, 3)}, ["25 pictures", "17 frames"]),
        ({"image": torch.rand(9, 8, 8, 3), "frame_index": 3}, ["is 9", "8 or 16"]),
        ({"image": torch.rand(8, 8, 8, 3), "frame_index": 3}, ["8 pictures", "frame 3", "1 or 9", "Image From Batch"]),
        ({"image": torch.rand(16, 8, 8, 3), "frame_index": 9}, ["16 pictures from frame 9", "17 frames"]),
        ({"image": torch.rand(8, 8, 8, 3), "frame_index": -4, "before_start": True}, ["reaches into", "-8 or less"]),
        ({"image": torch.rand(9, 8, 8, 3), "frame_index": -9, "before_start": True}, ["is 9", "8 or 16"]),
        ({"image": torch.rand(1, 8, 8, 2)}, ["image needs pictures", "(1, 8, 8, 2)"]),
        ({"image": torch.rand(0, 8, 8, 3)}, ["image needs pictures"]),
        ({"video_latent": {"samples": torch.zeros(1, 8, 17, 16), "type": "audio"}}, ["video latent"]),
    ],
)
def test_what_an_image_guide_refuses(tiny: Setup, inputs: dict[str, Any], words: list[str]) -> None:
    refused(words, lambda: tiny.guide(**({"image": picture()} | inputs)))


def test_two_pictures_cannot_both_be_a_frame(tiny: Setup) -> None:
    first = tiny.guide(picture(1))
    refused(["claim frame 0"], lambda: tiny.guide(picture(2), guides=first, strength=0.5))
    last = tiny.guide(picture(1), frame_index=-1)
    refused(["claim frame 16"], lambda: tiny.guide(picture(2), frame_index=16, guides=last))
    assert len(tiny.guide(picture(2), frame_index=16, strength=0.5, guides=last).video) == 2
    assert len(tiny.guide(picture(2), frame_index=15, guides=last).video) == 2


def test_a_hard_first_frame_comes_out_as_it_went_in(tiny: Setup) -> None:
    guides = tiny.guide(picture())
    video = tiny.sample(guides=guides)[0]["samples"]
    torch.testing.assert_close(video[:, :, :1], guides.video[0].latent)
    free = tiny.sample()[0]["samples"]
    assert (video[:, :, 1:] - free[:, :, 1:]).abs().mean() > 1e-3


@few
@given(frames=st.lists(st.integers(-FRAMES, FRAMES - 1), max_size=4), seed=st.integers(0, 99), on=st.booleans())
def test_frames_out_are_frames_asked_for_whatever_the_guides(
    tiny: Setup, frames: list[int], seed: int, on: bool
) -> None:
    with torch.inference_mode():
        guides = None
        for index in {frame % FRAMES for frame in frames}:
            guides = tiny.guide(
                picture(seed + index), frame_index=index, as_keyframe=on, guides=guides, strength=0.5 + seed / 200
            )
        if on:
            guides = tiny.reference(picture(seed, count=9), guides=guides, attention_strength=seed / 99)
        video, audio = tiny.sample(steps=2, guides=guides)[:2]
    assert video["samples"].shape == tiny.video["samples"].shape
    assert audio["samples"].shape == tiny.audio["samples"].shape
    assert video["samples"].isfinite().all()


@pytest.mark.parametrize("frame", [0, 8])
def test_guides_of_another_stage_are_refused(tiny: Setup, frame: int) -> None:
    guides = tiny.guide(picture(), frame_index=frame)
    [larger, *_] = tiny.run("LTX2EmptyLatents", width=2 * WIDTH, height=2 * HEIGHT, length=FRAMES, frame_rate=FPS)
    refused(["64 x 64", "128 x 128", "Give each stage"], lambda: tiny.sample(guides=guides, video_latent=larger))
    [shorter, audio, _] = tiny.run("LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=9, frame_rate=FPS)
    late = tiny.guide(picture(), frame_index=-1)
    latents = {"video_latent": shorter, "audio_latent": audio}
    refused(["frame 16", "0 to 8"], lambda: tiny.sample(guides=late, **latents))


# Reference videos


def test_the_size_of_a_reference_comes_from_the_lora(tiny: Setup) -> None:
    for model, size, factor in ((tiny.model, 2, 1), (tiny.lora(PLAIN_LORA), 2, 1), (tiny.lora(IC_LORA), 1, 2)):
        [item] = tiny.reference(picture(count=20), model=model, strength=0.9).video
        assert tuple(item.latent.shape) == (1, 128, 3, size, size)
        assert (item.downscale_factor, item.temporal_scale_factor, item.strength) == (factor, 1, 0.9)


def test_a_clip_that_the_factor_does_not_divide_is_refused(tiny: Setup) -> None:
    [latent, *_] = tiny.run("LTX2EmptyLatents", width=96, height=64, length=FRAMES, frame_rate=FPS)
    words = ["2 times smaller", "96 x 64", "multiple of 64"]
    refused(words, lambda: tiny.reference(picture(count=9), model=tiny.lora(IC_LORA), video_latent=latent))


@given(count=st.integers(1, 60), latents=st.integers(1, 6), stride=st.integers(1, 4))
def test_frames_that_a_reference_takes(pack: Any, nodes: Any, count: int, latents: int, stride: int) -> None:
    reference, pictures = (sys.modules[f"ltx2_pack.nodes.{name}"] for name in ("guides.reference", "wires.pictures"))
    shape = pictures.VideoLatentShape(1, 128, latents, 2, 2)
    clip = pictures.Clip(shape, pictures.SpatioTemporalScaleFactors.default())
    frames = reference._chosen_frames(count, clip, stride)
    assert len(frames) % 8 == 1
    assert frames[0] == 0
    assert frames[1:] == [1 + stride * index for index in range(len(frames) - 1)]
    assert frames[-1] < min(count, clip.frames)
    possible = 1 + len(range(1, min(count, clip.frames), stride))
    assert possible - len(frames) < 8


def test_another_reference_gives_another_result(tiny: Setup) -> None:
    model = tiny.lora(IC_LORA)
    results = [
        tiny.sample(model=model, guides=tiny.reference(picture(seed, count=17), model=model))[0]["samples"]
        for seed in (1, 2)
    ]
    assert (results[0] - results[1]).abs().mean() > 1e-3


def test_attention_strength_0_equals_no_reference(tiny: Setup) -> None:
    """For the picture alone: sound listens to all of the picture's tokens, the reference's among them."""
    alone = {"audio_latent": None}
    without = tiny.sample(**alone)[0]["samples"]
    film = picture(3, count=17)
    unseen = tiny.sample(guides=tiny.reference(film, attention_strength=0.0), **alone)[0]["samples"]
    torch.testing.assert_close(unseen, without, rtol=1e-4, atol=1e-5)
    black = tiny.sample(guides=tiny.reference(film, attention_mask=torch.zeros(1, 5, 5)), **alone)[0]["samples"]
    torch.testing.assert_close(black, without, rtol=1e-4, atol=1e-5)
    weak = tiny.sample(guides=tiny.reference(film, attention_strength=0.5), **alone)[0]["samples"]
    full = tiny.sample(guides=tiny.reference(film), **alone)[0]["samples"]
    assert (weak - without).abs().mean() > 1e-4
    assert (weak - full).abs().mean() > 1e-4


def test_a_white_mask_is_the_strength(tiny: Setup) -> None:
    film, alone = picture(3, count=17), {"audio_latent": None}
    white = torch.ones(17, 9, 9)
    masked = tiny.sample(guides=tiny.reference(film, attention_strength=0.5, attention_mask=white), **alone)[0]
    plain = tiny.sample(guides=tiny.reference(film, attention_strength=0.5), **alone)[0]
    torch.testing.assert_close(masked["samples"], plain["samples"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("index", "count", "used", "latents"),
    [(-1, 1, 1, 1), (-1, 5, 1, 1), (-8, 9, 8, 1), (-16, 40, 32, 4), (9, 20, 8, 1), (1, 40, 16, 2), (16, 3, 1, 1)],
)
def test_a_reference_may_start_before_the_clip_or_inside_it(
    tiny: Setup, index: int, count: int, used: int, latents: int
) -> None:
    model, film = tiny.lora(IC_LORA), picture(4, HEIGHT, WIDTH, count=count)
    [item] = tiny.reference(film, model=model, frame_index=index).video
    assert (item.frame_idx, item.num_pixel_frames, item.downscale_factor) == (index, used, 2)
    assert tuple(item.latent.shape) == (1, 128, latents, 1, 1)
    if used > 1:
        [whole] = tiny.reference(torch.cat([film[:1], film]), model=model, video_latent=longer(tiny)).video
        torch.testing.assert_close(item.latent, whole.latent[:, :, 1 : 1 + latents])
    mask = torch.ones(count, 4, 4)
    mask[0] = 0.0
    [masked] = tiny.reference(film, model=model, frame_index=index, attention_mask=mask).video
    first = 0.0 if used == 1 else 7 / 8
    assert masked.attention_mask.flatten().tolist() == pytest.approx([first] + [1.0] * (latents - 1))
    tiny.sample(model=model, guides=tiny.reference(film, model=model, frame_index=index))


def longer(tiny: Setup) -> dict[str, Any]:
    return tiny.run("LTX2EmptyLatents", width=WIDTH, height=HEIGHT, length=41, frame_rate=FPS)[0]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"frame_index": 17}, ["frame_index is 17", "17 frames", "negative number"]),
        ({"frame_index": 3}, ["frame_index is 3", "8k + 1", "1 or 9"]),
        ({"attention_mask": torch.ones(5, 4, 4)}, ["5 frames", "9. Give it 1 frame or 9"]),
        ({"attention_mask": torch.ones(4)}, ["attention_mask needs a mask"]),
        ({"attention_strength": -0.1}, ["attention_strength", "0.0 and 1.0"]),
        ({"tile_size": 100}, ["multiple of 32"]),
        ({"model": None}, ["model"]),
    ],
)
def test_what_a_reference_guide_refuses(tiny: Setup, inputs: dict[str, Any], words: list[str]) -> None:
    refused(words, lambda: tiny.reference(**({"images": picture(count=9)} | inputs)))


def test_tiles_encode_the_same_reference(tiny: Setup) -> None:
    film = picture(4, count=17)
    whole = tiny.reference(film).video[0].latent
    tiles = tiny.reference(film, tile_size=64).video[0].latent
    torch.testing.assert_close(tiles, whole, rtol=1e-3, atol=1e-4)


def test_an_ic_lora_needs_a_reference_and_a_reference_a_lora(tiny: Setup, caplog: pytest.LogCaptureFixture) -> None:
    refused([IC_LORA, "works on a reference video"], lambda: tiny.sample(model=tiny.lora(IC_LORA)))
    tiny.sample(model=tiny.lora(IC_LORA, strength=0.0))  # switched off: nothing to complain about
    with caplog.at_level(logging.WARNING):
        tiny.sample(guides=tiny.reference(picture(count=9)))
    assert "has no LoRA" in caplog.text


def test_loras_that_want_different_references_are_refused(tiny: Setup, tmp_path: Any) -> None:
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file(
        {"a.lora_A.weight": torch.zeros(1, 1), "a.lora_B.weight": torch.zeros(1, 1)},
        path,
        {"reference_downscale_factor": "3"},
    )
    other = handles.LoraRef(file=handles.FileRef.of(str(path)), strength=1.0)
    both = tiny.lora(IC_LORA).with_lora(other)
    refused(["2.0, 3.0", "one IC-LoRA at a time"], lambda: tiny.reference(picture(count=9), model=both))


# Reference sound


def test_a_reference_voice_changes_the_sound_and_not_its_length(tiny: Setup) -> None:
    voice = {"samples": torch.randn(1, 8, 30, 16, generator=torch.Generator().manual_seed(1)), "type": "audio"}
    guides = tiny.run("LTX2ReferenceAudioGuide", reference=voice)[0]
    [item] = guides.audio
    assert item.positions.max() == pytest.approx(-0.04)
    assert item.positions.shape == (1, 1, 30, 2)
    heard, free = tiny.sample(guides=guides)[1]["samples"], tiny.sample()[1]["samples"]
    assert heard.shape == free.shape
    assert (heard - free).abs().mean() > 1e-3


def test_what_a_reference_audio_guide_refuses(tiny: Setup) -> None:
    refused(["audio latent", "reference"], lambda: tiny.run("LTX2ReferenceAudioGuide", reference=tiny.video))
    refused(["strength"], lambda: tiny.run("LTX2ReferenceAudioGuide", reference=tiny.audio, strength=2.0))
