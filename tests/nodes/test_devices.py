"""The device that a loader chooses: which there are, that the weights go there, that results do not depend on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

Run = Callable[..., tuple[Any, ...]]
CHECKPOINT = {"checkpoint": "ltx-2.3-tiny.safetensors"}


def test_the_default_comes_first_and_cards_are_named(
    pack: ModuleType, nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management as mm

    host = sys.modules[f"{pack.__name__}.nodes.host"]
    assert host.device_options() == ["default", "cpu"]
    monkeypatch.setattr(mm, "get_torch_device", lambda: torch.device("cuda:0"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert host.device_options() == ["default", "cuda:0", "cuda:1", "cpu"]
    assert host.compute_device() == torch.device("cuda:0")
    assert host.compute_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setattr(mm, "unet_offload_device", lambda: torch.device("cuda:0"))
    assert host.offload_device("cuda:1") == torch.device("cuda:1")


def test_every_part_is_loaded_where_its_loader_says(
    run: Run, pack: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text encoder and transformer on two devices, as two cards would be."""
    import comfy.model_management as mm

    components = sys.modules[f"{pack.__name__}.nodes.loading.components"]
    asked: list[tuple[str, torch.device, torch.device]] = []

    class Asked(Exception):
        pass

    def loaded(handle: Any, part: str, build: Any, **options: Any) -> Any:
        asked.append((part.split()[0], options["load_device"], options["offload_device"]))
        raise Asked

    monkeypatch.setattr(components.host, "loaded", loaded)
    monkeypatch.setattr(components.host, "compute_dtype", lambda device: torch.float32)
    model, video_vae, _, _, projection = run("LTX2CheckpointLoader", **CHECKPOINT)
    [encoder] = run("LTX2TextEncoderLoader", text_encoder="gemma-3-tiny", text_projection=projection)
    model, video_vae, encoder = (
        replace(handle, device=device)
        for handle, device in ((model, "cuda:0"), (video_vae, "default"), (encoder, "cuda:1"))
    )
    for use in (
        lambda: components.transformer(model, 0).__enter__(),
        lambda: components.video_encoder(video_vae, 1),
        lambda: components.gemma(encoder).__enter__(),
        lambda: components.embeddings_processor(encoder),
    ):
        with pytest.raises(Asked):
            use()
    wait = mm.unet_offload_device()
    assert asked == [
        ("transformer", torch.device("cuda:0"), wait),
        ("video_encoder", mm.get_torch_device(), wait),
        ("gemma", torch.device("cuda:1"), wait),
        ("embeddings_processor", torch.device("cuda:1"), wait),
    ]


def test_a_prompt_is_the_same_on_a_chosen_device(run: Run) -> None:
    contexts = []
    for device in ("default", "cpu"):
        handles = run("LTX2CheckpointLoader", **CHECKPOINT, device=device)
        assert {handle.device for handle in handles} == {device}
        [encoder] = run(
            "LTX2TextEncoderLoader", text_encoder="gemma-3-tiny", text_projection=handles[-1], device=device
        )
        assert encoder.device == device
        contexts.append(run("LTX2TextEncode", text_encoder=encoder, prompt="a red circle")[0].video)
    assert torch.equal(*contexts)


def test_a_device_that_is_not_there_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match=r"device is 'cuda:7', which is not there\. Available: default, cpu"):
        run("LTX2CheckpointLoader", **CHECKPOINT, device="cuda:7")
