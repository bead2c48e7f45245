#!/usr/bin/env bash
# Library: comfy-kitchen 0.2.31 (with torch 2.11.0), as ComfyUI uses it to write mxfp8 files.
# Expectation: the scales of an mxfp8 weight (128, 128) are a tensor (128, 4): one per row and 32 inputs, row by row.
# What happens: the tensor has that shape, but holds the scales in the tiled order of cuBLAS (tiles of 128 x 4, inside
#   them 32 x 4 x 4). Nothing in dtype, shape or name tells the two apart.
# Why it matters here: a loader that reads them row by row gives noise without an error, since every row gets the
#   scale of another one. ltx_core_impl/quantization/mxfp8.py undoes the order.
# Prints the version, what is expected and what is seen; fails when the library changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if command -v uv >/dev/null; then
  uv venv -q "$folder/venv" && uv pip install -q --python "$folder/venv/bin/python" torch==2.11.0 numpy packaging comfy-kitchen==0.2.31
else
  python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q torch==2.11.0 numpy packaging comfy-kitchen==0.2.31
fi
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import torch
from comfy_kitchen.backends.eager.quantization import quantize_mxfp8

print("comfy-kitchen", importlib.metadata.version("comfy-kitchen"), "torch", torch.__version__)
# Row r is 2^(r % 7), so that the scale of each row is known.
weight = torch.exp2(torch.arange(128) % 7.0)[:, None].repeat(1, 128)
codes, scales = quantize_mxfp8(weight)
seen = scales.view(torch.uint8)
plain = (weight.unflatten(1, (4, 32)).amax(-1) / 448).log2().ceil().int().add(127).to(torch.uint8)
tiled = plain.reshape(4, 32, 4).permute(1, 0, 2).reshape(128, 4)
print("expected, row by row:", plain[:4].tolist(), "shape", tuple(plain.shape))
print("seen:                ", seen[:4].tolist(), "shape", tuple(seen.shape))
assert seen.shape == plain.shape, "the shape tells the order now"
assert not torch.equal(seen, plain), "the scales are row by row now"
assert torch.equal(seen, tiled), "the scales are in another order now"
print("the scales are tiled in a tensor of a plain one's shape")
PYTHON
