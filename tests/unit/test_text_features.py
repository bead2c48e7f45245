"""Feature extractors on inputs worked out by hand (spec 05 §17.1)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ltx_core_impl.text_encoders.gemma import FeatureExtractorV1, FeatureExtractorV2
from ltx_core_impl.text_encoders.gemma.feature_extractor import normalize_by_range, normalize_by_rms

MASK = torch.tensor([[0, 1, 1, 1]])

BY_RANGE = [
    [0.0] * 6,
    [-3.5454526, -2.8333309, -2.1886773, -4.0909066, -4.1666636, -4.1509409],
    [0.0909098, 0.5000009, 0.8301893, -0.0909081, -0.4999985, -0.8301872],
    [3.7272723, 3.8333328, 3.8490560, 3.9090900, 3.1666663, 2.4905660],
]
BY_RMS = [
    [0.0] * 6,
    [1.0775442, 1.1404285, 1.1721689, 0.9159126, 0.8363143, 0.7912140],
    [1.0125769, 1.0616691, 1.0953537, 0.9872625, 0.9342689, 0.8945389],
    [0.9917016, 1.0289667, 1.0577254, 1.0082300, 0.9701686, 0.9387313],
]


def hidden_states() -> Tensor:
    """``h_l[t, d] = 0.5 l + t − 0.25 d (l + 1) + 0.1 t d`` as ``(1, 4, 2, 3)``."""
    t, d, layer = (torch.arange(n, dtype=torch.float32) for n in (4, 2, 3))
    t, d = t[:, None, None], d[None, :, None]
    return (0.5 * layer + t - 0.25 * d * (layer + 1) + 0.1 * t * d)[None]


def projection(rows: int) -> Tensor:
    """``W[i, j] = 0.01 (i + 1) (j + 1) (−1)^j`` as ``(rows, 6)``."""
    i, j = torch.arange(rows)[:, None], torch.arange(6)
    return 0.01 * (i + 1) * (j + 1) * (-1.0) ** j


def test_range_normalisation() -> None:
    torch.testing.assert_close(normalize_by_range(hidden_states(), MASK)[0], torch.tensor(BY_RANGE), atol=2e-6, rtol=0)


def test_rms_normalisation() -> None:
    torch.testing.assert_close(normalize_by_rms(hidden_states(), MASK)[0], torch.tensor(BY_RMS), atol=2e-6, rtol=0)


def test_shared_projection() -> None:
    extractor = FeatureExtractorV1(6, out_features=2)
    extractor.aggregate_embed.weight.data = projection(2)
    video, audio = extractor(hidden_states(), MASK)
    expected = [[0.0, 0.0], [0.1599113, 0.3198226], [0.0442624, 0.0885248], [-0.0713865, -0.1427730]]
    torch.testing.assert_close(video[0], torch.tensor(expected), atol=1e-6, rtol=0)
    assert audio is video


def test_projection_per_stream() -> None:
    extractor = FeatureExtractorV2(6, video_features=4, audio_features=3)
    extractor.load_state_dict(
        {
            "video_aggregate_embed.weight": projection(4),
            "video_aggregate_embed.bias": 0.1 * torch.arange(1, 5),
            "audio_aggregate_embed.weight": 0.5 * projection(3),
            "audio_aggregate_embed.bias": -0.1 * torch.arange(1, 4),
        }
    )
    video, audio = extractor(hidden_states(), MASK)
    expected_video = [
        [0.1, 0.2, 0.3, 0.4],
        [0.0729013, 0.1458026, 0.2187038, 0.2916051],
        [0.0617099, 0.1234198, 0.1851297, 0.2468396],
    ]
    expected_audio = [[-0.1117341, -0.2234682, -0.3352023], [-0.1165801, -0.2331602, -0.3497403]]
    torch.testing.assert_close(video[0, [0, 1, 3]], torch.tensor(expected_video), atol=1e-6, rtol=0)
    torch.testing.assert_close(audio[0, [1, 3]], torch.tensor(expected_audio), atol=1e-6, rtol=0)


def test_range_normalisation_of_bfloat16_is_float32() -> None:
    normalized = normalize_by_range(hidden_states().bfloat16(), MASK)
    assert normalized.dtype == torch.float32
    expected = [-3.5809515, -2.8398256, -2.1960773, -4.1238084, -4.1645007, -4.1490183]
    torch.testing.assert_close(normalized[0, 1], torch.tensor(expected), atol=2e-6, rtol=0)


def test_rms_normalisation_of_bfloat16_stays_bfloat16() -> None:
    normalized = normalize_by_rms(hidden_states().bfloat16(), MASK)
    assert normalized.dtype == torch.bfloat16
    assert normalized[0, 1].tolist() == [1.078125, 1.140625, 1.171875, 0.91796875, 0.8359375, 0.79296875]


@pytest.mark.parametrize("normalize", [normalize_by_range, normalize_by_rms])
def test_garbage_in_padding_does_not_leak(normalize) -> None:
    hidden = hidden_states()
    hidden[:, 0] = float("nan")
    assert torch.equal(normalize(hidden, MASK), normalize(hidden_states(), MASK))


@pytest.mark.parametrize("normalize", [normalize_by_range, normalize_by_rms])
def test_inputs_are_not_changed_and_tokens_alone_give_the_same(normalize) -> None:
    hidden = hidden_states()
    padded = normalize(hidden, MASK)
    assert torch.equal(hidden, hidden_states())
    alone = normalize(hidden[:, 1:], MASK[:, 1:])
    torch.testing.assert_close(alone, padded[:, 1:], atol=1e-6, rtol=0)


def test_loading_adopts_the_stored_number_of_hidden_states() -> None:
    with torch.device("meta"):
        extractor = FeatureExtractorV1(49 * 2, out_features=2)
    extractor.load_state_dict({"aggregate_embed.weight": projection(2)}, assign=True)
    assert extractor.in_features == 6
    assert extractor(hidden_states(), MASK).video.shape == (1, 4, 2)
