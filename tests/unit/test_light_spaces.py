"""Primaries, spaces, films and the HLG signal: the check values of spec 08 §2, and round trips."""

from __future__ import annotations

import math

import pytest
import torch

from ltx_core_impl.light.curves import (
    HLG_WHITE,
    acescct_compress,
    acescct_decompress,
    hlg_to_scene,
    light_to_pq,
    rolled_into_hlg,
    scene_to_hlg,
    srgb_curve,
    srgb_to_linear,
)
from ltx_core_impl.light.films import HLG, PQ, film_to_code, film_to_light
from ltx_core_impl.light.hlg import hlg_codes, hlg_signal
from ltx_core_impl.light.primaries import AP1, REC709, REC2020, Primaries, convert_primaries, matrix
from ltx_core_impl.light.spaces import EXR_SPACES, LOG_CODES, PICTURE_SPACES, delivered, from_code, to_code, to_rec709

MATRICES = [
    (
        AP1,
        REC709,
        "1.70505099 -0.62179212 -0.08325887 -0.13025642 1.14080474 -0.01054832 -0.02400336 -0.12896898 1.15297233",
    ),
    (
        REC709,
        AP1,
        "0.61309740 0.33952315 0.04737945 0.07019372 0.91635388 0.01345240 0.02061559 0.10956977 0.86981463",
    ),
    (
        REC709,
        REC2020,
        "0.62740390 0.32928304 0.04331307 0.06909729 0.91954040 0.01136232 0.01639144 0.08801331 0.89559525",
    ),
    (
        AP1,
        REC2020,
        "1.02582475 -0.02005319 -0.00577156 -0.00223437 1.00458650 -0.00235213 -0.00501335 -0.02529007 1.03030342",
    ),
]


@pytest.mark.parametrize(("source", "target", "printed"), MATRICES)
def test_matrices_to_the_printed_digit(source: Primaries, target: Primaries, printed: str) -> None:
    expected = [float(number) for number in printed.split()]
    assert [round(value, 8) for value in matrix(source, target).flatten().tolist()] == expected


def test_white_stays_white() -> None:
    white = torch.ones(1, 3, dtype=torch.float64)
    for source in (AP1, REC709, REC2020):
        for target in (AP1, REC709, REC2020):
            torch.testing.assert_close(convert_primaries(white, matrix(source, target)), white, rtol=0, atol=1e-12)


def test_acescct_check_values() -> None:
    codes = acescct_compress(torch.tensor([-1.0, 0.0, 0.18, 1.0, 1e9], dtype=torch.float64))
    assert codes.tolist() == pytest.approx([0.0729055, 0.0729055, 0.4135884, 0.5547945, 1.0], abs=5e-8)
    assert acescct_decompress(torch.tensor([1.0], dtype=torch.float64)).item() == pytest.approx(222.86, abs=5e-3)
    assert acescct_decompress(torch.zeros(1)).item() < 0


def test_srgb_both_ways() -> None:
    values = torch.linspace(0, 1, 257, dtype=torch.float64)
    torch.testing.assert_close(srgb_curve(srgb_to_linear(values)), values, rtol=0, atol=1e-6)
    assert srgb_to_linear(torch.tensor([0.02, 0.5, 2.0])).tolist() == pytest.approx([0.02 / 12.92, 0.2140411, 1.0])


def test_hlg_check_values() -> None:
    assert pytest.approx(0.26496256, abs=5e-9) == HLG_WHITE
    assert HLG_WHITE / (1 - HLG_WHITE) == pytest.approx(0.36047492, abs=5e-9)
    signal = hlg_signal(torch.ones(1, 3, dtype=torch.float64), REC709)
    assert signal.tolist() == [pytest.approx([0.75] * 3, abs=1e-9)]
    codes = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(scene_to_hlg(hlg_to_scene(codes)), codes, rtol=0, atol=1e-6)


def test_the_roll_off_is_smooth_and_ends_at_one() -> None:
    light = torch.linspace(0, 40, 4001, dtype=torch.float64)
    rolled = rolled_into_hlg(light)
    slopes = rolled.diff() / light.diff()
    assert (slopes >= 0).all() and (slopes.diff() < 1e-9).all()  # one bend, no edge
    assert slopes[0] == pytest.approx(HLG_WHITE) and slopes.diff().abs().max() < 2e-3
    odd = rolled_into_hlg(torch.tensor([math.nan, -1.0, math.inf]))
    assert odd.tolist() == [0.0, 0.0, 1.0]


def test_hlg_codes_of_grey_and_of_a_colour() -> None:
    luma, cb, cr = hlg_codes(torch.ones(2, 5, 7, 3), AP1)
    assert (luma.shape, cb.shape) == ((2, 4, 6), (2, 2, 3))
    assert luma.unique().tolist() == [round(0.75 * 876 + 64)] and cb.unique().tolist() == cr.unique().tolist() == [512]
    colour = torch.tensor([0.5, 0.1, 0.02]).expand(1, 2, 2, 3)
    red, green, blue = hlg_signal(colour, REC709)[0, 0, 0].tolist()
    y = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    planes = hlg_codes(colour, REC709)
    expected = [876 * y + 64, 896 * (blue - y) / 1.8814 + 512, 896 * (red - y) / 1.4746 + 512]
    assert [plane.flatten()[0].item() for plane in planes] == [round(value) for value in expected]


def test_chroma_is_the_mean_of_four() -> None:
    picture = torch.rand(1, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    signal = hlg_signal(picture, AP1)[0].reshape(4, 3)
    y = signal @ signal.new_tensor([0.2627, 0.6780, 0.0593])
    mean = ((signal[:, 2] - y) / 1.8814).mean().item()
    assert hlg_codes(picture, AP1).cb.item() == round(896 * mean + 512)


def test_ingest_by_definition() -> None:
    picture = torch.tensor([[0.5, 0.2, 0.9, 0.3]], dtype=torch.float64)
    assert to_code(picture, "acescct").tolist() == picture.tolist()
    linear = picture[:, :3]
    torch.testing.assert_close(to_code(linear, "acescg"), acescct_compress(linear))
    torch.testing.assert_close(to_code(linear, "srgb_linear"), acescct_compress(linear @ matrix(REC709, AP1).T))
    torch.testing.assert_close(to_code(linear, "srgb_gamma"), to_code(srgb_to_linear(linear), "srgb_linear"))
    assert to_code(picture, "srgb_gamma")[0, 3] == picture[0, 3]


@pytest.mark.parametrize("space", PICTURE_SPACES)
def test_odd_pixels_are_codes_too(space: str) -> None:
    code = to_code(torch.tensor([[math.nan, math.inf, -math.inf], [-5.0, 1e30, 0.0]]), space)
    assert code.isfinite().all() and code.min() >= 0 and code.max() <= 1


@pytest.mark.parametrize("space", ["srgb_linear", "acescg", "acescct"])
def test_in_and_out_again(space: str) -> None:
    """Within half precision (11 bits) for light above black's toe, from any space to code and back."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(4096, 3, generator=generator)
    if space == "acescct":
        picture = picture.clamp_min(0.0730)
    else:
        picture = torch.exp2(picture * 12 - 6)
    back = delivered(to_code(picture, space), "ACEScct", space)
    torch.testing.assert_close(back, picture, rtol=2.0**-11, atol=2e-5)


@pytest.mark.parametrize("log", LOG_CODES)
def test_all_exr_spaces_hold_the_same_light(log: str) -> None:
    code = torch.rand(512, 3, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.3
    light = to_rec709(code, log).double()
    bright = (light > 1e-3).all(-1)  # what lies outside Rec.709 is clipped there
    seen = {
        "srgb_linear": delivered(code, log, "srgb_linear").double(),
        "acescg": delivered(code, log, "acescg").double() @ matrix(AP1, REC709).T,
        "acescct": acescct_decompress(delivered(code, log, "acescct")).double() @ matrix(AP1, REC709).T,
        "linear": from_code(code, log).double()
        @ (matrix(AP1, REC709).T if log == "ACEScct" else torch.eye(3).double()),
    }
    assert seen.keys() == EXR_SPACES.keys() and bright.sum() > 50
    for space, found in seen.items():
        torch.testing.assert_close(found[bright], light[bright], rtol=1e-3, atol=1e-4, msg=space)


def test_films() -> None:
    assert film_to_light(torch.tensor([0.75]), HLG).item() == pytest.approx(1, abs=1e-6)
    assert film_to_light(torch.tensor([1.0]), HLG).item() == pytest.approx(1 / HLG_WHITE, rel=1e-5)
    white = light_to_pq(torch.tensor([203.0, 1000.0], dtype=torch.float64))
    assert white.tolist() == pytest.approx([0.5806888, 0.7518271], abs=1e-6)
    assert film_to_light(white, PQ).tolist() == pytest.approx([1, 1000 / 203], rel=1e-6)
    grey = torch.full((1, 3), 0.5)
    torch.testing.assert_close(film_to_code(grey, 1, 1), to_code(grey, "srgb_gamma"))
    torch.testing.assert_close(film_to_code(grey, 2, 9), to_code(grey, "srgb_gamma"), rtol=0, atol=1e-6)  # grey is grey
    wide = film_to_code(torch.tensor([[0.0, 0.6, 0.0]]), PQ, 9)
    assert wide[0, 1] > film_to_code(torch.tensor([[0.0, 0.6, 0.0]]), PQ, 1)[0, 1]


def test_an_hlg_film_of_light_up_to_white_comes_back() -> None:
    light = torch.rand(256, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    signal = hlg_signal(light, AP1)
    inside = (convert_primaries(light, matrix(AP1, REC2020)) >= 0).all(-1)
    inside &= (convert_primaries(light, matrix(AP1, REC2020)) <= 1).all(-1)
    back = acescct_decompress(film_to_code(signal, HLG, 9))
    torch.testing.assert_close(back[inside], light[inside], rtol=1e-5, atol=1e-6)
