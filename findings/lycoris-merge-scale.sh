#!/usr/bin/env bash
# Library: lycoris-lora 4.1.3 (with torch 2.11.0).
# Expectation: get_merged_weight of LoHa and LoKr modules gives the weight that the module computes with while it trains.
# What happens: with alpha below the rank it does not: the change is multiplied by alpha / rank twice (get_weight has the
#   scale already, get_diff_weight multiplies by it again). LoCon is right. merge_to gives the same weight as
#   get_merged_weight.
# Why it matters here: merging is the obvious way to ask LyCORIS what an adapter does to a weight. Checked against it, a
#   right implementation looks wrong by the factor rank / alpha; tests/unit/test_adapter_peers.py asks forward instead.
# Prints the version, what is expected and what is seen; fails when the library changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
packages="torch==2.11.0 numpy einops toml tqdm lycoris-lora==4.1.3"
if command -v uv >/dev/null; then
  uv venv -q "$folder/venv" && uv pip install -q --python "$folder/venv/bin/python" $packages
else
  python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q $packages
fi
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata

import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule

print("lycoris-lora", importlib.metadata.version("lycoris-lora"), "torch", torch.__version__)
ratios = {}
for kind in (LoConModule, LohaModule, LokrModule):
    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 36, bias=False)
    module = kind("x", layer, 1.0, 2, 1).eval()  # rank 2, alpha 1
    for parameter in module.parameters():
        parameter.data.normal_()
    with torch.no_grad():
        computed = module(torch.eye(24)).t() - layer.weight
        merged = module.get_merged_weight()[0] - layer.weight
    ratios[kind.__name__] = round((merged.norm() / computed.norm()).item(), 4)
expected = {name: 1.0 for name in ratios}
print("expected, merged / computed:", expected)
print("seen:", ratios)
assert ratios == {"LoConModule": 1.0, "LohaModule": 0.5, "LokrModule": 0.5}, "the library has changed"
PYTHON
