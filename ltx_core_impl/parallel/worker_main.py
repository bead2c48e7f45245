"""Where a worker process begins: `workers.py` runs this file by its path, whatever the package is called there.

Inside ComfyUI the package has a name that another process cannot import, and the program's own main file must not run
a second time.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

RUN_NAME = "__ltx2_worker__"


def _begin(connection: object, setup: str) -> None:
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "ltx_core_impl", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["ltx_core_impl"] = package
    spec.loader.exec_module(package)
    importlib.import_module("ltx_core_impl.parallel.worker").serve(connection, setup)


if __name__ == RUN_NAME:
    _begin(globals()["connection"], globals()["setup"])
