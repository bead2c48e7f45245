"""A Gemma 4 that writes prompts: its answers against transformers', its settings, what is refused."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from ltx_core_impl.quantization.int8 import dequantize_int8
from ltx_core_impl.text_encoders.gemma import (
    PromptEnhancementError,
    Sampling,
    TextEncoderFileError,
    clean_response,
    enhance_prompt,
    load_writer,
    open_writer,
    writer,
)
from ltx_core_impl.text_encoders.gemma.files import open_tensors
from ltx_core_impl.text_encoders.gemma.generation import generate
from ltx_core_impl.text_encoders.gemma.linear import Int8Linear
from ltx_core_impl.text_encoders.gemma.system_prompts import GEMMA4_TEXT_TO_VIDEO
from ltx_core_impl.text_encoders.gemma.versions import parse_version
from tests.text_helpers import GEMMA3

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ message.role }}\n{{ message.content | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
CONFIG = {
    "model_type": "gemma4",
    "eos_token_id": [1, 106],
    "text_config": {
        "model_type": "gemma4_text",
        "vocab_size": 512,
        "vocab_size_per_layer_input": 512,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 6,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "global_head_dim": 32,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "sliding_window": 8,
        "final_logit_softcapping": 30.0,
        "layer_types": [*["sliding_attention"] * 2, "full_attention"] * 2,
    },
}
needs_gemma4 = pytest.mark.skipif(
    parse_version(transformers.__version__) < (5, 8),
    reason=f"GEMMA 4 AS A WRITER IS NOT TESTED: transformers {transformers.__version__} has no Gemma 4; "
    "tools/transformers_versions.py installs versions that have it, test_text_transformers.py runs this file with them",
)


def side_files(folder: Path, config: dict = CONFIG) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(GEMMA3 / name, folder / name)


@pytest.fixture(scope="module")
def peer() -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    text = {key: value for key, value in CONFIG["text_config"].items() if key != "model_type"}
    model = transformers.Gemma4ForCausalLM(transformers.Gemma4TextConfig(**text)).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def weights(peer: transformers.PreTrainedModel, prefix: str) -> dict[str, torch.Tensor]:
    named = {name: value.clone() for name, value in peer.model.state_dict().items()}
    shared = {  # what published files hold for layers that take keys and values from earlier ones
        f"layers.{layer}.self_attn.{part}.weight": torch.zeros(16, 32)
        for layer in (4, 5)
        for part in ("k_proj", "v_proj")
    }
    return {f"{prefix}{name}": value for name, value in (named | shared).items()}


@pytest.fixture(params=["folder", "single file"])
def place(request: pytest.FixtureRequest, peer: transformers.PreTrainedModel, tmp_path: Path) -> Path:
    """The two ways in which such a model is stored."""
    side_files(tmp_path / "e2b")
    if request.param == "folder":
        save_file(weights(peer, "model.language_model."), tmp_path / "e2b" / "model.safetensors")
        return tmp_path / "e2b"
    path = tmp_path / "e2b" / "gemma4_e2b_it_bf16.safetensors"
    save_file(weights(peer, "model."), path)
    return path


def greedy(peer: transformers.PreTrainedModel, ids: torch.Tensor, count: int = 14) -> list[int]:
    with torch.no_grad():
        answer = peer.generate(
            ids[None],
            attention_mask=torch.ones_like(ids)[None],
            do_sample=False,
            max_new_tokens=count,
            eos_token_id=511,
            pad_token_id=0,
        )
    return [token for token in answer[0, len(ids) :].tolist() if token != 511]


LIKELIEST = Sampling(top_k=1)


@needs_gemma4
def test_the_likeliest_answer_is_transformers(place: Path, peer: transformers.PreTrainedModel) -> None:
    """Per-layer embeddings, shared keys and values, two widths of feed-forward, beyond the sliding window."""
    made = load_writer(place, dtype=torch.float32)
    asked = made.request("a red circle moves", "expand this")
    ids = asked["ids"]
    assert ids[0] == made.tokenizer.bos_id != ids[1], "one BOS"
    assert "expand this" in made.tokenizer.decode(ids.tolist())
    actual, _ = generate(made.writer, **asked, max_new_tokens=14, stop_ids={511}, seed=0, sampling=LIKELIEST)
    assert actual == greedy(peer, ids)
    assert len(set(actual)) > 3, "an answer that repeats itself shows nothing"
    assert made.stop_ids == {made.tokenizer.eos_id, 1, 106}


@needs_gemma4
def test_int8_with_rotation_is_what_its_codes_mean(peer: transformers.PreTrainedModel, tmp_path: Path) -> None:
    stored, meant = weights(peer, "model."), copy.deepcopy(peer)
    generator = torch.Generator().manual_seed(0)
    for name, module in meant.model.named_modules():
        if not isinstance(module, torch.nn.Linear) or module.in_features % 16:
            continue
        codes = torch.randint(-127, 128, module.weight.shape, generator=generator, dtype=torch.int8)
        scale = torch.rand(len(codes), 1, generator=generator) * 0.005 + 0.001
        module.weight.data = dequantize_int8(codes, scale, 16, torch.float32)
        form = json.dumps({"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 16})
        stored[f"model.{name}.weight"], stored[f"model.{name}.weight_scale"] = codes, scale
        stored[f"model.{name}.comfy_quant"] = torch.tensor(list(form.encode()), dtype=torch.uint8)
    side_files(tmp_path)
    save_file(stored, tmp_path / "gemma4_e2b_it_int8_convrot.safetensors")
    made = load_writer(tmp_path / "gemma4_e2b_it_int8_convrot.safetensors", dtype=torch.float32)
    assert isinstance(made.language_model.layers[0].mlp.gate_proj, Int8Linear)
    asked = made.request("a red circle moves", "expand this")
    actual, _ = generate(made.writer, **asked, max_new_tokens=14, stop_ids={511}, seed=0, sampling=LIKELIEST)
    assert actual == greedy(meant, asked["ids"]) != greedy(peer, asked["ids"])


@needs_gemma4
def test_an_enhanced_prompt_and_what_is_asked_for_it(
    place: Path, peer: transformers.PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, requests = load_writer(place, dtype=torch.float32), []
    expected = greedy(peer, made.request("a red circle", "expand this")["ids"])
    made.stop_ids = {expected[10]}
    expected = expected[: expected.index(expected[10])]
    text = enhance_prompt(made, "a red circle", system_prompt="expand this", sampling=LIKELIEST, max_new_tokens=20)
    assert text == clean_response(made.tokenizer.decode(expected)).strip()
    original = writer.PromptWriter.request
    monkeypatch.setattr(
        writer.PromptWriter, "request", lambda self, *asked: requests.append(asked) or original(self, *asked)
    )
    made.stop_ids = set()
    with pytest.raises(PromptEnhancementError, match="not finished after 2 tokens"):
        enhance_prompt(made, "a red circle", max_new_tokens=2)
    assert requests == [("a red circle", GEMMA4_TEXT_TO_VIDEO)]
    with pytest.raises(PromptEnhancementError, match="from the text alone"):
        enhance_prompt(made, "a red circle", image=torch.zeros(8, 8, 3))


@needs_gemma4
def test_a_file_that_does_not_fit_its_config(peer: transformers.PreTrainedModel, tmp_path: Path) -> None:
    wider = json.loads(json.dumps(CONFIG))
    wider["text_config"]["hidden_size"] = 64
    side_files(tmp_path, wider)
    save_file(weights(peer, "model."), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="unexpected shape"):
        writer.judge_writer(tmp_path)
    wider["text_config"]["hidden_size"] = "wide"
    side_files(tmp_path, wider)
    with pytest.raises(TextEncoderFileError, match="describes no Gemma 4 that transformers can build"):
        writer.judge_writer(tmp_path)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A file that holds an embedding only: headers are judged before weights are asked for."""
    side_files(tmp_path)
    save_file({"model.embed_tokens.weight": torch.zeros(512, 32)}, tmp_path / "gemma4_e2b_it_bf16.safetensors")
    return tmp_path / "gemma4_e2b_it_bf16.safetensors"


def test_what_is_refused_by_name(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "installed_transformers", lambda: "5.8.0")
    found = open_writer(empty)
    assert (found.template, found.stop_tokens) == (TEMPLATE, (1, 106))
    for version, said in (("4.57.6", "version 4.57.6 is installed"), (None, "none is installed")):
        monkeypatch.setattr(writer, "installed_transformers", lambda version=version: version)
        with pytest.raises(TextEncoderFileError, match=rf'5\.8 or newer; {said}.*pip install "transformers'):
            open_writer(empty)
    monkeypatch.setattr(writer, "installed_transformers", lambda: "5.8.0")
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        (empty.parent / name).unlink()
    with pytest.raises(TextEncoderFileError, match=r"chat_template\.jinja is missing"):
        open_writer(empty)
    for config, said in (
        ({"model_type": "gemma3"}, "is a 'gemma3' model"),
        ({"model_type": "gemma4_text", "enable_moe_block": True}, "with experts"),
    ):
        side_files(empty.parent, config)
        with pytest.raises(TextEncoderFileError, match=said):
            open_writer(empty)
    (empty.parent / "config.json").unlink()
    with pytest.raises(TextEncoderFileError, match=r"config\.json is missing.*google/gemma-4-E2B-it"):
        open_writer(empty)


def test_a_template_that_is_no_text_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "installed_transformers", lambda: "5.8.0")
    (empty.parent / "chat_template.jinja").write_bytes(b"{{ bos_token }}\xff")
    with pytest.raises(TextEncoderFileError, match=r"byte 15 is no UTF-8.*Copy chat_template\.jinja from"):
        open_writer(empty)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for message in messages %}", "TemplateSyntaxError"),
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[0].content.tools[0] }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
def test_a_broken_template_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch, template: str, said: str) -> None:
    """The network is never asked, so that any version of transformers will do."""
    files = writer.WriterFiles(open_tensors(empty), {}, template, ())
    made = writer.PromptWriter(writer._Network(_Anything()), files)
    with pytest.raises(TextEncoderFileError, match=rf"its chat template is no Jinja.*{said}.*Copy chat_template"):
        made.request("a red circle", "expand this")
    # At the queue, where everything else about the file has been found good before.
    monkeypatch.setattr(writer, "open_writer", lambda path: files)
    monkeypatch.setattr(writer, "_new_network", lambda files: torch.nn.Module())
    with pytest.raises(TextEncoderFileError, match=said):
        writer.judge_writer(empty)


class _Anything(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Linear(1, 1)


def test_two_weight_files_in_a_folder_are_not_guessed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(TextEncoderFileError, match="several weight files"):
        open_writer(tmp_path)


@pytest.mark.parametrize(
    "values",
    [{"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"min_p": 2.0}, {"repetition_penalty": 0.0}],
)
def test_impossible_sampling_is_refused(values: dict) -> None:
    with pytest.raises(ValueError, match="Sampling needs"):
        Sampling(**values)
