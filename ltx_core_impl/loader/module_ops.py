"""Changes to a freshly created meta model, and its creation (spec 01 §6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from ..operations import ModuleOps
from .errors import ConfigError


class ModelConfigurator(Protocol):
    """Builds a model from the whole ``config`` of a file; ``component`` names the model."""

    def from_config(self, config: Mapping[str, Any]) -> torch.nn.Module: ...


def component_of(configurator: ModelConfigurator) -> str | None:
    """The component a configurator builds, None for one that does not say."""
    return getattr(configurator, "component", None)


@contextmanager
def _config_errors(configurator: ModelConfigurator) -> Iterator[None]:
    """Say in a sentence what a configurator stumbled over; what it refuses in its own words passes through."""
    name = component_of(configurator) or getattr(configurator, "__name__", "model")
    try:
        yield
    except (ValueError, NotImplementedError):
        raise
    except KeyError as error:
        raise ConfigError(f"{error} is missing, which the {name} needs; use the file as published") from error
    except (TypeError, AttributeError, IndexError, RuntimeError, ArithmeticError) as error:
        raise ConfigError(f"the config does not describe a {name}: {type(error).__name__}: {error}") from error


def complete_config(
    configurator: ModelConfigurator, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> Mapping[str, Any]:
    """The config with what a configurator knows to read from the tensors' shapes, if it has ``complete_config``.

    Args:
        shapes: by the model's own names.

    Raises:
        ConfigError: a key or tensor that this needs is missing, or has the wrong type.
    """
    complete = getattr(configurator, "complete_config", None)
    if complete is None:
        return config
    with _config_errors(configurator):
        return complete(config, shapes)


def create_meta_model(
    configurator: ModelConfigurator, config: Mapping[str, Any], module_ops: Iterable[ModuleOps] = ()
) -> torch.nn.Module:
    """The model without weights (on the ``meta`` device), changed by each matching operation in order.

    Raises:
        ConfigError: a key the configurator needs is missing or has the wrong type.
        ValueError, NotImplementedError: the configurator refuses a value, in its own words.
    """
    with _config_errors(configurator), torch.device("meta"):
        model = configurator.from_config(config)
    for operation in module_ops:
        if operation.matcher(model):
            model = operation.mutator(model)
    return model
