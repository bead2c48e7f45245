"""Reading tensors one by one: mapped, and in memory of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ltx_core_impl.loader import read_header
from ltx_core_impl.loader.errors import HeaderError
from ltx_core_impl.loader.tensor_file import TensorFile

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.uint8, torch.int64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tensors = {str(dtype): torch.arange(12).reshape(3, 4).to(dtype) for dtype in DTYPES}
    tensors["scalar"] = torch.tensor(0.25)
    save_file(tensors, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


@pytest.mark.parametrize("key", [*map(str, DTYPES), "scalar"])
def test_a_copy_equals_the_mapped_tensor(path: Path, key: str) -> None:
    with TensorFile(read_header(path)) as file:
        mapped, copied = file.read(key), file.read_copy(key)
    assert copied.dtype == mapped.dtype and copied.shape == mapped.shape
    assert torch.equal(copied.float(), mapped.float())


def test_a_file_that_was_cut_after_its_header_was_read_is_refused(path: Path) -> None:
    with TensorFile(read_header(path)) as file:
        last = max(file.header.tensors, key=lambda key: file.header.tensors[key].end)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(HeaderError, match="cut off"):
            file.read_copy(last)
