"""Text encoders of the LTX-2 family."""

from __future__ import annotations

from ..on_demand import names_on_demand

__getattr__, __dir__, __all__ = names_on_demand(
    __name__,
    {
        ".context_file": ("StoredContext", "load_context", "save_context"),
        ".duration_head": ("DurationHeadConfigurator",),
    },
)
