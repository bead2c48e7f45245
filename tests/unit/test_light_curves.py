"""HDR curves (spec 03 §9, §14, §19.6)."""

from __future__ import annotations

import pytest
import torch

from ltx_core_impl.light.curves import acescct_compress, acescct_decompress, logc3_compress, logc3_decompress
from ltx_core_impl.light.log_curves import ACESCCT, LOGC3, REC709_TO_ACESCG, HdrCurve
from ltx_core_impl.light.primaries import convert_primaries


def test_logc3() -> None:
    out = logc3_compress(torch.tensor([0, 0.005, 0.010591, 0.18, 1, 4, 55, 100]))
    expected = [0.0928090, 0.1196473, 0.1496576, 0.3910068, 0.5706316, 0.7187016, 0.9998448, 1.0]
    assert out.tolist() == pytest.approx(expected, abs=1e-6)
    back = logc3_decompress(torch.tensor([0, 0.1, 0.391, 0.5, 0.75, 1]))
    expected = [-0.0172904, 0.0013397, 0.1799880, 0.5133834, 5.3571644, 55.0795593]
    assert back.tolist() == pytest.approx(expected, rel=1e-4)


def test_acescct() -> None:
    out = acescct_compress(torch.tensor([0, 0.0078125, 0.18, 1, 16, 100, 1000]))
    expected = [0.0729055, 0.1552511, 0.4135884, 0.5547945, 0.7831050, 0.9340101, 1.0]
    assert out.tolist() == pytest.approx(expected, abs=1e-6)
    linear = torch.tensor([0.001, 0.0078125, 0.18, 16, 100])
    torch.testing.assert_close(acescct_decompress(acescct_compress(linear)), linear, rtol=1e-4, atol=1e-6)


def test_primaries() -> None:
    rgb = torch.tensor([1.0, 0.5, 0.25])
    assert convert_primaries(rgb, REC709_TO_ACESCG).tolist() == pytest.approx(
        [0.7947057, 0.5317391, 0.2928535], abs=1e-6
    )
    assert ACESCCT.to_working_space(rgb).tolist() == pytest.approx([0.5358729, 0.5027848, 0.4536673], abs=1e-6)


@pytest.mark.parametrize("curve", [LOGC3, ACESCCT])
def test_round_trip_and_floor(curve: HdrCurve) -> None:
    linear = torch.rand(2, 3, 4, 3, generator=torch.Generator().manual_seed(0)) * 20
    torch.testing.assert_close(curve.to_linear(curve.to_working_space(linear)), linear, rtol=1e-3, atol=1e-3)
    assert curve.to_linear(torch.zeros(1, 3)).min() == 0
