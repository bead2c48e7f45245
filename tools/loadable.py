"""Write the tables "what can be loaded" of the loaders' help pages, from the code that decides.

    python -m tools.loadable            # writes web/docs/*.md
    python -m tools.loadable --check    # fail if a page differs

Every row is made by running an example of the format through the loader's own planning: the class that its layer gets
says how it is kept.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

from ltx_core_impl.loader.header_types import Header
from ltx_core_impl.loader.plan import Source, Step, choose_layer_classes
from ltx_core_impl.quantization.catalogue import EXAMPLES, Example
from ltx_core_impl.quantization.formats import ComfyQuant, StoredFormat, stored_format
from ltx_core_impl.quantization.gguf_blocks import INSTALL, decodes_in_torch
from ltx_core_impl.quantization.linear import CastLinear, ScaledLinear
from ltx_core_impl.quantization.other_kinds import KINDS
from ltx_core_impl.quantization.packed import PackedLinear
from ltx_core_impl.text_encoders.gemma.files import GemmaTensors
from ltx_core_impl.text_encoders.gemma.files import StoredTensor as GemmaTensor
from ltx_core_impl.text_encoders.gemma.linear import Fp8Linear, Int8Linear, Nvfp4Linear
from ltx_core_impl.text_encoders.gemma.loading import install_quantized_linears

PAGES = Path(__file__).resolve().parents[1] / "web" / "docs"
BEGIN, END = "<!-- loadable: made by tools.loadable -->", "<!-- loadable: end -->"

KEPT = {
    nn.Linear: ("widened to 16 bit while it is read", "fused"),
    CastLinear: ("kept; cast up layer by layer", "fused, stays fp8"),
    ScaledLinear: ("kept; multiplied in fp8 where the GPU can", "fused, stays fp8"),
    PackedLinear: ("kept; unpacked layer by layer", "fused; the layers that it changes are widened"),
}
AS_THE_MODEL = "16 bit, or 32 where the device computes in that"
_HEADER_NAMES = {
    torch.bfloat16: "BF16", torch.float32: "F32", torch.float8_e4m3fn: "F8_E4M3", torch.uint8: "U8", torch.int8: "I8",
}  # fmt: skip


def kept_in_transformer(example: Example) -> type[nn.Module]:
    """The class that a layer stored so gets, with precision "auto"."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(256, 256, bias=False))
    source = Source(Header(Path("example"), {}), "0.weight", "0.weight", "0.weight", 0, example.weight)
    form = stored_format("0", example.weight, example.auxiliary)
    choose_layer_classes(model, [Step("0", "weight", source, form, {})])
    return type(model[0])


def kept_in_text_encoder(example: Example) -> type[nn.Module] | None:
    """The class that a layer of Gemma stored so gets; None for formats that it is not read in."""
    if example.weight.packing:
        return None
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(256, 256, bias=False))
    header = Header(Path("example"), {})
    stored = {"weight": example.weight, **example.auxiliary}
    tensors = {
        f"0.{leaf.replace('weight_scale_inv', 'weight_scale')}": GemmaTensor(
            header, leaf, _HEADER_NAMES[value.dtype], value.shape
        )
        for leaf, value in stored.items()
    }
    files = GemmaTensors(Path("example"), tensors, {}, {}, {"0": ComfyQuant("int8_tensorwise")})
    install_quantized_linears(model, files)
    return type(model[0])


def _item(name: str, makers: str, kept: str, lora: str = "") -> str:
    """A line for a narrow panel, in place of a row of a table."""
    return f"- **{name}**, by {makers}. In memory: {kept}." + (f" LoRA: {lora}." if lora else "")


def transformer_list() -> str:
    """The list of 'LTX-2 Load Checkpoint'."""
    rows = []
    for example in EXAMPLES:
        kept, lora = KEPT[kept_in_transformer(example)]
        if stored_format("0", example.weight, example.auxiliary) is StoredFormat.PLAIN:
            kept = AS_THE_MODEL
        if example.weight.packing and not decodes_in_torch(example.weight.packing):
            kept += f"; needs the package gguf (`{INSTALL}`)"
        rows.append(_item(example.name, example.makers, kept, lora))
    return "\n".join(rows)


def text_encoder_list() -> str:
    """The list of 'LTX-2 Load Text Encoder'."""
    kept = {nn.Linear: AS_THE_MODEL, PackedLinear: "kept; unpacked layer by layer"}
    kept |= dict.fromkeys((Fp8Linear, Int8Linear, Nvfp4Linear), "kept; unpacked layer by layer")
    rows = []
    for example in EXAMPLES:
        kind = kept_in_text_encoder(example)
        if kind is not None:
            rows.append(_item(example.name, example.makers, kept[kind]))
    return "\n".join(rows)


def _section(formats: str, more: str) -> str:
    refused = ", ".join(KINDS)
    return (
        f"{BEGIN}\n## What can be loaded\n\n{formats}\n\n{more}Refused by name, with what to use instead: {refused}, "
        "and any quantised layer with a tensor beside it that is not known for its format. Files that can run code "
        f"(.ckpt, .pt, .bin) are never read.\n{END}"
    )


def sections() -> dict[str, str]:
    """The generated part of each page."""
    wide = (
        "This is what precision auto does; bf16 widens all of it, fp8_cast and fp8_scaled_mm store the layers of the "
        "blocks in 8 bit whatever the file holds; choose one of them where a LoRA on a packed file takes too much "
        "memory. "
    )
    return {
        "LTX2CheckpointLoader": _section(transformer_list(), wide),
        "LTX2TextEncoderLoader": _section(text_encoder_list(), "Either one file or a Hugging Face folder. "),
    }


def page(name: str, section: str) -> str:
    """A page as it must be: its generated part replaced, or put before the last line."""
    text = (PAGES / f"{name}.md").read_text("utf-8")
    if BEGIN in text:
        return text[: text.index(BEGIN)] + section + text[text.index(END) + len(END) :]
    return f"{text.rstrip()}\n\n{section}\n"


def main() -> int:
    """Write or check the pages; 1 when a page differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs")
    check = parser.parse_args().check
    differing = [name for name, section in sections().items() if page(name, section) != _on_disk(name)]
    for name in differing:
        if check:
            print(f"web/docs/{name}.md differs; run python -m tools.loadable")
        else:
            (PAGES / f"{name}.md").write_text(page(name, sections()[name]), "utf-8")
    return 1 if check and differing else 0


def _on_disk(name: str) -> str:
    return (PAGES / f"{name}.md").read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main())
