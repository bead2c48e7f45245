"""The language model against the numbers of the spec and a padded run (spec 05 §3, §16, §17)."""

from __future__ import annotations

import pytest
import torch
import transformers

from ltx_core_impl.text_encoders.gemma import Gemma
from ltx_core_impl.text_encoders.gemma.config import FULL, SLIDING, TextEncoderFileError, gemma_config
from ltx_core_impl.text_encoders.gemma.files import canonical_tensors
from tests.conftest import assert_close
from tests.text_helpers import deterministic_weights, gemma3_file_shapes, spec_connector, stored

TEXT_CONFIG = {
    "model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 16,
    "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "rope_local_base_freq": 10000.0, "sliding_window": 8, "sliding_window_pattern": 3,
    "max_position_embeddings": 512, "vocab_size": 320,
}  # fmt: skip
TINY = {
    "layers": 6, "width": 32, "heads": 2, "key_value_heads": 1, "head_dim": 16, "feed_forward": 64, "vocabulary": 320,
    "vision_layers": 1, "vision_width": 16, "vision_feed_forward": 32, "patch": 2, "patches": 256,
}  # fmt: skip
IDS = torch.tensor([2, *range(10, 21)])


def canonical_shapes(**sizes: int | bool) -> dict[str, tuple[int, ...]]:
    return {name: entry.shape for name, entry in canonical_tensors(stored(gemma3_file_shapes(**sizes))).items()}


def text_factor(name: str) -> float:
    return 0.05 if "norm" in name else 0.2 if "embed_tokens" in name else 0.1


def spec_model() -> Gemma:
    """The tiny model of spec 05 §16 with its deterministic weights."""
    shapes = canonical_shapes(vision=False, **TINY)
    gemma = Gemma(gemma_config({"model_type": "gemma3", "text_config": TEXT_CONFIG}, shapes))
    names = {name: tuple(value.shape) for name, value in gemma.language_model.state_dict().items()}
    gemma.language_model.load_state_dict(deterministic_weights(names, text_factor))
    return gemma.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    return spec_model().hidden_states([IDS], first_positions=[4])[0]


@pytest.mark.parametrize(
    ("state", "first", "last"),
    [
        (0, [-1.049605, -1.053839, -0.4855329, 0.3465576], [-0.7145274, 0.0806158, 0.8319612, 1.131311]),
        (1, [-1.176984, -0.2022977, -1.578800, -2.086136], [-1.222396, 1.768544, 1.057815, 1.766477]),
        (3, [-3.278472, 0.547163, 0.2918693, -2.017908], [-2.036546, -0.4533022, 1.347092, 1.614973]),
        (6, [-1.781312, -0.2003264, 0.06534899, -0.9394325], [-1.350282, -0.1379856, 1.950760, 1.628360]),
    ],
)
def test_hidden_states_of_the_spec(states: torch.Tensor, state: int, first: list[float], last: list[float]) -> None:
    actual = states[0, [0, -1], :4, state]
    torch.testing.assert_close(actual, torch.tensor([first, last]), atol=1e-5, rtol=0)


def test_features_and_connectors_of_the_spec(states: torch.Tensor) -> None:
    from ltx_core_impl.text_encoders.gemma import EmbeddingsProcessor, FeatureExtractorV1, FeatureExtractorV2

    v1 = FeatureExtractorV1(224, out_features=32)
    v1.aggregate_embed.load_state_dict(deterministic_weights({"weight": (32, 224)}, lambda _: 0.1))
    v2 = FeatureExtractorV2(224, video_features=48, audio_features=16)
    shapes = {name: tuple(value.shape) for name, value in v2.state_dict().items()}
    v2.load_state_dict(deterministic_weights(shapes, lambda _: 0.1))
    hidden = torch.nn.functional.pad(states, (0, 0, 0, 0, 4, 0))
    mask = torch.tensor([[0] * 4 + [1] * 12])

    old = spec_connector(heads=2, head_dim=16, gated=False, num_registers=8)
    output = EmbeddingsProcessor(v1, old, old).process_hidden_states(hidden, mask)
    expected = [[0.5324394, -0.0702696, 1.436391, -0.7040641], [-1.164204, -1.958885, -0.2275751, -0.9045632]]
    torch.testing.assert_close(output.video_encoding[0, [0, 11], :4], torch.tensor(expected), atol=2e-5, rtol=0)
    assert output.video_encoding.abs().sum().item() == pytest.approx(423.0352, rel=1e-4)

    video = spec_connector(heads=4, head_dim=12, gated=True, num_registers=8)
    audio = spec_connector(heads=2, head_dim=8, gated=True, num_registers=8)
    output = EmbeddingsProcessor(v2, video, audio).process_hidden_states(hidden, mask)
    expected = [[-0.1833089, -1.200809, -1.060413, -0.2236967], [-0.4808659, -1.159257, -1.080776, -1.106219]]
    torch.testing.assert_close(output.video_encoding[0, [0, 15], :4], torch.tensor(expected), atol=2e-5, rtol=0)
    assert output.video_encoding.abs().sum().item() == pytest.approx(650.9188, rel=1e-4)
    expected = [[0.8300741, 1.548628, 0.001136869, 0.8884631], [-1.002500, -0.1534147, -1.517779, -1.712024]]
    torch.testing.assert_close(output.audio_encoding[0, [0, 15], :4], torch.tensor(expected), atol=2e-5, rtol=0)
    assert output.audio_encoding.abs().sum().item() == pytest.approx(216.0199, rel=1e-4)
    assert output.attention_mask.tolist() == [[1] * 16]


def test_full_size_gemma_3() -> None:
    shapes = gemma3_file_shapes()
    config = gemma_config({}, canonical_shapes())
    with torch.device("meta"):
        model = Gemma(config, with_vision=True)
        text = Gemma(config)
    state = model.state_dict()
    assert len(shapes) == len(state) == 1065
    assert sum(value.numel() for value in state.values()) == 12_187_325_040
    assert len(text.state_dict()) == 626
    assert sum(value.numel() for value in text.state_dict().values()) == 11_766_034_176
    assert {name: tuple(value.shape) for name, value in state.items()} == canonical_shapes()


def test_architecture_without_config_is_that_of_gemma_3_12b() -> None:
    config = gemma_config({}, canonical_shapes())
    full = [index for index, kind in enumerate(config.layer_types) if kind == FULL]
    assert full == [5, 11, 17, 23, 29, 35, 41, 47]
    assert (config.num_heads, config.attention_scale, config.num_hidden_states) == (16, 1 / 16, 49)
    assert (config.kinds[FULL].rope_theta, config.kinds[FULL].rope_factor, config.kinds[FULL].window) == (1e6, 8, None)
    assert (config.kinds[SLIDING].rope_theta, config.kinds[SLIDING].rope_factor) == (1e4, 1)
    assert config.kinds[SLIDING].window == 1024 and config.kinds[SLIDING].key_value_heads == 8
    assert config.vision is not None
    assert (config.vision.image_size, config.vision.num_heads, config.vision.tokens_per_image) == (896, 16, 256)


def test_smaller_models_are_read_from_their_shapes() -> None:
    config = gemma_config({}, canonical_shapes(layers=34, width=2560, heads=8, key_value_heads=4, feed_forward=10240))
    assert (config.hidden_size, config.num_hidden_states, config.num_heads) == (2560, 35, 8)


def test_config_of_transformers_5_gives_the_same_architecture() -> None:
    shapes = canonical_shapes(vision=False, **TINY)
    old = gemma_config({"model_type": "gemma3", "text_config": TEXT_CONFIG}, shapes)
    rope = {
        FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
        SLIDING: {"rope_type": "default", "rope_theta": 10000.0},
    }
    new = {key: value for key, value in TEXT_CONFIG.items() if not key.startswith("rope_") and "pattern" not in key}
    new |= {"rope_parameters": rope, "layer_types": [SLIDING, SLIDING, FULL] * 2}
    assert gemma_config({"model_type": "gemma3", "text_config": new}, shapes) == old


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 61.96773353931867), (torch.bfloat16, 62.0)])
def test_embedding_scale_is_rounded_to_the_dtype(dtype: torch.dtype, scale: float) -> None:
    sizes = {"layers": 1, "width": 3840, "heads": 1, "key_value_heads": 1, "head_dim": 2, "feed_forward": 2}
    gemma = Gemma(gemma_config({}, canonical_shapes(vocabulary=2, vision=False, **sizes))).to(dtype)
    gemma.language_model.embed_tokens.weight.data.fill_(1)
    (states,) = gemma.hidden_states([torch.tensor([1])], first_positions=[0])
    assert states[0, 0, 0, 0].item() == pytest.approx(scale, rel=1e-7)


def test_a_missing_layer_is_noticed() -> None:
    with pytest.raises(TextEncoderFileError, match="declares 6 layers but the weight files hold 5"):
        gemma_config({"model_type": "gemma3", "text_config": TEXT_CONFIG}, canonical_shapes(**(TINY | {"layers": 5})))


@pytest.mark.parametrize("model_type", ["llama", "gemma2"])
def test_other_models_are_refused(model_type: str) -> None:
    with pytest.raises(TextEncoderFileError, match=f"'{model_type}' model; LTX-2 and LTX-2.3 need Gemma 3"):
        gemma_config({"model_type": model_type}, canonical_shapes(vision=False, **TINY))


@pytest.mark.parametrize("padding", [0, 5])
def test_equal_to_a_padded_run_of_transformers(padding: int) -> None:
    """Longer than the window, with random weights, padded there and not here; config as a file has it."""
    torch.manual_seed(0)
    config = transformers.Gemma3TextConfig(**TEXT_CONFIG, attn_implementation="sdpa")
    peer = transformers.Gemma3TextModel(config).eval()
    shapes = canonical_shapes(vision=False, **TINY)
    gemma = Gemma(gemma_config({"model_type": "gemma3", "text_config": TEXT_CONFIG}, shapes)).eval()
    gemma.language_model.load_state_dict(peer.state_dict())
    ids = torch.randint(4, 320, (23,))
    padded = torch.cat((torch.zeros(padding, dtype=torch.long), ids))[None]
    mask = torch.cat((torch.zeros(padding, dtype=torch.long), torch.ones_like(ids)))[None]
    with torch.no_grad():
        expected = peer(input_ids=padded, attention_mask=mask, output_hidden_states=True).hidden_states
    actual = gemma.hidden_states([ids], first_positions=[padding])[0]
    assert_close(actual, torch.stack(expected, dim=-1)[:, padding:], tolerance=2e-6)
