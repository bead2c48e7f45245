"""Reading with several threads: the file's bytes whatever the order, within a window, and never after the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.loader import Header, SingleGPUModelBuilder, parallel_read, read_header
from ltx_core_impl.loader.errors import HeaderError
from ltx_core_impl.loader.materialize import SourceReader
from ltx_core_impl.loader.parallel_read import ParallelReader
from ltx_core_impl.model.transformer import LTXModelConfigurator
from ltx_core_impl.quantization import QuantizationPolicy
from tests.conftest import GOLDEN
from tests.transformer_helpers import transformer_path
from tests.unit.loader_fixtures import Blocks

SIZES = (1, 1000, 4096, 4097, 9000, 20_000, 0, 12_288, 5000)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a page, so that small tensors are many of them."""
    monkeypatch.setattr(parallel_read, "PIECE", 4096)
    monkeypatch.setattr(parallel_read, "SMALL", 2048)
    monkeypatch.setattr(parallel_read, "AHEAD", 30_000)
    monkeypatch.setattr(parallel_read, "RING", 3)


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {f"t{i}": torch.randint(0, 256, (n,), generator=generator, dtype=torch.uint8) for i, n in enumerate(SIZES)}
    return made | {"wide": torch.randn(64, 65, generator=generator).to(torch.bfloat16), "one": torch.tensor(0.5)}


@pytest.fixture
def header(tensors: dict[str, torch.Tensor], tmp_path: Path) -> Header:
    save_file(tensors, tmp_path / "x.safetensors")
    return read_header(tmp_path / "x.safetensors")


def orders(names: list[str]) -> Iterator[list[str]]:
    yield names
    yield names[::-1]
    yield names[::2]  # some are never asked for
    yield [*names[4:], *names[:4]]
    yield [name for name in names for _ in range(2)]


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("staged", [False, True])
def test_every_tensor_is_the_file_s_in_any_order(
    header: Header, tensors: dict[str, torch.Tensor], staged: bool, inference: bool
) -> None:
    foretold = [(header, name) for name in tensors]
    for asked in orders(list(tensors)):
        with torch.inference_mode(inference), ParallelReader("cpu", foretold, staged=staged) as reader:
            for name in asked:
                value = reader.read(header, name)
                assert value.dtype == tensors[name].dtype and torch.equal(value, tensors[name])
                ahead = sum(pending.tensor.nbytes for pending in reader._pending.values())
                assert ahead <= (parallel_read.AHEAD if staged else 0)


def test_tensors_are_read_ahead_in_their_order(header: Header, tensors: dict[str, torch.Tensor]) -> None:
    large = [name for name in tensors if tensors[name].nbytes >= 2048]
    with ParallelReader("cpu", [(header, name) for name in tensors], staged=True) as reader:
        reader.read(header, large[0])
        assert [name for _, name in reader._pending] == large[1:3]
        reader.read(header, large[2])
        assert large[1] not in [name for _, name in reader._pending]


@pytest.mark.parametrize("staged", [False, True])
def test_a_file_that_is_cut_off_is_refused(header: Header, staged: bool) -> None:
    last = max(header.tensors, key=lambda name: header.tensors[name].end)
    header.path.write_bytes(header.path.read_bytes()[:-1])
    with ParallelReader("cpu", staged=staged) as reader, pytest.raises(HeaderError, match="cut off"):
        reader.read(header, last)
    header.path.unlink()
    with ParallelReader("cpu", staged=staged) as reader, pytest.raises(HeaderError, match="cannot be read"):
        reader.read(header, last)


def test_what_is_under_way_is_abandoned_at_the_end(
    header: Header, tensors: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, started, go_on = parallel_read.read_into, [], threading.Event()

    def slow(*args: object) -> None:
        started.append(args)
        go_on.wait(10)
        read(*args)

    reader = ParallelReader("cpu", [(header, name) for name in tensors], staged=True)
    with pytest.raises(KeyboardInterrupt), reader:
        reader.read(header, "wide")
        monkeypatch.setattr(parallel_read, "read_into", slow)
        reader._order.extend((header, name) for name in tensors)
        reader._read_ahead(header, "one")
        go_on.set()
        raise KeyboardInterrupt
    count = len(started)
    assert not any(thread.name.startswith("ltx2-read") for thread in threading.enumerate())
    assert len(started) == count < sum(-(-tensor.nbytes // 4096) for tensor in tensors.values())


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, None])
@pytest.mark.parametrize("policy", [None, QuantizationPolicy.fp8_cast, QuantizationPolicy.fp8_scaled_mm])
def test_weights_for_the_cpu_are_computed_on_another_device_where_there_is_one(
    policy: object, dtype: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = SingleGPUModelBuilder(
        LTXModelConfigurator, transformer_path("2.3"), module_ops=policy().module_ops if policy is not None else ()
    ).lora(GOLDEN / "ltx-2.3-tiny.lora-a.safetensors", strength=0.8)
    expected = builder.build(device="cpu", dtype=dtype).state_dict()
    devices = []
    init = SourceReader.__init__
    monkeypatch.setattr(SourceReader, "__init__", lambda self, *args: (devices.append(args[1]), init(self, *args))[1])
    got = builder.build(device="cpu", dtype=dtype, work_device="cpu:0").state_dict()
    assert devices == [torch.device("cpu:0")]
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].dtype == value.dtype and torch.equal(as_bytes(got[name]), as_bytes(value)), name


class Configurator:
    @classmethod
    def from_config(cls, config: object) -> Blocks:
        return Blocks(layers=3, width=64)


@pytest.mark.parametrize("policy", [None, QuantizationPolicy.fp8_cast, QuantizationPolicy.fp8_scaled_mm])
def test_a_model_has_the_same_bytes_by_whatever_way(
    policy: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    save_file({key: value.to(torch.bfloat16) for key, value in Blocks(3, 64).state_dict().items()}, tmp_path / "x")
    builder = SingleGPUModelBuilder(
        Configurator, tmp_path / "x", module_ops=policy().module_ops if policy is not None else ()
    )
    expected = builder.build(device="cpu", dtype=torch.bfloat16).state_dict()
    init = ParallelReader.__init__
    monkeypatch.setattr(ParallelReader, "__init__", lambda self, *args: init(self, *args, staged=True))
    for device in ("cpu", "cpu:0"):
        got = builder.build(device=device, dtype=torch.bfloat16).state_dict()
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name].dtype == value.dtype
            assert torch.equal(as_bytes(got[name]), as_bytes(value)), name


def test_cancel_is_noticed_between_tensors(tmp_path: Path) -> None:
    save_file({key: value.to(torch.bfloat16) for key, value in Blocks(3, 64).state_dict().items()}, tmp_path / "x")
    seen = []

    def cancel(done: int, total: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SingleGPUModelBuilder(Configurator, tmp_path / "x").build(device="cpu", dtype=torch.float32, progress=cancel)
    assert seen == [1, 2]
    assert not any(thread.name.startswith("ltx2-read") for thread in threading.enumerate())
