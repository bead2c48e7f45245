"""What the configurators accept, refuse and assume (spec 01 §3.7-3.8)."""

from __future__ import annotations

import pytest

from ltx_core_impl.model.transformer import (
    LTXAudioOnlyModelConfigurator,
    LTXModelConfigurator,
    LTXModelType,
    LTXVideoOnlyModelConfigurator,
    RopeType,
)
from ltx_core_impl.model.transformer import configurator as configurator_module
from tests.conftest import config
from tests.transformer_helpers import transformer_path

ALL = [LTXModelConfigurator, LTXVideoOnlyModelConfigurator, LTXAudioOnlyModelConfigurator]
COUPLING = ["use_audio_video_cross_attention", "share_ff", "av_cross_ada_norm"]
EVERYWHERE = [
    "dropout",
    "attention_bias",
    "activation_fn",
    "num_embeds_ada_norm",
    "use_linear_projection",
    "only_cross_attention",
    "cross_attention_norm",
    "double_self_attention",
    "upcast_attention",
    "standardization_norm",
    "norm_elementwise_affine",
    "qk_norm",
    "positional_embedding_type",
    "use_middle_indices_grid",
]


def section(version: str = "2.3", **changes) -> dict:
    return {"transformer": config(transformer_path(version))["transformer"] | {"num_layers": 1} | changes}


def without(key: str) -> dict:
    full = section()["transformer"]
    return {"transformer": {name: value for name, value in full.items() if name != key}}


@pytest.mark.parametrize("configurator", ALL)
@pytest.mark.parametrize("key", EVERYWHERE)
def test_checked_keys_must_be_there_and_right(configurator: type, key: str) -> None:
    for bad, shown in ((without(key), "None"), (section(**{key: "other"}), "other")):
        with pytest.raises(ValueError, match=f"Config value {key} is {shown}, expected"):
            configurator.from_config(bad)


@pytest.mark.parametrize("key", COUPLING)
def test_coupling_keys_only_matter_with_both_streams(key: str) -> None:
    with pytest.raises(ValueError, match=f"Config value {key} is None, expected"):
        LTXModelConfigurator.from_config(without(key))
    LTXVideoOnlyModelConfigurator.from_config(without(key))
    LTXAudioOnlyModelConfigurator.from_config(without(key))


def test_num_vector_embeds_may_be_absent_but_not_set() -> None:
    LTXModelConfigurator.from_config(without("num_vector_embeds"))
    with pytest.raises(ValueError, match="num_vector_embeds is 4, expected None"):
        LTXModelConfigurator.from_config(section(num_vector_embeds=4))


@pytest.mark.parametrize("configurator", ALL)
def test_an_empty_config_fails_on_the_caption_width(configurator: type) -> None:
    with pytest.raises(KeyError, match="caption_channels"):
        configurator.from_config({})


def test_unequal_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="audio_num_attention_heads is 2, expected 4"):
        LTXModelConfigurator.from_config(section(audio_num_attention_heads=2))


def test_positions_that_are_null_take_their_defaults() -> None:
    nulls = {"positional_embedding_max_pos": None, "audio_positional_embedding_max_pos": None}
    options = LTXModelConfigurator.from_config(section(**nulls)).options
    assert options.video.max_pos == (20, 2048, 2048)
    assert options.audio.max_pos == (20,)


def test_unknown_enumerations_are_refused() -> None:
    with pytest.raises(ValueError, match="foo"):
        LTXModelConfigurator.from_config(section(rope_type="foo"))
    with pytest.raises(ValueError, match="foo"):
        LTXModelConfigurator.from_config(section(attention_type="foo"))


def test_a_missing_attention_package_is_a_warning(caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    def missing(_model, _name):
        raise configurator_module.AttentionBackendUnavailable("xformers is missing.")

    monkeypatch.setattr(configurator_module.LTXModel, "set_attention", missing)
    LTXModelConfigurator.from_config(section(attention_type="xformers"))
    assert "xformers is missing" in caplog.text


def test_model_types() -> None:
    types = [configurator.from_config(section()).model_type for configurator in ALL]
    assert types == [LTXModelType.AUDIO_VIDEO, LTXModelType.VIDEO_ONLY, LTXModelType.AUDIO_ONLY]


def test_defaults_of_absent_keys() -> None:
    sizes = ("num_layers", "caption_channels")
    checked = (*EVERYWHERE, *COUPLING)
    full = section("2.0")["transformer"]
    options = LTXVideoOnlyModelConfigurator.from_config(
        {"transformer": {key: full[key] for key in (*sizes, *checked)} | {"attention_head_dim": 2}}
    ).options
    assert options.rope_type is RopeType.INTERLEAVED and not options.rope_float64_grid
    assert options.cross_gate_timestep_scale == 1 and options.timestep_scale == 1000
    assert options.norm_eps == 1e-6 and options.rope_theta == 10000.0
    assert not options.gated_attention and not options.text_adaln
    video = options.video
    assert (video.heads, video.in_channels, video.out_channels, video.context_dim) == (32, 128, 128, 4096)
    assert video.max_pos == (20, 2048, 2048) and video.ff_bias and not video.keyframe_embedding


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, False),
        ({"ff_bias": True, "use_keyframes_abs_pos_embedding": False}, False),
        ({"ff_bias": False}, True),
        ({"use_keyframes_abs_pos_embedding": True}, True),
        ({"use_prompt_adaln_single": False}, True),
    ],
)
def test_the_modulation_rule_follows_the_version(change: dict, expected: bool) -> None:
    options = LTXModelConfigurator.from_config(section(**change)).options
    assert options.cross_modulation_from_own_timesteps is expected
