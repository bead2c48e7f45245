"""Reading single tensors of a safetensors or GGUF file, lazily, straight to a device."""

from __future__ import annotations

from types import TracebackType

import torch
from safetensors import SafetensorError, safe_open

from ..quantization.gguf_blocks import BLOCK_TYPES, dequantize_gguf, packed_shape
from .dtypes import torch_dtype
from .errors import HeaderError
from .header import Header


def read_into(target: torch.Tensor, header: Header, key: str, begin: int = 0) -> None:
    """Fill ``target`` (contiguous bytes on the CPU) from byte ``begin`` of a tensor.

    Raises:
        HeaderError: the file cannot be read, or ends before.
    """
    try:
        with open(header.path, "rb", buffering=0) as file:
            file.seek(header.data_start + header.tensors[key].begin + begin)
            room = memoryview(target.numpy())
            while room:
                count = file.readinto(room)
                if not count:
                    raise HeaderError(f"{header.path}: tensor {key!r} is cut off; download the file again")
                room = room[count:]
    except OSError as error:
        raise HeaderError(f"{header.path}: tensor {key!r} cannot be read: {error}") from error


class TensorFile:
    """An open file whose header has been checked; a context manager."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._file = None
        if header.format == "gguf":
            return
        try:
            self._file = safe_open(header.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise HeaderError(f"{header.path} cannot be opened as safetensors: {error}") from error

    def __enter__(self) -> TensorFile:
        if self._file is not None:
            self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, trace)

    def read_copy(self, key: str, device: torch.device | str = "cpu") -> torch.Tensor:
        """One tensor on ``device`` in memory of its own.

        For tensors that are changed and then dropped: the pages of a mapped one would stay in the process for as long
        as the file is open, a second copy of the model by the end. Packed blocks of GGUF are decoded, to float32.
        """
        entry = self.header.tensors[key]
        if entry.dtype in BLOCK_TYPES:
            return dequantize_gguf(self.read_packed(key, device), entry.dtype, entry.shape, torch.float32)
        return self._filled(key, torch.empty(entry.shape, dtype=torch_dtype(entry.dtype))).to(device)

    def read_packed(self, key: str, device: torch.device | str = "cpu") -> torch.Tensor:
        """The bytes of a tensor in GGUF blocks, uint8 of one row per row of the tensor, in memory of its own."""
        entry = self.header.tensors[key]
        inputs = BLOCK_TYPES[entry.dtype][0]
        shape = (entry.nbytes,) if entry.shape[-1] % inputs else packed_shape(entry.dtype, entry.shape)
        return self._filled(key, torch.empty(shape, dtype=torch.uint8)).to(device)

    def _filled(self, key: str, value: torch.Tensor) -> torch.Tensor:
        read_into(value.view(-1).view(torch.uint8), self.header, key)
        return value

    def read(self, key: str, device: torch.device | str = "cpu") -> torch.Tensor:
        """One tensor on ``device``; on the CPU it is backed by the mapped file and read when first touched."""
        if self._file is None:
            return self.read_copy(key, device)
        try:
            value = self._file.get_tensor(key)
        except SafetensorError as error:
            raise HeaderError(f"{self.header.path}: tensor {key!r} cannot be read: {error}") from error
        return value.to(device)
