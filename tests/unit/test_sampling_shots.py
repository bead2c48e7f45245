"""Several shots in one clip: which token reads which text, in every pass, window, tile and version."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter

from ltx_core_impl.components.multimodal_guider import MultiModalGuider, MultiModalGuiderParams
from ltx_core_impl.components.noisers import GaussianNoiser, seeded_generators
from ltx_core_impl.conditioning.reference_audio import AudioConditionByReferenceLatent, positions_before_start
from ltx_core_impl.conditioning.video_items import VideoConditionByKeyframeIndex, VideoConditionByReferenceLatent
from ltx_core_impl.guidance.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core_impl.model.transformer import Attention, LTXModel, Modality, X0Model
from ltx_core_impl.model.transformer.tensor_cache import TensorCache
from ltx_core_impl.model.transformer.text_reading import TextReading, TextRun
from ltx_core_impl.parallel.texts import read_texts
from ltx_core_impl.sampling.denoisers import GuidedDenoiser, SimpleDenoiser
from ltx_core_impl.sampling.latent_tiles import AxisTiling, latent_tiles
from ltx_core_impl.sampling.loops import euler_denoising_loop
from ltx_core_impl.sampling.stage import StageModality, denoise_stage
from ltx_core_impl.sampling.tiled_denoiser import TiledDenoiser
from ltx_core_impl.sampling.timed_text import Shots, TimedText, lay_out_texts
from ltx_core_impl.sampling.token_parts import temporal_windows
from ltx_core_impl.sampling.windowed_loop import WindowedLoop
from ltx_core_impl.types import VideoPixelShape
from tests.conftest import assert_close
from tests.sampling_helpers import RULES, tools
from tests.transformer_helpers import golden_modalities, load_transformer

ALL = ["2.0", "2.3", "2.5"]
PIXELS = VideoPixelShape(batch=1, frames=33, height=32, width=64, fps=16.0)  # 2.06 s, 5 latent frames of 2 tokens
SIGMAS = torch.tensor([0.9, 0.5, 0.0])
CUT = 1.0
ISOLATED = PerturbationConfig(
    [Perturbation(PerturbationType.SKIP_A2V_CROSS_ATTN), Perturbation(PerturbationType.SKIP_V2A_CROSS_ATTN)]
)


@pytest.fixture(autouse=True)
def _inference() -> None:
    with torch.inference_mode():
        yield


# Shares


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.floats(0, 20), min_size=0, max_size=5, unique=True).map(sorted),
    border=st.one_of(st.just(0.0), st.floats(0.01, 5)),
    times=st.lists(st.floats(-5, 30), min_size=1, max_size=20),
)
def test_shares_are_a_partition(cuts: list[float], border: float, times: list[float]) -> None:
    shares = Shots(tuple(cuts), border).shares(torch.tensor(times))
    assert shares.shape == (len(cuts) + 1, len(times))
    assert bool((shares >= 0).all()) and bool(((shares.sum(0) - 1).abs() < 1e-12).all())


def test_a_border_is_a_ramp_around_the_cut() -> None:
    times = torch.tensor([0.0, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0])
    assert Shots((2.0,), border=1.0).shares(times)[1].tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert Shots((2.0,)).shares(times)[1].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert Shots((2.0, 5.0), border=1.0).seen_from(1.0, pace=2.0) == Shots((2.0, 8.0), border=2.0)


def test_impossible_shots_are_refused() -> None:
    for cuts, border in (((2.0, 2.0), 0.0), ((3.0, 2.0), 0.0), ((float("nan"),), 0.0), ((2.0,), -1.0)):
        with pytest.raises(ValueError, match="Cuts"):
            Shots(cuts, border)
    with pytest.raises(ValueError, match="1 cuts need 2 texts"):
        TimedText((torch.zeros(1, 2, 4),), Shots((1.0,)))


# Attention


def test_each_run_attends_to_its_own_texts_alone() -> None:
    """Against a masked attention over all texts, and a mix of two of them."""
    torch.manual_seed(0)
    attention = Attention(16, context_dim=12, heads=2, head_dim=8, gated=True)
    x, texts = torch.randn(2, 7, 16), torch.randn(3, 4, 12)
    shares = torch.tensor([0.25, 0.75]).view(2, 1, 1)
    reading = TextReading(
        (
            (TextRun(3, (0,)), TextRun(4, (0, 1), shares), TextRun(7, (1,))),
            (TextRun(7, (2,)),),
        )
    )
    out = attention(x, keys_values=attention.keys_values(texts), reading=reading)
    alone = [attention(x, texts[number : number + 1]) for number in range(3)]
    torch.testing.assert_close(out[0, :3], alone[0][0, :3])
    torch.testing.assert_close(out[0, 4:], alone[1][0, 4:])
    torch.testing.assert_close(out[1], alone[2][1])
    mixed = 0.25 * alone[0][0, 3] + 0.75 * alone[1][0, 3]
    torch.testing.assert_close(out[0, 3], mixed)  # all that follows the attention is linear
    visible = torch.full((7, 8), -torch.inf)
    visible[:3, :4], visible[3:, 4:] = 0, 0
    masked = attention(x[:1], torch.cat([texts[:1], texts[1:2]], dim=1), mask=visible)
    torch.testing.assert_close(out[0, :3], masked[0, :3])
    torch.testing.assert_close(out[0, 4:], masked[0, 4:])


# The model


def _inputs(version: str, model: LTXModel, batch: int = 1) -> tuple[Modality, Modality, list, list]:
    """Both streams of a clip of 2 s, and two texts for each."""
    torch.manual_seed(1)
    video_stream, audio_stream = model.options.video, model.options.audio
    made, texts = [], []
    for tool, stream, golden in zip(
        tools(PIXELS._replace(batch=batch), RULES[version], channels=video_stream.in_channels),
        (video_stream, audio_stream),
        golden_modalities(version),
        strict=True,
    ):
        count, sigma = tool.target_shape.token_count(), 0.7
        width = golden.context.shape[-1]
        texts.append([torch.randn(1, 6, width) for _ in range(2)])
        made.append(
            Modality(
                latent=torch.randn(batch, count, stream.in_channels),
                sigma=torch.full((batch,), sigma),
                timesteps=torch.full((batch, count, 1), sigma),
                positions=tool.target_positions(),
                context=texts[-1][0],
            )
        )
    return *made, *texts


def _timed(modality: Modality, texts: list, border: float = 0.0, cut: float = CUT) -> Modality:
    found, reading = lay_out_texts([TimedText(tuple(texts), Shots((cut,), border))], [0], modality.positions)
    return replace(modality, context=torch.cat(found), text_reading=reading)


def _within_shots(modality: Modality) -> Modality:
    """Every token sees the tokens of its own shot alone."""
    later = modality.positions[0, 0].mean(-1) >= CUT
    return replace(modality, attention_mask=(later[:, None] == later[None, :]).float()[None])


@pytest.mark.parametrize("version", ALL)
def test_a_token_of_one_shot_reads_nothing_of_the_other_text(version: str) -> None:
    """Where no attention joins the shots, each is exactly what its own prompt makes of it."""
    model = load_transformer(version)
    video, audio, *texts = _inputs(version, model)
    video, audio = _within_shots(video), _within_shots(audio)
    apart = BatchedPerturbationConfig([ISOLATED])
    out = model(_timed(video, texts[0]), _timed(audio, texts[1]), apart)
    for number in (0, 1):
        own = (replace(one, context=text[number]) for one, text in zip((video, audio), texts, strict=True))
        alone = model(*own, apart)
        for stream, result, single in zip((video, audio), out, alone, strict=True):
            inside = (stream.positions[0, 0].mean(-1) >= CUT) == bool(number)
            assert 0 < int(inside.sum()) < len(inside)
            assert_close(result[:, inside], single[:, inside])
            assert not torch.allclose(result[:, ~inside], single[:, ~inside], atol=1e-3)


@pytest.mark.parametrize("version", ALL)
def test_equal_texts_are_the_plain_prompt(version: str) -> None:
    model = load_transformer(version)
    video, audio, *texts = _inputs(version, model)
    plain = model(video, audio)
    for border in (0.0, 0.8):
        both = [[text[0], text[0].clone()] for text in texts]
        shots = model(_timed(video, both[0], border), _timed(audio, both[1], border))
        for one, other in zip(shots, plain, strict=True):
            assert_close(one, other)


def test_texts_that_are_kept_between_passes_change_nothing() -> None:
    model = load_transformer("2.0")
    video, audio, *texts = _inputs("2.0", model)
    video, audio = _timed(video, texts[0], border=0.8), _timed(audio, texts[1], border=0.8)
    expected = model(video, audio)
    with model.keep_text():
        for _ in range(2):
            for one, other in zip(model(video, audio), expected, strict=True):
                assert torch.equal(one, other)


def test_compiled_blocks_share_one_graph() -> None:
    model = load_transformer("2.3")
    video, audio, *texts = _inputs("2.3", model)
    video, audio = _timed(video, texts[0], border=0.8), _timed(audio, texts[1])
    expected = model(video, audio)
    torch._dynamo.reset()
    counter = CompileCounter()
    model.compile_blocks(backend=counter)
    try:
        for one, other in zip(model(video, audio), expected, strict=True):
            assert_close(one, other)
    finally:
        torch._dynamo.reset()
    assert counter.frame_count == 1


def test_a_reading_that_does_not_fit_is_refused() -> None:
    model = load_transformer("2.3")
    video, audio, *texts = _inputs("2.3", model)
    timed = _timed(video, texts[0])
    runs = timed.text_reading.rows[0]
    with pytest.raises(ValueError, match=r"text_reading has runs that stop at \[\[4\]\]"):
        model(replace(timed, text_reading=TextReading(((TextRun(4, (0,)),),))), audio)
    with pytest.raises(ValueError, match="text_reading has runs"):
        model(replace(timed, text_reading=TextReading((runs, runs))), audio)
    with pytest.raises(ValueError, match="context_mask and a text_reading"):
        model(replace(timed, context_mask=torch.ones(1, 6)), audio)
    with pytest.raises(ValueError, match=r"video\.context has shape"):
        model(replace(timed, context=texts[0][0]), audio)
    with pytest.raises(ValueError, match="numbered without gaps"):
        TextReading(((TextRun(4, (1,)),),)).first_readers()


# Passes


def _run(
    model: LTXModel,
    version: str,
    positive: tuple,
    negative: tuple | None = None,
    *,
    batch: int = 1,
    limit: int | None = None,
    loop: object = euler_denoising_loop,
    video_items: tuple = (),
    audio_items: tuple = (),
) -> list[torch.Tensor]:
    video, audio = tools(PIXELS._replace(batch=batch), RULES[version], channels=model.options.video.in_channels)
    if negative is None:
        denoiser = SimpleDenoiser(*positive, max_batch_size=limit)
    else:
        params = MultiModalGuiderParams(cfg_scale=3, stg_scale=1, stg_blocks=(1,), modality_scale=2)
        guiders = [MultiModalGuider(params, negative_context=one) for one in negative]
        denoiser = GuidedDenoiser(*positive, *guiders, max_batch_size=limit)
    states = denoise_stage(
        transformer=X0Model(model),
        denoiser=denoiser,
        sigmas=SIGMAS,
        noiser=GaussianNoiser(seeded_generators([5, 6][:batch])),
        device="cpu",
        dtype=torch.float32,
        video=StageModality(video, video_items),
        audio=StageModality(audio, audio_items),
        loop=loop,
    )
    return [state.latent for state in states]


def _contexts(version: str, model: LTXModel, border: float = 0.4) -> tuple[tuple, tuple, list]:
    """Shots for both streams, a negative prompt for both, and the texts of the shots."""
    *_, video, audio = _inputs(version, model)
    shots = Shots((CUT,), border)
    timed = TimedText(tuple(video), shots), TimedText(tuple(audio), shots)
    return timed, tuple(torch.randn_like(text[0]) for text in (video, audio)), [video, audio]


@pytest.mark.parametrize("version", ALL)
def test_all_passes_in_one_call_or_one_after_another(version: str) -> None:
    """Positive shots, a plain negative prompt, forks and two samples: the same however the rows are laid out."""
    model = load_transformer(version)
    positive, negative, _ = _contexts(version, model)
    together = _run(model, version, positive, negative, batch=2)
    single = _run(model, version, positive, negative, batch=2, limit=1)
    alone = _run(model, version, positive, negative, batch=1)
    for one, other, first in zip(together, single, alone, strict=True):
        assert_close(one, other)
        assert_close(one[:1], first)


def test_each_sample_of_a_batch_has_shots_of_its_own() -> None:
    model = load_transformer("2.3")
    (video, audio), _, _ = _contexts("2.3", model)
    swapped = [TimedText(one.texts[::-1], one.shots) for one in (video, audio)]
    both = [
        TimedText(tuple(torch.cat(pair) for pair in zip(one.texts, other.texts, strict=True)), one.shots)
        for one, other in zip((video, audio), swapped, strict=True)
    ]
    batch = _run(model, "2.3", tuple(both), batch=2)
    for one, first in zip(batch, _run(model, "2.3", (video, audio)), strict=True):
        assert_close(one[:1], first)
    second = _run(model, "2.3", tuple(swapped), batch=2)
    for one, other in zip(batch, second, strict=True):
        assert_close(one[1:], other[1:])
        assert not torch.allclose(one[:1], other[:1], atol=1e-3)


@pytest.mark.parametrize("version", ALL)
def test_a_single_shot_is_bit_for_bit_the_plain_prompt(version: str) -> None:
    model = load_transformer(version)
    _, negative, texts = _contexts(version, model)
    plain = tuple(text[0] for text in texts)
    for shots in (Shots(()), Shots((50.0,), border=1.0)):  # one shot, and one that covers the whole clip
        timed = tuple(TimedText(tuple(text[: len(shots.cuts) + 1]), shots) for text in texts)
        for guided in (None, negative):
            for one, other in zip(
                _run(model, version, timed, guided), _run(model, version, plain, guided), strict=True
            ):
                assert torch.equal(one, other)


# Guides, windows, tiles: what each token is given


class Reading:
    """A model that predicts, for every token, the mean of the texts that it reads."""

    def __init__(self) -> None:
        self.calls: list[tuple[Modality, Modality]] = []

    def __call__(self, video: Modality, audio: Modality, perturbations: object, forks: object) -> tuple:
        self.calls.append((video, audio))
        return tuple(_read(one)[..., None].expand_as(one.latent) for one in (video, audio))


def _read(modality: Modality) -> torch.Tensor:
    means = modality.context.mean((1, 2))
    if modality.text_reading is None:
        return means[:, None].expand(modality.latent.shape[:2])
    rows = []
    for runs in modality.text_reading.rows:
        parts, start = [], 0
        for run in runs:
            weights = torch.ones(1, run.stop - start) if run.weights is None else run.weights[..., 0]
            parts.append((weights * means[list(run.texts), None]).sum(0))
            start = run.stop
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def _stage(
    loop: object, denoiser: object, video_items: tuple = (), audio_items: tuple = (), pixels: VideoPixelShape = PIXELS
) -> tuple[Reading, list[torch.Tensor]]:
    model = Reading()
    video, audio = tools(pixels)
    states = denoise_stage(
        transformer=model,
        denoiser=denoiser,
        sigmas=torch.tensor([1.0, 0.0]),
        noiser=GaussianNoiser(seeded_generators(5)),
        device="cpu",
        dtype=torch.float32,
        video=StageModality(video, video_items),
        audio=StageModality(audio, audio_items),
        loop=loop,
    )
    return model, [state.latent for state in states]


def _numbers(count: int, cuts: tuple[float, ...], border: float = 0.0, start: float = 0.0) -> TimedText:
    """Shots whose texts are their numbers."""
    texts = tuple(torch.full((1, 2, 4), float(number)) for number in range(count))
    return TimedText(texts, Shots(cuts, border).seen_from(start))


def test_tokens_of_guides_read_the_text_of_their_time() -> None:
    channels, frames = 128, PIXELS.frames
    _, audio = tools(PIXELS)
    items = (
        VideoConditionByReferenceLatent(torch.zeros(1, channels, 5, 1, 2), strength=1.0),
        VideoConditionByKeyframeIndex(torch.zeros(1, channels, 1, 1, 2), frame_idx=frames - 1, strength=1.0),
        VideoConditionByKeyframeIndex(torch.zeros(1, channels, 1, 1, 2), frame_idx=-1, strength=1.0),
    )
    identity = audio.target_shape._replace(frames=3)
    before = AudioConditionByReferenceLatent(torch.zeros(1, 3, 128), positions_before_start(identity, audio.patchifier))
    text = _numbers(2, (CUT,))
    model, _ = _stage(euler_denoising_loop, SimpleDenoiser(text, text), items, (before,))
    seen, heard = (_read(one)[0].tolist() for one in model.calls[0])
    # Latent frames have their middles at 1/32 s, then at (5, 13, 21, 29) / 16 s: the cut at 1 s lies between 2 and 3.
    clip = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert seen == [*clip, *clip, 1, 1, 0, 0]
    middles = audio.target_positions()[0, 0].mean(-1)
    assert heard == [*(middles >= CUT).float().tolist(), 0, 0, 0]


def test_windows_read_the_texts_of_their_part_of_the_clip() -> None:
    pixels = PIXELS._replace(frames=65)  # 4.06 s
    video, audio = tools(pixels)
    cuts, windows = (1.0, 3.0), temporal_windows(9, size=4, overlap=1)
    assert [window.start for window in windows] == [0, 3, 6]

    def denoiser(index: int, parts: object) -> SimpleDenoiser:
        text = _numbers(3, cuts, start=parts.video.shift[0].item())
        return SimpleDenoiser(text, text)

    whole, expected = _stage(euler_denoising_loop, SimpleDenoiser(_numbers(3, cuts), _numbers(3, cuts)), pixels=pixels)
    loop = WindowedLoop(windows, (video, audio), loop_of=lambda index: euler_denoising_loop, denoiser_of=denoiser)
    model, found = _stage(loop, None, pixels=pixels)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert [int(one.text_reading is None) for one, _ in model.calls] == [0, 1, 0]
    assert model.calls[1][0].context.unique().tolist() == [1.0], "a window inside one shot is given its text alone"
    assert whole.calls[0][0].context.shape[0] == 3


def test_tiles_read_the_texts_of_their_frames() -> None:
    video, audio = tools(PIXELS)
    shape, text = video.target_shape, _numbers(2, (CUT,), border=1.0)
    tiles = latent_tiles((shape.frames, shape.height, shape.width), (AxisTiling(), AxisTiling(), AxisTiling(2, 0)))
    assert len(tiles) == 2
    tiled = TiledDenoiser(tiles, [SimpleDenoiser(text, text) for _ in tiles], (video, audio))
    _, plain = _stage(euler_denoising_loop, SimpleDenoiser(text, text))
    _, found = _stage(euler_denoising_loop, tiled)
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other)
    expected = Shots((CUT,), 1.0).shares(video.target_positions()[0, 0].mean(-1))[1].float().view(5, 1, 2)
    torch.testing.assert_close(plain[0][0, 0], expected)
    assert 0 < int(((expected > 0) & (expected < 1)).sum()) < 10


# A rank's part of the tokens


def test_a_part_of_the_tokens_has_the_texts_that_it_reads_and_no_others() -> None:
    shares = torch.tensor([[0.75, 0.5, 0.25], [0.25, 0.5, 0.75]])[..., None]
    reading = TextReading(((TextRun(3, (0,)), TextRun(6, (0, 1), shares), TextRun(9, (1,))), (TextRun(9, (2,)),)))
    part, texts = reading.part(5, 8).renumbered()
    assert texts == (0, 1, 2)
    assert [(run.stop, run.texts) for run in part.rows[0]] == [(1, (0, 1)), (3, (1,))]
    assert torch.equal(part.rows[0][0].weights, shares[:, 2:])
    assert [(run.stop, run.texts) for run in part.rows[1]] == [(3, (2,))]
    late, texts = reading.part(6, 9).renumbered()
    assert texts == (1, 2)
    assert [[(run.stop, run.texts) for run in runs] for runs in late.rows] == [[(3, (0,))], [(3, (1,))]]
    kept, context = TensorCache(4), torch.randn(3, 2, 5)
    own, read = read_texts(context, reading.part(6, 9), kept)
    assert torch.equal(own, context[1:])
    assert read_texts(context, reading.part(7, 8), kept)[0] is own, "the same object in every step"
    assert [run.texts for runs in read.rows for run in runs] == [(0,), (1,)]
    assert read_texts(context, reading.part(0, 9), kept)[0] is context
    nothing, unread = read_texts(context, reading.part(9, 9), kept)
    assert nothing.shape == (1, 2, 5) and unread is None
