"""The fp8_cast policy against the reference's numbers."""

from __future__ import annotations

import json

import pytest
import torch

from ltx_core_impl.loader import SingleGPUModelBuilder
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization import QuantizationPolicy
from tests.conftest import assert_close, golden, golden_path
from tests.transformer_helpers import golden_modalities, transformer_path


@pytest.mark.parametrize("version", ["2.0", "2.3", "2.5"])
def test_fp8_cast(version: str) -> None:
    case = golden(version, "fp8-cast")
    listing = json.loads(golden_path(version, "fp8-cast").with_suffix(".json").read_text())["float8_e4m3fn"]
    policy = QuantizationPolicy.fp8_cast()
    builder = SingleGPUModelBuilder(LTXModelConfigurator, transformer_path(version), module_ops=policy.module_ops)
    model = builder.build(device="cpu", dtype=torch.float32)
    state = model.state_dict()
    assert sorted(name for name, value in state.items() if value.dtype == torch.float8_e4m3fn) == sorted(listing)
    assert torch.equal(state[listing[0]].float(), case["first"])
    with torch.inference_mode():
        video, audio = model(*golden_modalities(version))
    assert_close(video, case["video_velocity"])
    assert_close(audio, case["audio_velocity"])
