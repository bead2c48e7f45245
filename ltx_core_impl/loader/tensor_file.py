"""Reading single tensors of a safetensors file, lazily, straight to a device."""

from __future__ import annotations

from types import TracebackType

import torch
from safetensors import SafetensorError, safe_open

from .dtypes import torch_dtype
from .errors import HeaderError
from .header import Header


class TensorFile:
    """An open file whose header has been checked; a context manager."""

    def __init__(self, header: Header) -> None:
        self.header = header
        try:
            self._file = safe_open(header.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise HeaderError(f"{header.path} cannot be opened as safetensors: {error}") from error

    def __enter__(self) -> TensorFile:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def read_copy(self, key: str, device: torch.device | str = "cpu") -> torch.Tensor:
        """One tensor on ``device`` in memory of its own.

        For tensors that are changed and then dropped: the pages of a mapped one would stay in the process for as long
        as the file is open, a second copy of the model by the end.
        """
        entry = self.header.tensors[key]
        value = torch.empty(entry.shape, dtype=torch_dtype(entry.dtype))
        with open(self.header.path, "rb", buffering=0) as file:
            file.seek(self.header.data_start + entry.begin)
            target = memoryview(value.view(-1).view(torch.uint8).numpy())
            while target:
                count = file.readinto(target)
                if not count:
                    raise HeaderError(f"{self.header.path}: tensor {key!r} is cut off; download the file again")
                target = target[count:]
        return value.to(device)

    def read(self, key: str, device: torch.device | str = "cpu") -> torch.Tensor:
        """One tensor on ``device``; on the CPU it is backed by the mapped file and read when first touched."""
        try:
            value = self._file.get_tensor(key)
        except SafetensorError as error:
            raise HeaderError(f"{self.header.path}: tensor {key!r} cannot be read: {error}") from error
        return value.to(device)
