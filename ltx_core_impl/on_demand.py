"""Names that a package offers and imports when they are first asked for, so that one name costs one module."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def names_on_demand(
    package: str, modules: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package (PEP 562).

    Args:
        package: the package's ``__name__``.
        modules: names by the module that defines them, relative to the package. No name may be that of a module of the
            package: once imported, the module would stand where the name belongs.
    """
    where = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(where[name], package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where})

    return load, names, sorted(where)
