"""Tokens, passes and weights over several ranks: the result of one rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltx_core_impl.parallel.exchange import Team
from ltx_core_impl.parallel.shares import share_of, shares
from ltx_core_impl.parallel.tiles import spread_tiles
from tests.golden_cases.test_video_vae_25 import diffusion_decoder
from tests.parallel_cases import VERSIONS, decoded_differences, differences, sent, sharded_differences
from tests.rank_group import run_ranks

pytestmark = pytest.mark.timeout(300)
ALLOWED = 1e-5


def _worst(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: max(result[name] for result in results) for name in results[0]}


@pytest.mark.parametrize(("size", "splits"), [(2, ("tokens", "auto")), (3, ("tokens", "passes"))])
def test_several_ranks_give_what_one_gives(size: int, splits: tuple[str, ...], tmp_path: Path) -> None:
    results = run_ranks(differences, size, tmp_path, splits)
    seen = [{name: result.pop(name) for name in list(result) if name.startswith("seen ")} for result in results]
    for version in VERSIONS:
        plain = [counts[f"seen {version} {splits[0]}: plain"] for counts in seen]
        assert sum(plain) == seen[0][f"seen {version} alone: plain"], "each token is on one rank"
        assert max(plain) - min(plain) <= 2, "one token for each of two rows"
        for split in splits[1:]:
            rows = [counts[f"seen {version} {split}: forked"] for counts in seen]
            assert max(rows) < seen[0][f"seen {version} alone: forked"]
    worst = _worst(results)
    assert len(worst) > 90
    assert not {name: error for name, error in worst.items() if not error < ALLOWED}


def test_passes_and_tokens_are_shared_out_at_once(tmp_path: Path) -> None:
    results = run_ranks(differences, 4, tmp_path, ("auto",), ("2.5",))
    seen = [{name: result.pop(name) for name in list(result) if name.startswith("seen ")} for result in results]
    plain = [counts["seen 2.5 auto: plain"] for counts in seen]
    assert sum(plain) == seen[0]["seen 2.5 alone: plain"]
    assert max(plain) - min(plain) <= 1, "half the tokens of one of two rows on each of four ranks"
    assert not {name: error for name, error in _worst(results).items() if not error < ALLOWED}


@pytest.mark.parametrize("size", [2, 3])
def test_as_many_bytes_travel_as_the_page_about_scaling_counts(size: int, tmp_path: Path) -> None:
    first = run_ranks(sent, size, tmp_path)[0]  # the one with the largest shares
    assert first["counted"] == first["told"] > 0


def test_sharded_weights_give_what_whole_ones_give(tmp_path: Path) -> None:
    worst = _worst(run_ranks(sharded_differences, 2, tmp_path))
    held = {name: worst.pop(name) for name in list(worst) if name.startswith("share ")}
    assert not {name: error for name, error in worst.items() if not error < ALLOWED}
    assert all(0.4 < share < 0.6 for share in held.values()), held


def test_tiles_over_ranks_give_the_same_video(tmp_path: Path) -> None:
    results = run_ranks(decoded_differences, 2, tmp_path)
    tiles = [{name: result.pop(name) for name in list(result) if name.startswith("tiles ")} for result in results]
    assert all(error < ALLOWED for result in results for error in result.values()), results
    for name in results[0]:
        alone = tiles[0][f"tiles {name} on 1"]
        shared = [counts[f"tiles {name} on 2"] for counts in tiles]
        assert alone > 2
        assert sum(shared) == alone, f"{name}: each tile runs on one rank, once for each step"
        assert max(shared) <= -(-alone // 2) + 1


def test_tiles_that_draw_noise_in_turn_are_refused() -> None:
    with pytest.raises(ValueError, match="draws noise tile by tile"):
        spread_tiles(diffusion_decoder().with_steps(1), Team(size=2))


def test_shares_are_whole_and_nearly_equal() -> None:
    assert shares(32, 3) == (11, 11, 10)
    assert shares(2, 3) == (1, 1, 0)
    assert [share_of(7, 3, rank) for rank in range(3)] == [slice(0, 3), slice(3, 5), slice(5, 7)]
