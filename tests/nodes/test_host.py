"""Weights under ComfyUI's memory manager: read once, streamed when granted little, gone with their last handle."""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

CPU = torch.device("cpu")
# A second name for the CPU stands for a GPU: to the memory manager it is another device.
DEVICE = torch.device("cpu:0")


class Blocks(nn.Module):
    """A model of four blocks and something around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.blocks = nn.ModuleList(nn.Linear(64, 64) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture
def host(nodes: dict[str, Any]) -> ModuleType:
    return sys.modules["ltx2_pack.nodes.host"]


@pytest.fixture
def handle(nodes: dict[str, Any]) -> Any:
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]

    def make(name: str = "file") -> Any:
        ref = handles.FileRef(path=name, size=1, mtime_ns=1)
        return handles.ComponentHandle(component="vocoder", file=ref, version="2.3", config="{}")

    return make


def size_of(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def patcher_of(host: ModuleType, model: Blocks) -> Any:
    patcher = host.ComponentPatcher(model, model.blocks, load_device=DEVICE, offload_device=CPU, at=CPU)
    assert patcher.loaded_size() == 0
    return patcher


def test_all_of_it_is_loaded_when_it_fits(host: ModuleType) -> None:
    model = Blocks()
    patcher = patcher_of(host, model)
    assert patcher.partially_load(DEVICE, 1e9) == size_of(model)
    assert patcher.loaded_size() == patcher.model_size() == size_of(model)
    assert patcher.current_loaded_device() == DEVICE
    assert patcher.partially_load(DEVICE, 1e9) == 0
    patcher.detach()
    assert patcher.loaded_size() == 0
    assert patcher.current_loaded_device() == CPU


def test_little_memory_streams_with_the_same_result(host: ModuleType) -> None:
    model, x = Blocks(), torch.randn(2, 64)
    expected = model(x)
    patcher = patcher_of(host, model)
    half = size_of(model) * 7 // 10
    moved = patcher.partially_load(DEVICE, half)
    assert 0 < moved <= half
    assert torch.equal(model(x), expected)
    # More memory later: the streamer goes, everything is resident.
    patcher.partially_load(DEVICE, 1e9)
    assert patcher.loaded_size() == size_of(model)
    assert torch.equal(model(x), expected)
    freed = patcher.partially_unload(CPU, size_of(model) // 4)
    assert freed >= size_of(model) // 4
    assert torch.equal(model(x), expected)


def test_no_memory_at_all_still_runs(host: ModuleType) -> None:
    model, x = Blocks(), torch.randn(2, 64)
    expected = model(x)
    patcher = patcher_of(host, model)
    patcher.partially_load(DEVICE, 0.1)
    assert 0 < patcher.loaded_size() < size_of(model)
    assert torch.equal(model(x), expected)


def test_weights_are_read_once_and_die_with_the_last_handle(host: ModuleType, handle: Any) -> None:
    built: list[Blocks] = []

    def build(home: torch.device, progress: Any) -> Blocks:
        built.append(Blocks().to(home))
        return built[-1]

    mine = host.intern(handle("a"))
    assert host.intern(handle("a")) is mine
    for _ in range(2):
        with host.loaded(handle("a"), "part", build, size=1) as model:
            assert model is built[0]
    assert len(built) == 1
    built.clear()
    del mine, model
    gc.collect()
    kept = host.intern(handle("a"))
    with host.loaded(kept, "part", build, size=1):
        assert len(built) == 1


def test_a_failed_build_leaves_nothing_behind(host: ModuleType, handle: Any) -> None:
    kept = host.intern(handle("b"))

    def fail(home: torch.device, progress: Any) -> Blocks:
        raise ValueError("broken file")

    with pytest.raises(ValueError, match="broken file"), host.loaded(kept, "part", fail, size=1):
        pass
    with host.loaded(kept, "part", lambda home, progress: Blocks(), size=1) as model:
        assert isinstance(model, Blocks)


def test_cancel_is_noticed_before_the_next_block(host: ModuleType) -> None:
    import comfy.model_management as mm

    model, entered = Blocks(), []
    for index, block in enumerate(model.blocks):
        block.register_forward_hook(lambda *_, index=index: entered.append(index))
    model.blocks[1].register_forward_hook(lambda *_: mm.interrupt_current_processing(True))
    with pytest.raises(mm.InterruptProcessingException), host.interruptible(model):
        model(torch.randn(1, 64))
    assert entered == [0, 1]
    model.blocks[1]._forward_hooks.clear()
    assert model(torch.randn(1, 64)).shape == (1, 64)


def test_a_file_that_changed_is_another_file(host: ModuleType, tmp_path: Any) -> None:
    handles = sys.modules["ltx2_pack.nodes.wires.handles"]
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"1")
    before = handles.FileRef.of(str(path))
    path.write_bytes(b"22")
    assert handles.FileRef.of(str(path)) != before


@pytest.fixture
def told(nodes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The progress module, and what it tells ComfyUI's bar and the browser."""
    progress = sys.modules["ltx2_pack.nodes.host.progress"]
    bars: list[tuple[float, float]] = []
    events: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr("comfy.utils.PROGRESS_BAR_HOOK", lambda value, total, *_, **__: bars.append((value, total)))
    monkeypatch.setattr(progress, "_send", lambda event, data: events.append((event, data)))
    return progress, bars, events


def test_a_phase_has_a_name_and_a_share_of_the_bar(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    progress, bars, events = told
    reading = progress.Progress(1, "Reading", unit="tensor", share=0.5)
    for done in (1, 2, 4):
        reading(done, 4)
    sampling = progress.Progress(2, "Sampling")
    sampling(1)
    sampling(2)
    assert bars == [(1, 8), (2, 8), (4, 8), (1, 2), (2, 2)]
    first, *_, last = [data for name, data in events if name == "ltx2.phase"]
    assert (first["phase"], first["unit"], first["done"], first["total"]) == ("Reading", "tensor", 1, 4)
    assert (last["phase"], last["done"], last["total"], last["seconds_left"]) == ("Sampling", 2, 2, 0)
    written = capsys.readouterr().err
    assert "LTX-2 Reading: 100%" in written and "LTX-2 Sampling: 100%" in written


def test_silent_progress_shows_nothing(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    progress, bars, events = told
    with progress.silent_progress():
        quiet = progress.Progress(2, "Reading")
    quiet(1)
    progress.Progress(1, "Sampling")(1)
    assert bars == [(1, 1)]
    assert [data["phase"] for _, data in events] == ["Sampling"]
    assert "Reading" not in capsys.readouterr().err


def test_a_moving_preview_is_sent_frame_by_frame(told: Any) -> None:
    import base64
    import io

    from PIL import Image

    progress, _, events = told
    pictures = [Image.new("RGB", (3, 2), (60 * index, 0, 0)) for index in range(4)]
    progress.Progress(1, "Sampling")(1, motion=pictures)
    assert progress._moving.wait(60)
    [data] = [data for name, data in events if name == "ltx2.motion"]
    frames = [Image.open(io.BytesIO(base64.b64decode(frame))) for frame in data["frames"]]
    assert [frame.size for frame in frames] == [(255, 170)] * 4
    assert [round(frame.getpixel((9, 9))[0] / 60) for frame in frames] == [0, 1, 2, 3]


def test_the_frames_of_a_preview(nodes: dict[str, Any]) -> None:
    preview_module = sys.modules["ltx2_pack.nodes.sampling.preview"]
    colours = importlib.import_module("ltx2_pack.ltx_core_impl.model.video_vae.preview")
    preview = object.__new__(preview_module.Preview)
    preview._map = colours.PreviewMap(weight=torch.eye(3), bias=torch.zeros(3))
    ramp = torch.linspace(-1, 1, 40)
    latent = ramp.reshape(1, 1, 40, 1, 1).expand(1, 3, 40, 4, 6)
    enlarged, pictures = preview(latent)
    assert max(enlarged.size) <= 512 and enlarged.size[0] / enlarged.size[1] == 1.5
    shades = [picture.getpixel((5, 3))[0] for picture in pictures]
    assert 8 <= len(pictures) <= 9 and pictures[0].size == (6, 4)
    assert shades == sorted(shades) and shades[0] == 0 and shades[-1] == 255
    still, none = preview(latent[:, :, :1])
    assert none == [] and still.size == enlarged.size
