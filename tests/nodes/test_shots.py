"""Several shots in one clip, through the nodes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ltx_core_impl.types import SpatioTemporalScaleFactors, VideoLatentShape
from tests.conftest import assert_close

Run = Callable[..., tuple[Any, ...]]
SCALE = SpatioTemporalScaleFactors.default()
SIZE = {"width": 64, "height": 32, "frame_rate": 16.0}


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def models(nodes: dict[str, Any], request: pytest.FixtureRequest) -> SimpleNamespace:
    """Handles of a tiny model and its text encoder."""
    with torch.inference_mode():
        checkpoint = f"ltx-{request.param}-tiny.safetensors"
        loaded = nodes["LTX2CheckpointLoader"].execute(checkpoint, "auto", "none", "none", 1.0).args
        encoder = nodes["LTX2TextEncoderLoader"].execute("gemma-3-tiny", text_projection=loaded[4]).args[0]
    return SimpleNamespace(model=loaded[0], encoder=encoder)


def plain(run: Run, models: SimpleNamespace, prompt: str) -> Any:
    return run("LTX2TextEncode", text_encoder=models.encoder, prompt=prompt)[0]


def timed(run: Run, models: SimpleNamespace, prompt: str, **options: Any) -> Any:
    return run("LTX2TimedPrompt", text_encoder=models.encoder, prompt=prompt, frame_rate=16.0, **options)[0]


def sampled(
    run: Run, models: SimpleNamespace, context: Any, length: int = 33, negative: Any = None, **options: Any
) -> list[torch.Tensor]:
    video, audio, _ = run("LTX2EmptyLatents", length=length, **SIZE)
    guidance = {}
    if negative is not None:
        parameters = {"cfg": 3.0, "stg_scale": 1.0, "stg_blocks": "1", "modality_scale": 2.0, "skip_step": 0}
        [one] = run("LTX2GuidanceParameters", **parameters)
        guidance = {"negative": negative, "video_guidance": one, "audio_guidance": one}
    [guider] = run("LTX2Guider", positive=context, **guidance)
    found = run(
        "LTX2Sampler",
        model=models.model,
        guider=guider,
        sigmas=torch.tensor([1.0, 0.5, 0.0]),
        noise=run("LTX2LatentNoise", seed=4)[0],
        video_latent=video,
        audio_latent=audio,
        **options,
    )
    return [latent["samples"] for latent in found[:2]]


def test_one_shot_is_the_plain_prompt(run: Run, models: SimpleNamespace) -> None:
    expected = plain(run, models, "A street. a red circle")
    for prompt in ("A street. a red circle", "A street.\n0-2s: a red circle", "A street.\n0s: a red circle"):
        context = timed(run, models, prompt)
        assert context.shots is None
        assert torch.equal(context.video, expected.video) and torch.equal(context.audio, expected.audio)


def test_shots_carry_the_texts_of_all(run: Run, models: SimpleNamespace) -> None:
    context = timed(run, models, "A street.\n0-1s: a red circle\n1-2s: a dog", border=0.25)
    assert context.shots.cuts == (1.0,) and context.shots.border == 0.25
    parts = [plain(run, models, f"A street. {text}") for text in ("a red circle", "a dog")]
    for name in ("video", "audio"):
        torch.testing.assert_close(getattr(context, name), torch.cat([getattr(part, name) for part in parts], dim=1))


def test_equal_shots_give_what_the_plain_prompt_gives(run: Run, models: SimpleNamespace) -> None:
    negative = plain(run, models, "a dog")
    shots = timed(run, models, "0-1s: a red circle\n1-2s: a red circle")
    for given in (None, negative):
        expected = sampled(run, models, plain(run, models, "a red circle"), negative=given)
        for one, other in zip(sampled(run, models, shots, negative=given), expected, strict=True):
            assert_close(one, other)


def test_a_window_inside_a_shot_is_made_with_its_prompt_alone(run: Run, models: SimpleNamespace) -> None:
    """The first window, up to 1.06 s, lies in the first shot; the second goes on into the second shot."""
    [windows] = run("LTX2ContextWindows", window_length=17, overlap=8)
    circle = sampled(run, models, plain(run, models, "a red circle"), length=41, windows=windows)
    shots = timed(run, models, "0-1.5s: a red circle\n1.5-2.5s: a dog", border=0.0)
    found = sampled(run, models, shots, length=41, windows=windows)
    other = timed(run, models, "0-1.5s: a red circle\n1.5-2.5s: blue rain", border=0.0)
    changed = sampled(run, models, other, length=41, windows=windows)
    assert torch.equal(found[0][:, :, :2], circle[0][:, :, :2])
    assert not torch.equal(found[0][:, :, 3:], circle[0][:, :, 3:])
    assert not torch.equal(found[0][:, :, 3:], changed[0][:, :, 3:])
    assert not torch.equal(found[1][:, :, 40:], changed[1][:, :, 40:])


def test_tiles_and_a_batch_take_shots(run: Run, models: SimpleNamespace) -> None:
    [tiles] = run("LTX2SpatialTiles", columns=2, rows=1, overlap=0)
    same, shots = (
        timed(run, models, f"0-1s: a red circle\n1-2s: {text}", border=0.5) for text in ("a red circle", "a dog")
    )
    expected = sampled(run, models, plain(run, models, "a red circle"), windows=tiles)
    for one, other in zip(sampled(run, models, same, windows=tiles), expected, strict=True):
        assert_close(one, other)
    assert not torch.equal(sampled(run, models, shots, windows=tiles)[0], expected[0])


def test_a_part_of_a_longer_clip_reads_the_shots_of_its_time(nodes: dict[str, Any]) -> None:
    dfr, denoising, handles = (
        sys.modules[f"ltx2_pack.nodes.{name}"] for name in ("guides.dfr", "sampling.denoising", "wires.handles")
    )
    assert dfr.clock_of(None) == dfr.clock_of({"frame_rate": 24.0}) == (0.0, 1.0)
    place = dfr.Place(SimpleNamespace(first=96), number=1, count=2, frame_rate=96.0)
    clock = dfr.clock_of({"frame_rate": 60.0, dfr.PLACE: place})
    assert clock == (1.0, 1.6)
    context = handles.Context(torch.zeros(1, 6, 2), torch.zeros(1, 6, 2), "2.5", shots=_shots((0.5, 2.0), 0.5))
    made = denoising.Denoising(
        guider=handles.Guider(positive=context),
        sigmas=torch.tensor([1.0, 0.0]),
        windows=handles.Windows(),
        corrections=handles.Corrections(),
        force_uncond=False,
        rows_at_once=None,
        device=torch.device("cpu"),
        dtype=torch.float32,
        clock=clock,
    )
    tools = denoising.Tools(SimpleNamespace(target_shape=VideoLatentShape(1, 128, 5, 1, 2), scale_factors=SCALE), None)
    text = made.denoiser(tools, origin=0.1).video_context
    assert text.shots.cuts == pytest.approx((-0.8 - 0.1, 1.6 - 0.1)) and text.shots.border == pytest.approx(0.8)
    assert [one.shape for one in text.texts] == [(1, 2, 2)] * 3


def _shots(cuts: tuple[float, ...], border: float) -> Any:
    return sys.modules["ltx2_pack.ltx_core_impl.sampling.timed_text"].Shots(cuts, border)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"prompt": "0-1s: a\n2-3s: b"}, "leaves a gap"),
        ({"prompt": "0-1s: a\n1-3s: b", "length": 17}, "end at 3 s, but the clip lasts 1.062 s"),
        ({"prompt": "0-1s: a\n1-3s: b", "length": 17, "frame_rate": None}, None),
        ({"prompt": "0-1s: a\n1-3s: b", "frame_rate": 0.0}, "frame_rate"),
        ({"prompt": "0-1s: a", "border": -1.0}, "border is -1.0"),
        ({"prompt": None}, None),
    ],
)
def test_queue_time(nodes: dict[str, Any], inputs: dict, message: str | None) -> None:
    given = {"frame_rate": 16.0, "border": 0.5} | inputs
    if message is None:
        assert nodes["LTX2TimedPrompt"].validate_inputs(**given) is True
        return
    with pytest.raises(ValueError, match=re.escape(message)):
        nodes["LTX2TimedPrompt"].validate_inputs(**given)


def test_who_cannot_take_shots_says_so(run: Run, models: SimpleNamespace) -> None:
    shots = timed(run, models, "0-1s: a red circle\n1-2s: a dog")
    with pytest.raises(ValueError, match="context holds 2 shots of 'LTX-2 Timed Prompt'; a file keeps one prompt"):
        run("LTX2SaveContext", context=shots, filename_prefix="contexts/none")
