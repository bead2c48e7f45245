"""Registers, masks, rotary tables, the connector and its configuration (spec 05 §7.1, §9, §17)."""

from __future__ import annotations

import json

import pytest
import torch

from ltx_core_impl.model.transformer.rope import RopeType, frequency_grid, precompute_rope
from ltx_core_impl.text_encoders.gemma import (
    EmbeddingsProcessorConfigurator,
    FeatureExtractorV1,
    FeatureExtractorV2,
    UnknownTextProjectionError,
    VideoEmbeddingsProcessorConfigurator,
    convert_to_additive_mask,
)
from ltx_core_impl.text_encoders.gemma.embeddings_connector import convert_to_binary_mask, replace_padding
from tests.conftest import TESTS, checkpoint_path, config
from tests.text_helpers import spec_connector

REGISTERS = torch.tensor([[100.0, 101.0], [200.0, 201.0]])
FEATURES = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]])
V2_FLAGS = {
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
}


def additive(*mask: int) -> torch.Tensor:
    return convert_to_additive_mask(torch.tensor([mask]), torch.float32)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ((0, 1, 1, 1), [[3, 4], [5, 6], [7, 8], [200, 201]]),
        ((1, 1, 1, 0), [[1, 2], [3, 4], [5, 6], [200, 201]]),
        ((0, 0, 0, 1), [[7, 8], [200, 201], [100, 101], [200, 201]]),
        ((1, 1, 1, 1), FEATURES[0].tolist()),
    ],
)
def test_registers_replace_padding(mask: tuple[int, ...], expected: list[list[float]]) -> None:
    assert replace_padding(FEATURES, additive(*mask), REGISTERS)[0].tolist() == expected


def test_rows_of_a_batch_are_aligned_independently() -> None:
    masks = ((0, 1, 1, 1), (0, 0, 0, 1))
    batch = replace_padding(FEATURES.repeat(2, 1, 1), torch.cat([additive(*mask) for mask in masks]), REGISTERS)
    for row, mask in zip(batch, masks, strict=True):
        assert torch.equal(row, replace_padding(FEATURES, additive(*mask), REGISTERS)[0])


def test_garbage_in_padding_is_dropped() -> None:
    features = FEATURES.clone()
    features[:, 0] = float("nan")
    assert replace_padding(features, additive(0, 1, 1, 1), REGISTERS).isfinite().all()


def test_length_must_be_a_multiple_of_the_registers() -> None:
    with pytest.raises(ValueError, match=r"3 positions.*multiple of the 2 registers"):
        replace_padding(FEATURES[:, :3], additive(0, 1, 1), REGISTERS)


@pytest.mark.parametrize(("dtype", "lowest"), [(torch.float32, -3.4028235e38), (torch.bfloat16, -3.3895314e38)])
def test_additive_mask(dtype: torch.dtype, lowest: float) -> None:
    mask = convert_to_additive_mask(torch.tensor([[0, 1, 1, 1]]), dtype)
    assert mask.shape == (1, 1, 1, 4) and mask.dtype == dtype
    torch.testing.assert_close(mask.flatten().double(), torch.tensor([lowest, 0, 0, 0]).double(), rtol=1e-7, atol=0)


def test_output_mask_is_all_ones() -> None:
    _, mask = spec_connector(heads=2, head_dim=4, gated=False, num_registers=2)(
        torch.zeros(1, 4, 8), additive(0, 1, 1, 1)
    )
    binary = convert_to_binary_mask(mask)
    assert binary.tolist() == [[1, 1, 1, 1]] and binary.dtype == torch.int64


def test_small_rotary_table() -> None:
    torch.testing.assert_close(
        frequency_grid(8, 1, float64=True), torch.tensor([1.5707964, 33.841782, 729.09906, 15707.963])
    )
    table = precompute_rope(torch.arange(4.0)[None, None], width=8, heads=2, max_pos=[4096], float64_grid=True)
    cos = [
        [-4.371e-08, -0.75460947],
        [7.669488e-04, -0.74366349],
        [1.5339408e-03, -0.73251700],
        [2.3009321e-03, -0.72116792],
    ]
    sin = [[-0.24698190, 3.7732e-04], [0.10625269, 0.98317778], [0.44616154, 0.35950950], [0.73007298, -0.85158128]]
    torch.testing.assert_close(table.cos[0, 0], torch.tensor(cos), atol=1e-6, rtol=0)
    torch.testing.assert_close(table.sin[0, 1], torch.tensor(sin), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("width", "heads", "at", "cos", "sin"),
    [
        (3840, 30, (0, 1023, 0), 0.7065642, -0.7076489),
        (3840, 30, (0, 7, 5), -0.0326464, -0.9994670),
        (3840, 30, (15, 100, 3), 0.4136533, -0.9104345),
        (3840, 30, (29, 1023, 63), 0.1832077, -0.9830742),
        (4096, 32, (0, 7, 5), -0.0302432, -0.9995426),
        (4096, 32, (16, 100, 3), 0.5530149, -0.8331714),
        (2048, 32, (0, 7, 5), -0.0666615, -0.9977756),
        (2048, 32, (16, 100, 3), -0.9677213, 0.2520229),
    ],
)
def test_rotary_tables_of_production_size(
    width: int, heads: int, at: tuple[int, int, int], cos: float, sin: float
) -> None:
    table = precompute_rope(
        torch.arange(1024.0)[None, None], width=width, heads=heads, max_pos=[4096], float64_grid=True
    )
    assert table.cos[0][at].item() == pytest.approx(cos, abs=2e-6)
    assert table.sin[0][at].item() == pytest.approx(sin, abs=2e-6)


@pytest.mark.parametrize(
    ("gated", "first", "last"),
    [
        (
            False,
            [-0.4944169, 0.2389626, 0.2252908, -0.5706842, -1.5163379, -1.8393636, -1.2626902, -0.2123278],
            [-0.9448519, -0.1105335, 0.0921810, -0.5064787, -1.3809506, -1.7673765, -1.3044446, -0.3127247],
        ),
        (
            True,
            [-0.3697250, 0.1255302, 0.2663165, -0.1478860, -0.9050660, -1.5439600, -1.6897602, -1.3024981],
            [-0.5163620, 0.0413105, 0.2010860, -0.2213354, -0.9652197, -1.5511099, -1.6443187, -1.2652513],
        ),
    ],
)
def test_small_connector(gated: bool, first: list[float], last: list[float]) -> None:
    features = torch.sin(0.7548776662466927 * torch.arange(32, dtype=torch.float64) + 0.25).float().view(1, 4, 8)
    connector = spec_connector(heads=2, head_dim=4, gated=gated, num_registers=2)
    context, _ = connector(features, additive(0, 1, 1, 1))
    torch.testing.assert_close(context[0, [0, 3]], torch.tensor([first, last]), atol=3e-6, rtol=0)


@pytest.mark.parametrize(("name", "tensors", "parameters"), [("19b", 59, 1_431_475_200), ("22b", 262, 3_172_227_584)])
def test_full_size_inventory(name: str, tensors: int, parameters: int) -> None:
    folder = TESTS / "inventory"
    with torch.device("meta"):
        processor = EmbeddingsProcessorConfigurator.from_config(
            json.loads((folder / f"config-{name}.json").read_text())
        )
    state = {key: tuple(value.shape) for key, value in processor.state_dict().items()}
    published = {}
    for line in (folder / f"inventory-{name}.tsv").read_text().splitlines():
        key, shape = line.split("\t")
        published[key] = tuple(int(size) for size in shape.split(",") if size)
    renamed = {
        key.replace("text_embedding_projection.", "feature_extractor.")
        .replace("model.diffusion_model.video_embeddings_connector.", "video_connector.")
        .replace("model.diffusion_model.audio_embeddings_connector.", "audio_connector."): shape
        for key, shape in published.items()
        if "embeddings_connector." in key or key.startswith("text_embedding_projection.")
    }
    assert state == renamed
    assert len(state) == tensors
    assert sum(value.numel() for value in processor.state_dict().values()) == parameters


def test_projection_rule() -> None:
    old, new = config(checkpoint_path("2.0")), config(checkpoint_path("2.3"))
    with torch.device("meta"):
        assert isinstance(EmbeddingsProcessorConfigurator.from_config(old).feature_extractor, FeatureExtractorV1)
        assert isinstance(EmbeddingsProcessorConfigurator.from_config(new).feature_extractor, FeatureExtractorV2)
        assert VideoEmbeddingsProcessorConfigurator.from_config(new).audio_connector is None


@pytest.mark.parametrize("missing", V2_FLAGS)
def test_partial_flags_are_refused(missing: str) -> None:
    flags = {key: value for key, value in V2_FLAGS.items() if key != missing}
    with pytest.raises(NotImplementedError, match=f"missing keys: {missing}"):
        EmbeddingsProcessorConfigurator.from_config({"transformer": flags})


@pytest.mark.parametrize("wrong", V2_FLAGS)
def test_unknown_flag_values_are_refused(wrong: str) -> None:
    flags = V2_FLAGS | {wrong: not V2_FLAGS[wrong]}
    with pytest.raises(UnknownTextProjectionError, match=f"{wrong} is {flags[wrong]}, expected {V2_FLAGS[wrong]}"):
        EmbeddingsProcessorConfigurator.from_config({"transformer": flags})


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, RopeType.INTERLEAVED),
        ({"ff_bias": False}, RopeType.SPLIT),
        ({"ff_bias": False, "rope_type": "interleaved"}, RopeType.INTERLEAVED),
        ({"rope_type": "split"}, RopeType.SPLIT),
    ],
)
def test_connectors_have_the_transformers_default_rotation(section: dict, expected: RopeType) -> None:
    sizes = {"caption_channels": 8, "connector_num_attention_heads": 2, "connector_attention_head_dim": 4}
    processor = EmbeddingsProcessorConfigurator.from_config({"transformer": sizes | section})
    for connector in (processor.video_connector, processor.audio_connector):
        assert connector.transformer_1d_blocks[0].attn1.rope_type is expected


def test_connector_sizes_fall_back_to_the_video_stream_and_then_to_defaults() -> None:
    transformer = {"caption_channels": 8, "connector_num_attention_heads": 2, "connector_attention_head_dim": 4}
    transformer |= {"connector_num_layers": 3, "audio_connector_attention_head_dim": 2, "rope_type": "split"}
    processor = EmbeddingsProcessorConfigurator.from_config({"transformer": transformer})
    audio = processor.audio_connector
    assert audio is not None
    assert (audio.heads, audio.learnable_registers.shape, len(audio.transformer_1d_blocks)) == (2, (128, 4), 3)
    assert audio.max_pos == (1,)
    assert processor.video_connector.transformer_1d_blocks[0].attn1.rope_type is RopeType.SPLIT
    with torch.device("meta"):
        default = EmbeddingsProcessorConfigurator.from_config({"transformer": {"caption_channels": 8}}).video_connector
    assert default.learnable_registers.shape == (128, 3840)
    assert default.transformer_1d_blocks[0].attn1.rope_type is RopeType.INTERLEAVED


def test_audio_features_and_connector_belong_together() -> None:
    transformer = {"caption_channels": 8, "connector_num_attention_heads": 2, "connector_attention_head_dim": 4}
    processor = EmbeddingsProcessorConfigurator.from_config({"transformer": transformer})
    features = torch.zeros(1, 128, 8)
    mask = convert_to_additive_mask(torch.ones(1, 128), torch.float32)
    with pytest.raises(ValueError, match="has its connector but no features"):
        processor.create_embeddings(features, None, mask)
    processor.audio_connector = None
    with pytest.raises(ValueError, match="has its features but no connector"):
        processor.create_embeddings(features, features, mask)
    assert processor.create_embeddings(features, None, mask).audio_encoding is None
