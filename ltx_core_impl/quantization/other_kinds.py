"""Calling files of quantisations that are not read here by their own names."""

from __future__ import annotations

from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

INSTEAD = "use the bf16, fp8, mxfp8, nvfp4, int8 (convrot) or GGUF file of the same model"

# Endings that only one maker's tensors have; the first that is found names the file.
_ENDINGS = (
    ((".absmax", ".quant_map", ".nested_absmax", ".SCB"), "bitsandbytes"),
    ((".wscales", ".smooth_factor", ".smooth_factor_orig", ".wcscales", ".wtscale"), "SVDQuant (nunchaku)"),
    (("._data", "._scale", "._shift"), "quanto"),
    (("_qdata", ":qdata"), "torchao"),
    ((".g_idx",), "GPTQ"),
    ((".W_q",), "HQQ"),
    ((".weight_packed",), "compressed-tensors"),
    ((".codebooks",), "AQLM"),
)
_METHODS = {
    "bitsandbytes": "bitsandbytes",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "svdquant": "SVDQuant (nunchaku)",
    "nunchaku": "SVDQuant (nunchaku)",
    "quanto": "quanto",
    "torchao": "torchao",
    "hqq": "HQQ",
    "aqlm": "AQLM",
    "eetq": "EETQ",
    "compressed-tensors": "compressed-tensors",
}
KINDS = tuple(dict.fromkeys((*_METHODS.values(), *(kind for _, kind in _ENDINGS))))
"""The names of all of them."""


def other_kind_of_tensors(shapes: Shapes) -> str | None:
    """The maker of the quantisation that the tensors' names and shapes show; None for files that are read here."""
    if any(".quant_state.bitsandbytes" in key for key in shapes):
        return "bitsandbytes"
    for endings, kind in _ENDINGS:
        if any(key.endswith(endings) for key in shapes):
            return kind
    packed = next((key for key in shapes if key.endswith(".qweight")), None)
    return None if packed is None else _gptq_or_awq(packed.removesuffix(".qweight"), shapes)


def _gptq_or_awq(layer: str, shapes: Shapes) -> str:
    """Both pack int32 words of 8 values: GPTQ along the inputs, AWQ along the outputs."""
    words, scales = shapes[f"{layer}.qweight"], shapes.get(f"{layer}.scales", ())
    return "AWQ" if len(words) == 2 and len(scales) == 2 and words[1] < scales[1] else "GPTQ"


def other_kind_of_config(config: Mapping[str, object]) -> str | None:
    """The quantisation that a ``config.json`` names in ``quantization_config``; None without one, or for plain fp8."""
    described = config.get("quantization_config")
    if not isinstance(described, Mapping):
        return None
    method = described.get("quant_method") or described.get("method")
    if method is None and ("load_in_4bit" in described or "load_in_8bit" in described):
        method = "bitsandbytes"
    if not isinstance(method, str) or method in ("fp8", "fbgemm_fp8"):
        return None
    return _METHODS.get(method.lower(), method[:100])
