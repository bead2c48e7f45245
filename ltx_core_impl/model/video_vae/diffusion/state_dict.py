"""What an LTX-2.5 file may hold beyond the decoder's own tensors (spec 03 §13.1)."""

from __future__ import annotations

from torch import Tensor

GATED_PROJECTIONS: dict[str, tuple[str, ...]] = {
    "gate_msa": ("attn.proj.weight", "attn.proj.bias"),
    "gate_mlp": ("mlp.w_down.weight",),
    "gate_ctx": ("context_proj.weight", "context_proj.bias"),
}
UNUSED_PREFIXES = ("coarse_", "type_emb")


def gate_of(name: str) -> str | None:
    """The gate that a file with gates has for the rows of tensor ``name``; None for tensors that are never gated."""
    for gate, projections in GATED_PROJECTIONS.items():
        for projection in projections:
            if name.endswith(f".{projection}"):
                return name.removesuffix(projection) + gate
    return None


def fold_gates(state: dict[str, Tensor], prefix: str = "") -> None:
    """Multiply the gates of each block into the rows of the projections they gate, and drop what is not used.

    Changes ``state`` (below ``prefix``), not its tensors. The published file has no gates.
    """
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        block, _, leaf = key.rpartition(".")
        if name.startswith(UNUSED_PREFIXES):
            del state[key]
        elif leaf in GATED_PROJECTIONS:
            gate = state.pop(key).float()
            for projection in GATED_PROJECTIONS[leaf]:
                target = f"{block}.{projection}"
                if target in state:
                    rows = gate.view(-1, *[1] * (state[target].ndim - 1))
                    state[target] = (state[target].float() * rows).to(state[target].dtype)
