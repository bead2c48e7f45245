"""Turns a graph made for other LTX nodes (ComfyUI's own, or the official pack's) into one of this pack's nodes.

    python3 tools/convert.py GRAPH.json [-o OUT.json]

GRAPH.json: saved from the browser, or an API prompt. What comes out is an API prompt: queue it, or drag it into the
browser, which lays it out. What has no counterpart is listed; docs/nodes-map.md says more about each node. Needs only
Python.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.conversion.graphs import convert
from tools.conversion.reading import ConversionError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("graph", metavar="GRAPH.json")
    parser.add_argument("-o", "--out", help="where it is written; else GRAPH-ltx2.json beside it, never over a file")
    options = parser.parse_args(arguments)
    source = Path(options.graph)
    target = Path(options.out) if options.out else source.with_name(f"{source.stem}-ltx2.json")
    try:
        if target.exists() and (not options.out or target.resolve() == source.resolve()):
            raise ConversionError(f"{target} is there already; name another file with -o.")
        prompt, notes = convert(json.loads(source.read_text("utf-8")))
        target.write_text(json.dumps(prompt, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except (ConversionError, OSError, ValueError, RecursionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{target}: {len(prompt)} nodes")
    for note in notes:
        print(f"- {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
