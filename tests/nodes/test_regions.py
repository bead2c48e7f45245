"""What is kept comes out as it went in; clips of any size and length are fitted or refused with the numbers."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.nodes.test_guides import FPS, FRAMES, HEIGHT, WIDTH, Setup, few, picture, refused

LATENTS, SOUND = 3, 18


@pytest.fixture(scope="module")
def tiny(nodes: dict[str, Any]) -> Setup:
    with torch.inference_mode():
        return Setup(nodes)


def film(seed: int = 0) -> dict[str, Any]:
    samples = torch.randn(1, 128, LATENTS, 2, 2, generator=torch.Generator().manual_seed(seed))
    return {"samples": samples, "type": "video", "frame_rate": FPS}


def sound(seed: int = 0) -> dict[str, Any]:
    return {"samples": torch.randn(1, 8, SOUND, 16, generator=torch.Generator().manual_seed(seed)), "type": "audio"}


def tone(seconds: float, rate: int = 44_100, channels: int = 1) -> dict[str, Any]:
    time = torch.arange(round(seconds * rate)) / rate
    return {"waveform": torch.sin(time * 2764.6).expand(1, channels, -1), "sample_rate": rate}


# Freezing


def test_frozen_latents_are_shown_and_kept(tiny: Setup) -> None:
    for latent, name in ((film(), "video_latent"), (sound(), "audio_latent")):
        [frozen] = tiny.run("LTX2FreezeLatent", latent=latent)
        assert "noise_mask" not in latent
        video, audio = tiny.sample(**{name: frozen})[:2]
        kept, made = (video, audio) if name == "video_latent" else (audio, video)
        assert torch.equal(kept["samples"], latent["samples"])
        assert "noise_mask" not in kept
        other = film(1) if name == "video_latent" else sound(1)
        changed = tiny.sample(**{name: tiny.run("LTX2FreezeLatent", latent=other)[0]})
        made_of_other = changed[1] if name == "video_latent" else changed[0]
        assert (made["samples"] - made_of_other["samples"]).abs().mean() > 1e-4


def test_the_switch_of_the_freeze_node(tiny: Setup) -> None:
    [frozen] = tiny.run("LTX2FreezeLatent", latent=sound())
    [free] = tiny.run("LTX2FreezeLatent", latent=frozen, frozen=False)
    assert "noise_mask" in frozen and "noise_mask" not in free
    refused(["video or audio latent"], lambda: tiny.run("LTX2FreezeLatent", latent={"samples": torch.zeros(1, 4, 4)}))


# Time windows


@few
@given(
    start=st.floats(0.0, 0.6),
    length=st.floats(0.03, 0.5),
    ramp=st.sampled_from([0.0, 0.2]),
    outside=st.booleans(),
    streams=st.sampled_from(["both", "video", "audio"]),
)
def test_a_retake_keeps_what_it_keeps(
    tiny: Setup, start: float, length: float, ramp: float, outside: bool, streams: str
) -> None:
    given_video, given_audio = film(), sound()
    with torch.inference_mode():
        video, audio, blend = tiny.run(
            "LTX2RetakeRegion",
            video_latent=given_video,
            audio_latent=given_audio,
            start_time=start,
            end_time=start + length,
            generate="outside" if outside else "inside",
            generate_video=streams != "audio",
            generate_audio=streams != "video",
            ramp=ramp,
        )
        results = tiny.sample(video_latent=video, audio_latent=audio)[:2]
    for result, given_latent, masked in zip(results, (given_video, given_audio), (video, audio), strict=True):
        kept = (masked["noise_mask"] == 0).expand_as(given_latent["samples"])
        assert torch.equal(result["samples"][kept], given_latent["samples"][kept])
        changed = (result["samples"] - given_latent["samples"]).abs()[(masked["noise_mask"] == 1).expand_as(kept)]
        assert changed.numel() == 0 or changed.mean() > 0.01
        assert result["samples"].shape == given_latent["samples"].shape
    assert blend.shape == (FRAMES, HEIGHT, WIDTH)
    frames = blend[:, 0, 0]
    latents = video["noise_mask"][0, 0, :, 0, 0]
    assert torch.equal(frames, torch.cat([latents[:1], latents[1:].repeat_interleave(8)]))


def test_video_alone_and_sound_alone(tiny: Setup) -> None:
    window = {"start_time": 0.1, "end_time": 0.2}
    video, audio, blend = tiny.run("LTX2RetakeRegion", video_latent=film(), **window)
    assert audio is None
    assert video["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 1, 0]
    video, audio, blend = tiny.run("LTX2RetakeRegion", audio_latent=sound(), **window)
    assert (video, blend) == (None, None)
    assert audio["noise_mask"].shape == (1, 1, SOUND, 1)
    assert audio["noise_mask"].flatten().nonzero().flatten().tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"start_time": 2.0, "end_time": 2.0}, ["2.0 to 2.0", "later"]),
        ({"start_time": 5.0, "end_time": 6.0}, ["video_latent", "0.71 s", "5.0 to 6.0"]),
        ({"start_time": 0.0, "end_time": 6.0, "generate": "outside"}, ["outside the window", "generate_video"]),
        ({"generate": "there"}, ["generate", "inside, outside"]),
        ({"generate_video": False, "generate_audio": False}, ["Nothing is left to generate"]),
        ({"video_latent": None, "generate_audio": False}, ["Nothing is left to generate"]),
        ({"video_latent": {"samples": torch.zeros(1, 128, 3, 2, 2)}}, ["frame rate of video_latent is not known"]),
        ({"ramp": 11.0}, ["ramp"]),
        ({"audio_latent": film()}, ["audio latent"]),
    ],
)
def test_what_a_retake_refuses(tiny: Setup, inputs: dict[str, Any], words: list[str]) -> None:
    wires = {"video_latent": film(), "audio_latent": sound(), "start_time": 0.1, "end_time": 0.2}
    refused(words, lambda: tiny.run("LTX2RetakeRegion", **(wires | inputs)))


def test_masks_of_other_sizes_are_refused_by_the_sampler(tiny: Setup) -> None:
    for name, latent in (("video_latent", film()), ("audio_latent", sound())):
        wrong = {**latent, "noise_mask": torch.rand(1, 1, 7, 1)}
        refused(["noise mask", name, "(1, 1, 7, 1)", "Retake Region"], lambda w=wrong, n=name: tiny.sample(**{n: w}))


def test_a_mask_of_a_core_node_with_a_value_per_mel_bin(tiny: Setup) -> None:
    mask = torch.zeros(1, 1, SOUND, 16)
    mask[:, :, 9:] = 1
    given_sound = sound()
    audio = tiny.sample(audio_latent={**given_sound, "noise_mask": mask})[1]["samples"]
    assert torch.equal(audio[:, :, :9], given_sound["samples"][:, :, :9])
    assert (audio[:, :, 9:] - given_sound["samples"][:, :, 9:]).abs().mean() > 0.01


# Masks


@few
@given(seed=st.integers(0, 1000), frames=st.sampled_from([1, FRAMES]), size=st.sampled_from([(64, 64), (7, 9), (2, 2)]))
def test_painting_keeps_what_is_black(tiny: Setup, seed: int, frames: int, size: tuple[int, int]) -> None:
    mask = (torch.rand(frames, *size, generator=torch.Generator().manual_seed(seed)) > 0.8).float()
    mask[0, 0, 0] = 1
    with torch.inference_mode():
        video, blend = tiny.run("LTX2InpaintRegion", video_latent=film(), mask=mask)
        result = tiny.sample(video_latent=video)[0]["samples"]
    kept = (video["noise_mask"] == 0).expand_as(result)
    assert torch.equal(result[kept], film()["samples"][kept])
    assert blend.shape == (FRAMES, HEIGHT, WIDTH)
    assert (blend[0, :32, :32] == 1).all()


def test_a_part_of_the_picture_in_a_part_of_the_time(tiny: Setup) -> None:
    left = torch.zeros(1, 64, 64)
    left[:, :, :20] = 1
    video, *_ = tiny.run("LTX2RetakeRegion", video_latent=film(), start_time=0.1, end_time=0.2)
    video, blend = tiny.run("LTX2InpaintRegion", video_latent=video, mask=left)
    expected = torch.zeros(3, 2, 2)
    expected[1, :, 0] = 1
    assert torch.equal(video["noise_mask"][0, 0], expected)
    assert blend.sum() == 8 * 64 * 32
    grown, _ = tiny.run("LTX2InpaintRegion", video_latent=film(), mask=left, grow=13)
    assert grown["noise_mask"].sum() == 12


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(1, 64, 64), ["black everywhere"]),
        (torch.ones(9, 64, 64), ["9 frames", "17"]),
        (torch.ones(1, 1, 64, 64), ["needs a mask"]),
        (None, ["needs a mask"]),
    ],
)
def test_what_painting_refuses(tiny: Setup, mask: Any, words: list[str]) -> None:
    refused(words, lambda: tiny.run("LTX2InpaintRegion", video_latent=film(), mask=mask))


def test_regions_that_do_not_meet_are_refused(tiny: Setup) -> None:
    mask = torch.zeros(FRAMES, 4, 4)
    mask[0] = 1
    video, *_ = tiny.run("LTX2RetakeRegion", video_latent=film(), start_time=0.5, end_time=0.6)
    refused(["do not overlap"], lambda: tiny.run("LTX2InpaintRegion", video_latent=video, mask=mask))


def test_green_is_laid_over_the_masked_part(tiny: Setup) -> None:
    images = torch.full((3, 8, 8, 3), 0.5)
    mask = torch.zeros(1, 4, 4)
    mask[:, 0, 0] = 1
    filled, larger = tiny.run("LTX2InpaintFill", images=images, mask=mask, grow=1)
    assert larger.shape == (1, 8, 8)
    assert larger.sum() == 9
    torch.testing.assert_close(filled[:, 0, 0], torch.tensor([0.4, 1.0, 0.0]).expand(3, 3))
    assert (filled[:, 4:] == 0.5).all()
    soft, _ = tiny.run("LTX2InpaintFill", images=images, mask=torch.full((1, 8, 8), 0.25), grow=0)
    torch.testing.assert_close(soft[0, 0, 0], torch.tensor([0.475, 0.625, 0.375]))  # spec 07 §13.14
    refused(["2 frames", "3"], lambda: tiny.run("LTX2InpaintFill", images=images, mask=torch.ones(2, 8, 8)))


def test_a_pyramid_blend_lays_new_pictures_over_the_source(tiny: Setup) -> None:
    new, source = torch.full((3, 64, 64, 3), 0.8), torch.full((4, 64, 64, 3), 0.2)
    mask = torch.zeros(4, 32, 32)
    mask[:, :, :16] = 1
    [blended] = tiny.run("LTX2PyramidBlend", images=new, source=source, mask=mask, levels=2)
    assert blended.shape == new.shape
    torch.testing.assert_close(
        blended[:, :, [0, 63]], torch.tensor([0.8, 0.2])[None, None, :, None].expand(3, 64, 2, 3)
    )
    assert ((blended > 0.3) & (blended < 0.7)).any()
    wider = torch.rand(3, 64, 96, 3)
    refused(["64 x 64", "96 x 64"], lambda: tiny.run("LTX2PyramidBlend", images=new, source=wider, mask=mask))
    two = torch.ones(2, 8, 8)
    refused(["2 frames", "3"], lambda: tiny.run("LTX2PyramidBlend", images=new, source=source, mask=two))
    refused(["levels"], lambda: tiny.run("LTX2PyramidBlend", images=new, source=source, mask=two, levels=13))


# Fitting and extending


@given(
    frames=st.integers(1, 40),
    height=st.integers(32, 100),
    width=st.integers(32, 100),
    fps=st.sampled_from([23.976, 24.0, 25.0, 30.0]),
    seconds=st.floats(0.01, 2.0),
)
def test_any_clip_fits(tiny: Setup, frames: int, height: int, width: int, fps: float, seconds: float) -> None:
    images = torch.zeros(frames, height, width, 3)
    fitted, audio, w, h, length, rate, *_ = tiny.run(
        "LTX2FitVideo", images=images, frame_rate=fps, audio=tone(seconds, 8000)
    )
    assert fitted.shape == (length, h, w, 3)
    assert length % 8 == 1 and 0 <= frames - length < 8
    assert h % 32 == w % 32 == 0 and 0 <= height - h < 32 and 0 <= width - w < 32
    assert audio["waveform"].shape[-1] == round(length / fps * 8000)
    assert rate == fps


def test_fitting_scales_and_cuts_the_centre(tiny: Setup) -> None:
    images = torch.zeros(9, 64, 192, 3)
    images[:, :, 64:128] = 1
    fitted, _, width, height, *_ = tiny.run("LTX2FitVideo", images=images, width=64, height=64)
    assert (width, height) == (64, 64)
    assert (fitted == 1).all()
    larger = tiny.run("LTX2FitVideo", images=images[:, :, 64:128], width=128, height=128, length=1)[0]
    assert larger.shape == (1, 128, 128, 3)


def test_a_clip_without_sound_is_silent(tiny: Setup, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        audio = tiny.run("LTX2FitVideo", images=torch.zeros(9, 64, 64, 3), frame_rate=24.0)[1]
    assert audio["waveform"].shape == (1, 2, 18_000)
    assert not audio["waveform"].any()
    assert "no sound" in caplog.text


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"images": torch.zeros(9, 20, 64, 3)}, ["height is 20", "32"]),
        ({"length": 17}, ["length is 17", "9 frames", "Set it to 9"]),
        ({"length": 10}, ["9 or 17"]),
        ({"width": 100}, ["96 or 128"]),
        ({"width": 96, "multiple": 64}, ["64 or 128"]),
        ({"frame_rate": 0.0}, ["frame_rate"]),
        ({"images": torch.zeros(0, 64, 64, 3)}, ["images needs pictures"]),
        ({"audio": torch.zeros(3)}, ["audio needs a sound"]),
    ],
)
def test_what_fitting_refuses(tiny: Setup, inputs: dict[str, Any], words: list[str]) -> None:
    refused(words, lambda: tiny.run("LTX2FitVideo", **({"images": torch.zeros(9, 64, 64, 3)} | inputs)))


@given(
    kept=st.integers(1, 20), before=st.integers(0, 20), groups=st.integers(1, 6), fps=st.sampled_from([23.976, 25.0])
)
def test_extending_keeps_the_given_frames(tiny: Setup, kept: int, before: int, groups: int, fps: float) -> None:
    after = 8 * groups + 1 - kept - before
    if after < 0 or before == after == 0:
        return
    images = torch.arange(1, kept + 1).view(-1, 1, 1, 1).expand(-1, 32, 32, 3).float()
    extended, audio, start, end, _ = tiny.run(
        "LTX2ExtendClip", images=images, frame_rate=fps, frames_before=before, frames_after=after, audio=tone(9.0, 8000)
    )
    assert len(extended) == 8 * groups + 1
    assert torch.equal(extended[before : before + kept], images)
    samples = audio["waveform"]
    assert samples.shape[-1] == round(len(extended) / fps * 8000)
    assert not samples[..., : round(start * 8000)].any()
    assert not samples[..., round(end * 8000) + 1 :].any()
    latent = {"samples": torch.zeros(1, 128, groups + 1, 1, 1), "frame_rate": fps}
    window = {"start_time": start, "end_time": end, "generate": "outside"}
    blend = tiny.run("LTX2RetakeRegion", video_latent=latent, **window)[2][:, 0, 0]
    assert (blend[:before] == 1).all()
    assert (blend[before + kept :] == 1).all()
    # Given frames are new only where they share a latent frame with new ones.
    assert blend[before : before + kept].sum() < 8 + 8
    if before % 8 == 1 and kept % 8 == 0:
        assert not blend[before : before + kept].any()


def test_a_film_goes_on_from_its_own_latents(tiny: Setup) -> None:
    """The encoder looks only back: what is added after a clip does not change the latents of the clip."""
    images = picture(3, HEIGHT, WIDTH, count=9)
    extended, *_ = tiny.run("LTX2ExtendClip", images=images, frames_after=8)
    whole = {"tile_size": 0, "temporal_size": 0}
    alone, longer = (
        tiny.run("LTX2VideoVAEEncode", images=one, video_vae=tiny.video_vae, **whole)[0]["samples"]
        for one in (images, extended)
    )
    torch.testing.assert_close(longer[:, :, :2], alone, rtol=1e-4, atol=1e-5)


def test_no_tiles_encode_the_film_as_a_whole(tiny: Setup) -> None:
    """Longer than the default tile, which would show at its seams."""
    components = sys.modules["ltx2_pack.nodes.loading.components"]
    images = picture(4, 32, 32, count=89)
    whole = {"tile_size": 0, "temporal_size": 0}
    [latent] = tiny.run("LTX2VideoVAEEncode", images=images, video_vae=tiny.video_vae, **whole)
    with components.video_encoder(tiny.video_vae, pixels=0) as encoder:
        expected = encoder(images.movedim(-1, 0)[None] * 2 - 1)
    assert torch.equal(latent["samples"], expected)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"frames_after": 10}, ["9 given", "frames_after to 8 or 16"]),
        ({"frames_before": 4, "frames_after": 0}, ["frames_after to 4"]),
        ({"frames_before": 0, "frames_after": 0}, ["nothing to add"]),
        ({"frame_rate": -1.0}, ["frame_rate"]),
    ],
)
def test_what_extending_refuses(tiny: Setup, inputs: dict[str, Any], words: list[str]) -> None:
    refused(words, lambda: tiny.run("LTX2ExtendClip", **({"images": torch.zeros(9, 32, 32, 3)} | inputs)))


# Sound as long as the picture


@few
@given(latents=st.integers(1, 8), fps=st.sampled_from([23.976, 24.0, 25.0, 30.0, 50.0]), seconds=st.floats(0.05, 2.0))
def test_sound_gets_the_length_of_the_picture(tiny: Setup, latents: int, fps: float, seconds: float) -> None:
    video = {"samples": torch.zeros(1, 128, latents, 2, 2), "type": "video", "frame_rate": fps}
    duration = (8 * (latents - 1) + 1) / fps
    if round(duration * 25) == 0:
        return
    with torch.inference_mode():
        [audio] = tiny.run("LTX2AudioVAEEncode", audio=tone(seconds), audio_vae=tiny.audio_vae, fit_to=video)
    assert audio["samples"].shape == (1, 8, round(duration * 25), 16)
    assert abs(audio["samples"].shape[2] * 0.04 - duration) <= 0.04


def test_sound_gets_the_length_of_a_sound(tiny: Setup) -> None:
    [audio] = tiny.run("LTX2AudioVAEEncode", audio=tone(2.0), audio_vae=tiny.audio_vae, fit_to=sound())
    assert audio["samples"].shape[2] == SOUND


def test_sounds_that_no_film_has_are_refused(tiny: Setup) -> None:
    refused(
        ["9 channels"],
        lambda: tiny.run("LTX2AudioVAEEncode", audio=tone(1.0, channels=9), audio_vae=tiny.audio_vae),
    )
    refused(["needs a sound"], lambda: tiny.run("LTX2AudioVAEEncode", audio=None, audio_vae=tiny.audio_vae))
