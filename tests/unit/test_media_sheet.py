"""Reference sheets: panels keep their shapes, do not touch, fill the sheet, and stand on pure black."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ltx_core_impl.media.sheet import MOST_PANELS, panel_boxes, reference_sheet, trimmed

SHAPES = st.lists(st.floats(0.3, 3.0), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from([(448, 768), (768, 448), (1088, 1920)]), st.sampled_from([0, 8, 24]))
@example([1.0, 3.0, 2.0], (448, 768), 24)  # its rows fill the height to a rounding error
def test_panels_are_whole_apart_and_inside(aspects: list[float], size: tuple[int, int], gap: int) -> None:
    height, width = size
    boxes = panel_boxes(aspects, height, width, gap)
    assert sorted(boxes) == list(range(len(aspects)))
    for number, box in boxes.items():
        assert gap <= box.left and box.left + box.width <= width - gap
        assert gap <= box.top and box.top + box.height <= height - gap
        assert abs(box.width - aspects[number] * box.height) <= 1
    for one, other in combinations(boxes.values(), 2):
        apart_x = max(one.left, other.left) - min(one.left + one.width, other.left + other.width)
        apart_y = max(one.top, other.top) - min(one.top + one.height, other.top + other.height)
        assert max(apart_x, apart_y) >= gap


def test_rows_are_chosen_for_large_panels_or_by_hand() -> None:
    # Four squares are 192 pixels high in one row of 768, 224 in two rows of 448.
    tops = {box.top for box in panel_boxes([1.0] * 4, 448, 768, 0).values()}
    assert len(tops) == 2
    boxes = panel_boxes([1.0] * 4, 448, 768, 0, rows=[[3, 1], [0, 2]])
    assert boxes[3].top == boxes[1].top < boxes[0].top == boxes[2].top and boxes[3].left < boxes[1].left
    assert panel_boxes([768 / 448], 448, 768, 0)[0] == (0, 0, 768, 448)
    partial = panel_boxes([1.0] * 3, 448, 768, 8, rows=[[2]])
    assert list(partial) == [2], "a picture that the layout leaves out stays out"


def test_cut_outs_lose_their_clear_border_and_stand_on_black() -> None:
    cut_out = torch.zeros(40, 60, 4)
    cut_out[10:30, 20:40] = torch.tensor([1.0, 0.5, 0.0, 1.0])
    cut_out[10, 20:40, 3] = 0.5
    panel = trimmed(cut_out)
    assert panel.shape == (20, 20, 3)
    torch.testing.assert_close(panel[0, 0], torch.tensor([0.5, 0.25, 0.0]))
    sheet = reference_sheet([cut_out, torch.ones(20, 20, 3)], 64, 128, gap=4)
    assert sheet.shape == (64, 128, 3)
    boxes = panel_boxes([1.0, 1.0], 64, 128, 4)
    outside = torch.ones(64, 128, dtype=torch.bool)
    for box in boxes.values():
        outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    assert not sheet[outside].any()
    middle = [sheet[box.top + box.height // 2, box.left + box.width // 2] for box in boxes.values()]
    torch.testing.assert_close(torch.stack(middle), torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]]))


def test_what_cannot_be_laid_out_is_refused() -> None:
    square = torch.ones(8, 8, 3)
    for pictures, options, words in (
        ([square] * (MOST_PANELS + 1), {"gap": 0}, "1 to 12 panels; got 13"),
        ([square], {"gap": 40}, "no room"),
        ([square], {"gap": 40, "rows": [[0]]}, "no room"),
        ([square], {"gap": 0, "rows": [[0, 4]]}, r"pictures \[5\]; there are 1 to 1"),
        ([torch.zeros(8, 8, 4)], {"gap": 0}, "all clear"),
    ):
        with pytest.raises(ValueError, match=words):
            reference_sheet(pictures, 64, 64, **options)
