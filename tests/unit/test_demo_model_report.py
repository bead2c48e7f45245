"""The page about the demo model says what was measured, also where a target was missed."""

from __future__ import annotations

from tools.demo_model import report

RESULTS = {
    "settings": {"steps": 10, "cfg": 3.0, "clips": 4},
    "prompt adherence": {"color": 0.5, "clips judged by color": 4, "pitch": 1.0, "clips judged by pitch": 4},
    "without CFG": {"color": 0.25},
    "distilled": {"color": 0.75, "clips judged by color": 4, "mean distance of beep and bounce, seconds": 0.1},
    "reconstruction": {"video PSNR, dB": 25.0},
}


def test_a_missed_target_is_reported_with_its_distance() -> None:
    page = report.render(RESULTS)
    assert "| color | 4 | 50.0 % | 25.0 % |  | 95.0 % | no, 45.0 % short |" in page
    assert "| pitch | 4 | 100.0 % |  |  | 90.0 % | yes |" in page
    assert "| video PSNR, dB | 25.0 |" in page
    assert "| color | 75.0 % |" in page
    assert "0.1" not in page
    assert "{" not in page
