"""Writes the example graphs: ``workflows/NAME.json`` to drag into the browser, ``workflows/api/NAME.json`` to queue.

    python3 tools/graphs/workflows.py            # write what the descriptions in this folder give
    python3 tools/graphs/workflows.py --check    # fail if a file on disk differs

Both files come from one description, so they cannot drift apart. Slot numbers, widget order and defaults come from the
nodes themselves, as a running ComfyUI tells them (``/object_info``).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.graphs.demo import PREFIX
from tools.graphs.graph import Graph, GraphError, api_prompt, check_graph
from tools.graphs.ui import ui_graph
from tools.provision import REPO, ProvisionError, continue_inside, provision
from tools.server import Server, ServerError

WORKFLOWS = REPO / "workflows"


def files(graphs: list[Graph], object_info: dict[str, Any]) -> dict[Path, str]:
    """The content of every workflow file."""
    contents = {}
    for graph in graphs:
        check_graph(graph, object_info)
        contents[WORKFLOWS / f"{graph.name}.json"] = _json(ui_graph(graph, object_info))
        contents[WORKFLOWS / "api" / f"{graph.name}.json"] = _json(api_prompt(graph, object_info))
    return contents


def differences(contents: dict[Path, str]) -> list[Path]:
    """The files on disk that differ from the descriptions, the missing and the left-over ones included."""
    known = {*WORKFLOWS.glob("*.json"), *WORKFLOWS.glob("api/*.json")}
    changed = [path for path, text in contents.items() if not path.exists() or path.read_text("utf-8") != text]
    return sorted({*changed, *(known - contents.keys())})


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def all_graphs() -> list[Graph]:
    """The graphs of every description in this folder: the modules with a list ``GRAPHS``.

    The notes of the published models' graphs begin with what to expect.
    """
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    modules = [importlib.import_module(f"tools.graphs.{name}") for name in names]
    graphs = [graph for module in modules for graph in getattr(module, "GRAPHS", ())]
    return [graph if graph.name.startswith(PREFIX) else _with_expectation(graph) for graph in graphs]


def _with_expectation(graph: Graph) -> Graph:
    from tools.graphs.expectations import expectation  # it needs PyTorch, which a plain python3 may lack

    (title, text), *others = graph.notes
    return replace(graph, notes=[(title, f"{expectation(graph)}\n{text}"), *others])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    arguments = parser.parse_args()
    try:
        if importlib.util.find_spec("torch") is None:
            return continue_inside(provision())
        with tempfile.TemporaryDirectory() as folder, Server(provision(), folder=Path(folder)) as server:
            contents = files(all_graphs(), server.client.object_info())
    except (ProvisionError, ServerError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stale = differences(contents)
    for path in stale:
        print(f"{path.relative_to(REPO)}: {'differs from its description' if arguments.check else 'written'}")
        if not arguments.check:
            if path in contents:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(contents[path], "utf-8")
            else:
                path.unlink()
    if arguments.check and stale:
        print("Run: python3 tools/graphs/workflows.py", file=sys.stderr)
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
