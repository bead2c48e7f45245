"""What can be wrong with a model file. All are ``ValueError``; the subclasses let a caller tell them apart."""

from __future__ import annotations

from collections.abc import Sequence


class CheckpointError(ValueError):
    """A file cannot be used as asked; the message says what was found, what is needed and what to do."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """No file or folder at the path, or a folder without model files."""


class HeaderError(CheckpointError):
    """The file is not a readable safetensors file."""


class ConfigError(CheckpointError):
    """The architecture description in the metadata is missing, malformed or absurd."""


class VersionError(CheckpointError):
    """The tensors fit no known model version, or contradict each other."""


class UnsupportedFormatError(CheckpointError):
    """The weights are stored in a form that cannot be read."""


class MissingTensorsError(CheckpointError):
    """A component lacks tensors; ``component`` and ``keys`` say which."""

    def __init__(self, message: str, component: str, keys: Sequence[str]) -> None:
        super().__init__(message)
        self.component = component
        self.keys = tuple(keys)


class ShapeMismatchError(CheckpointError, RuntimeError):
    """A tensor has another shape than the model built from the config needs."""


class LoraError(CheckpointError):
    """A LoRA file cannot be applied to the model."""
