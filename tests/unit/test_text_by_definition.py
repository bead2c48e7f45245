"""Connectors and feature extractors against second ones written from spec 05, over sizes no fixture has."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu

from ltx_core_impl.model.transformer.rope import RopeType
from ltx_core_impl.text_encoders.gemma.embeddings_connector import Embeddings1DConnector, convert_to_additive_mask
from ltx_core_impl.text_encoders.gemma.embeddings_processor import EmbeddingsProcessor
from ltx_core_impl.text_encoders.gemma.feature_extractor import FeatureExtractorV1, FeatureExtractorV2


def filled(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in name else 0.4 * noise)
    return module.eval()


def rms(x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def connector_by_definition(
    weights: dict[str, Tensor],
    x: Tensor,
    mask: Tensor,
    *,
    heads: int,
    layers: int,
    max_pos: float,
    split: bool,
    float64: bool,
) -> Tensor:
    """Spec 05 §9.2-9.4 for one prompt ``(T, C)`` in float64, position by position."""
    w = {name: value.double() for name, value in weights.items()}
    length, width = x.shape
    registers = w["learnable_registers"]
    tokens = [row for row, valid in zip(x.double(), mask, strict=True) if valid]
    x = torch.stack([tokens[t] if t < len(tokens) else registers[t % len(registers)] for t in range(length)])

    count = width // 2
    exponents = torch.linspace(0, 1, count, dtype=torch.float64 if float64 else torch.float32)
    grid = (10000.0**exponents * (math.pi / 2)).float()
    fractions = torch.arange(length, dtype=torch.float32) / max_pos
    angles = grid * (2 * fractions - 1)[:, None]
    cos, sin = angles.cos().double(), angles.sin().double()

    def linear(name: str, value: Tensor) -> Tensor:
        result = value @ w[f"{name}.weight"].T
        return result + w[f"{name}.bias"] if f"{name}.bias" in w else result

    def rotate(value: Tensor) -> Tensor:
        if not split:
            even, odd = value[:, 0::2], value[:, 1::2]
            return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(1)
        rotated = []
        half = width // heads // 2
        for head in range(heads):
            one, two = value[:, head * 2 * half :][:, :half], value[:, head * 2 * half + half :][:, :half]
            c, s = cos[:, head * half :][:, :half], sin[:, head * half :][:, :half]
            rotated += [one * c - two * s, two * c + one * s]
        return torch.cat(rotated, dim=1)

    for layer in range(layers):
        block = f"transformer_1d_blocks.{layer}."
        y = rms(x)
        q = rotate(rms(linear(f"{block}attn1.to_q", y)) * w[f"{block}attn1.q_norm.weight"])
        k = rotate(rms(linear(f"{block}attn1.to_k", y)) * w[f"{block}attn1.k_norm.weight"])
        v = linear(f"{block}attn1.to_v", y)
        outputs = []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            scores = q[:, part] @ k[:, part].T / math.sqrt(width // heads)
            output = scores.softmax(-1) @ v[:, part]
            if f"{block}attn1.to_gate_logits.weight" in w:
                gates = 2 * torch.sigmoid(linear(f"{block}attn1.to_gate_logits", y))
                output = output * gates[:, head : head + 1]
            outputs.append(output)
        x = x + linear(f"{block}attn1.to_out.0", torch.cat(outputs, dim=1))
        hidden = gelu(linear(f"{block}ff.net.0.proj", rms(x)), approximate="tanh")
        x = x + linear(f"{block}ff.net.2", hidden)
    return rms(x)


MASKS = [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0]]


@pytest.mark.parametrize("registers", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("heads", "head_dim", "layers", "max_pos", "split", "float64", "gated", "ff_bias"),
    [
        (3, 10, 2, 4096, True, True, True, True),
        (5, 2, 3, 40, True, False, False, False),
        (1, 12, 1, 1, False, False, False, True),
        (3, 6, 2, 7, False, True, True, False),
    ],
)
def test_connectors_of_any_size(
    registers: int,
    heads: int,
    head_dim: int,
    layers: int,
    max_pos: int,
    split: bool,
    float64: bool,
    gated: bool,
    ff_bias: bool,
) -> None:
    connector = filled(
        Embeddings1DConnector(
            heads=heads,
            head_dim=head_dim,
            num_layers=layers,
            max_pos=[max_pos],
            gated=gated,
            rope_type=RopeType.SPLIT if split else RopeType.INTERLEAVED,
            float64_grid=float64,
            ff_bias=ff_bias,
            num_registers=registers,
        )
    )
    mask = torch.tensor(MASKS)
    features = torch.randn(*mask.shape, heads * head_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        context, _ = connector(features, convert_to_additive_mask(mask, torch.float32))
    for row in range(len(MASKS)):
        expected = connector_by_definition(
            connector.state_dict(),
            features[row],
            mask[row],
            heads=heads,
            layers=layers,
            max_pos=max_pos,
            split=split,
            float64=float64,
        )
        torch.testing.assert_close(context[row].double(), expected, atol=5e-5, rtol=5e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dual", [False, True])
def test_features_of_each_prompt_are_those_of_its_definition(dual: bool, dtype: torch.dtype) -> None:
    """Another width (5), number of states (4) and outputs than any model; prompts of 0 padding up to all but one."""
    generator = torch.Generator().manual_seed(2)
    mask = torch.tensor(MASKS)
    hidden = (torch.randn(*mask.shape, 5, 4, generator=generator) * 3).to(dtype)
    extractor = FeatureExtractorV2(20, 9, 2) if dual else FeatureExtractorV1(20, 7)
    filled(extractor).to(dtype)
    with torch.no_grad():
        features = extractor(hidden, mask)
    weights = {name: value.double() for name, value in extractor.state_dict().items()}
    for row, valid in enumerate(mask.bool()):
        tokens = hidden[row, valid].double()
        if dual:
            normalized = tokens / (tokens.pow(2).mean(dim=1, keepdim=True) + 1e-6).sqrt()
        else:
            mean = tokens.sum(dim=(0, 1)) / (len(tokens) * 5 + 1e-6)
            extent = tokens.amax(dim=(0, 1)) - tokens.amin(dim=(0, 1))
            normalized = 8 * (tokens - mean) / (extent + 1e-6)
        for name, size in (("video", 9), ("audio", 2)):
            flat = normalized.flatten(1)
            if dual:
                expected = flat * math.sqrt(size / 5) @ weights[f"{name}_aggregate_embed.weight"].T
                expected = expected + weights[f"{name}_aggregate_embed.bias"]
            else:
                expected = flat @ weights["aggregate_embed.weight"].T
            tolerance = 1e-4 if dtype == torch.float32 else 0.15
            torch.testing.assert_close(
                getattr(features, name)[row, valid].double(), expected, atol=tolerance, rtol=tolerance
            )


@pytest.mark.parametrize("length", [4, 8, 20])
@pytest.mark.parametrize("tokens", [1, 3, 4])
def test_a_prompt_alone_is_a_padded_one_of_any_length(length: int, tokens: int) -> None:
    def connector(heads: int) -> Embeddings1DConnector:
        return filled(
            Embeddings1DConnector(heads=heads, head_dim=4, num_layers=2, max_pos=[64], gated=True, num_registers=4)
        )

    processor = EmbeddingsProcessor(filled(FeatureExtractorV2(15, 12, 8)), connector(3), connector(2))
    hidden = torch.randn(1, tokens, 5, 3, generator=torch.Generator().manual_seed(3))
    padded = torch.cat([torch.full((1, length - tokens, 5, 3), torch.nan), hidden], dim=1)
    mask = torch.tensor([[0] * (length - tokens) + [1] * tokens])
    with torch.no_grad():
        alone = processor.process_prompt(hidden, length=length)
        expected = processor.process_hidden_states(padded, mask)
    assert alone.video_encoding.shape == (1, length, 12)
    assert alone.audio_encoding.shape == (1, length, 8)
    for got, want in zip(alone, expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
