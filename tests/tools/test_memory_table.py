"""The page that says what fits which card is what the code computes."""

from __future__ import annotations

import pytest

from tools import memory_table


def test_the_page_is_what_the_code_gives() -> None:
    assert memory_table.PAGE.read_text(encoding="utf-8") == memory_table.page(), "run python3 tools/memory_table.py"


def test_estimates_lie_within_a_fifth_of_the_measured() -> None:
    size = memory_table.SIZES[0]
    bf16, _ = memory_table.transformers()
    width, height, frames = size
    forward = memory_table.activations(bf16.model, size, rows=1) / memory_table.GIB
    decode = memory_table.convolution_bytes(width * height * frames, memory_table.ITEMSIZE) / memory_table.GIB
    assert forward == pytest.approx(memory_table.MEASURED_FORWARD, rel=0.2)
    assert decode == pytest.approx(memory_table.MEASURED_DECODE, rel=0.2)


def test_smaller_cards_hold_fewer_blocks() -> None:
    for weights in memory_table.transformers():
        kept = [memory_table.placement(weights, (1280, 704, 121), card) for card in memory_table.CARDS]
        numbers = [48 if text == "all" else int(text.split()[0]) for text in kept]
        assert numbers == sorted(numbers)
        assert numbers[-1] == 48


def test_a_clip_that_is_too_large_for_a_card() -> None:
    bf16, _ = memory_table.transformers()
    assert memory_table.placement(bf16, (3840, 2176, 241), 8) == "no"
