"""The tables "what can be loaded" are what the loaders do, and are up to date."""

from __future__ import annotations

import pytest
from torch import nn

from ltx_core_impl.quantization.catalogue import EXAMPLES
from ltx_core_impl.quantization.formats import StoredFormat, stored_format
from ltx_core_impl.quantization.gguf_blocks import BLOCK_TYPES
from ltx_core_impl.quantization.packed import PackedLinear
from tools import loadable


@pytest.mark.parametrize("name", loadable.sections())
def test_pages_are_up_to_date(name: str) -> None:
    text = (loadable.PAGES / f"{name}.md").read_text("utf-8")
    assert loadable.BEGIN in text
    assert text == loadable.page(name, loadable.sections()[name]), "run python -m tools.loadable"


def test_every_stored_format_and_every_block_type_has_its_row() -> None:
    forms = {stored_format("layer", example.weight, example.auxiliary) for example in EXAMPLES}
    assert forms == set(StoredFormat)
    named = " ".join(example.name for example in EXAMPLES)
    assert [name for name in BLOCK_TYPES if name not in named] == []


def test_rows_follow_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a packed format whose layers are widened from now on changes its row."""
    before = loadable.transformer_list()
    assert "mxfp8" in before and loadable.kept_in_transformer(EXAMPLES[5]) is PackedLinear
    monkeypatch.setattr("ltx_core_impl.loader.plan.packing_of", lambda form, weight: None)
    assert loadable.kept_in_transformer(EXAMPLES[5]) is nn.Linear
    assert loadable.transformer_list() != before
