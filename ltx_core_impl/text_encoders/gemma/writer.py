"""Gemma 4 as a writer of prompts: a dense Gemma 4 such as E2B, which only reads and writes text here (spec 05 §15.5).

Its network is transformers' own; per-layer embeddings and layers that share keys and values are described by its
config.json alone, since the tensors of a file do not show how many layers share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .config import TextEncoderFileError
from .files import GemmaTensors, open_tensors, parse_json, read_json
from .loading import check_complete, install_quantized_linears, read_tensors
from .networks import fill_buffers, installed_transformers
from .tokenizer import LTXVGemmaTokenizer
from .versions import parse_version

_FIRST = (5, 8)
_TYPES = ("gemma4", "gemma4_text")
_NOT_ARCHITECTURE = ("model_type", "architectures", "dtype", "torch_dtype", "transformers_version")
_TEMPLATE, _CONFIG = "chat_template.jinja", "config.json"
_SOURCE = "the repository of the model (google/gemma-4-E2B-it)"


@dataclass(frozen=True)
class WriterFiles:
    """A writer judged from its headers and side files.

    Attributes:
        stored: the tensors and the tokenizer.
        text_config: the part of its config about the language model.
        template: the chat template, a Jinja text.
        stop_tokens: ids that end an answer, the tokenizer's own aside.
    """

    stored: GemmaTensors
    text_config: Mapping[str, Any]
    template: str
    stop_tokens: tuple[int, ...]


def open_writer(path: str | Path) -> WriterFiles:
    """Read headers and side files of a Gemma 4 that writes; no weights are read.

    Args:
        path: a folder, or a single file with config.json and chat_template.jinja beside it or in its metadata.

    Raises:
        TextEncoderFileError: not such a model, something is missing, or transformers is too old; says what to do.
    """
    stored = open_tensors(path)
    folder = stored.path if stored.path.is_dir() else stored.path.parent
    config = _side_object(stored, folder, _CONFIG, "config")
    if config is None:
        raise TextEncoderFileError(
            f"{stored.path}: config.json is missing, without which nobody knows how many layers share keys and values. "
            f"Put the config.json, {_TEMPLATE} and tokenizer.json of {_SOURCE} into a folder with this file."
        )
    model_type = config.get("model_type")
    text = config.get("text_config", config)
    if model_type not in _TYPES or not isinstance(text, Mapping):
        raise TextEncoderFileError(
            f"{stored.path} is a {model_type!r} model; a prompt writer is a Gemma 4 (model_type gemma4). Gemma 3 "
            "writes as well, through 'LTX-2 Load Text Encoder'."
        )
    if text.get("enable_moe_block"):
        raise TextEncoderFileError(f"{stored.path} is a Gemma 4 with experts; only dense ones write here, such as E2B.")
    found = installed_transformers()
    if parse_version(found) < _FIRST:
        needed = ".".join(map(str, _FIRST))
        raise TextEncoderFileError(
            f"Gemma 4 as a prompt writer needs the Python package transformers {needed} or newer; "
            f"{'version ' + found if found else 'none'} is installed. Run: python -m pip install "
            f'"transformers>={needed}", with the Python that runs ComfyUI, and start it again. Or let Gemma 3 write.'
        )
    return WriterFiles(
        stored=stored,
        text_config=text,
        template=_template(stored, folder),
        stop_tokens=_stop_tokens(config, text, _side_object(stored, folder, "generation_config.json") or {}),
    )


class PromptWriter(nn.Module):
    """A Gemma 4 with its tokenizer and chat template, for :func:`enhance_prompt`."""

    def __init__(self, network: nn.Module, files: WriterFiles) -> None:
        super().__init__()
        self.language_model = network.language_model
        self.tokenizer = LTXVGemmaTokenizer(files.stored.tokenizer())
        self.path = files.stored.path
        self.template = files.template
        self.stop_ids = {self.tokenizer.eos_id, *files.stop_tokens}
        self._writer = (network.writer,)  # holds the module above: in a tuple, so that it is not registered twice

    @property
    def writer(self) -> nn.Module:
        """transformers' model that generates text, on the weights of the module here."""
        (writer,) = self._writer
        writer.get_output_embeddings().weight = self.language_model.embed_tokens.weight
        return writer.eval()

    def request(self, prompt: str, system_prompt: str) -> dict[str, Tensor]:
        """What :func:`generate` is asked: ``ids`` ``(T,)`` of the conversation in the model's own chat template.

        Raises:
            TextEncoderFileError: the template is broken, or refuses such a conversation.
        """
        text = _conversation(self.path, self.template, prompt, system_prompt)
        ids = self.tokenizer.encode_whole(text)
        bos = self.tokenizer.bos_id
        ids = ids[1:] if ids[:2] == [bos, bos] else ids  # the template writes one as well
        return {"ids": torch.tensor(ids, device=self.language_model.embed_tokens.weight.device)}


def load_writer(
    path: str | Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> PromptWriter:
    """Build a writer and read its weights.

    Raises:
        MissingTensorsError, ShapeMismatchError: tensors are missing or have another shape (both list them).
        TextEncoderFileError: as :func:`open_writer`.
    """
    files = open_writer(path)
    network = _new_network(files)
    network.requires_grad_(False)
    wanted = network.state_dict()
    check_complete(files.stored.path, wanted, files.stored.tensors)
    network.load_state_dict(read_tensors(wanted, files.stored, dtype, device, progress), assign=True)
    fill_buffers(network, device)
    return PromptWriter(network, files).requires_grad_(False).eval()


def judge_writer(path: str | Path) -> WriterFiles:
    """Open a writer and check config, names, shapes and chat template without reading a weight.

    Raises:
        CheckpointError: as :func:`open_writer` and :func:`load_writer`.
    """
    files = open_writer(path)
    check_complete(files.stored.path, _new_network(files).state_dict(), files.stored.tensors)
    files.stored.tokenizer()
    _conversation(files.stored.path, files.template, "a prompt", "what to do with it")
    return files


class _Network(nn.Module):
    """transformers' language model under the name that the files' tensors have here."""

    vision_tower = None

    def __init__(self, writer: nn.Module) -> None:
        super().__init__()
        self.language_model = writer.model
        self._writer = (writer,)

    @property
    def writer(self) -> nn.Module:
        return self._writer[0]


def _new_network(files: WriterFiles) -> _Network:
    from transformers import Gemma4ForCausalLM, Gemma4TextConfig

    settings = {name: value for name, value in files.text_config.items() if name not in _NOT_ARCHITECTURE}
    try:
        with torch.device("meta"):
            network = _Network(Gemma4ForCausalLM(Gemma4TextConfig(**settings, attn_implementation="sdpa")))
            install_quantized_linears(network, files.stored)
    except Exception as error:  # whatever transformers makes of values that are no architecture
        raise TextEncoderFileError(
            f"{files.stored.path}: its config describes no Gemma 4 that transformers can build "
            f"({type(error).__name__}: {error}). Copy config.json from {_SOURCE} again."
        ) from error
    return network


def _conversation(path: Path, template: str, prompt: str, system_prompt: str) -> str:
    """What a chat template makes of a request. Raises TextEncoderFileError for one that is broken or refuses it."""
    from transformers import PreTrainedTokenizerFast

    chat = PreTrainedTokenizerFast(
        tokenizer_object=_bare_tokenizer(),
        bos_token="<bos>",  # noqa: S106
        eos_token="<eos>",  # noqa: S106
        chat_template=template,
    )
    messages = [
        {"role": "system", "content": system_prompt},
        {"role": "user", "content": f"user prompt: {prompt}"},
    ]
    try:
        return chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever Jinja makes of a template that is none, or of what it asks for
        raise TextEncoderFileError(
            f"{path}: its chat template is no Jinja text that can lay out a system prompt and a user's "
            f"({type(error).__name__}: {error}). Copy {_TEMPLATE} from {_SOURCE} again, into the folder of this file."
        ) from error


def _bare_tokenizer() -> Any:
    """A tokenizer without words: the chat template only needs the names of the special tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))  # noqa: S106


def _template(stored: GemmaTensors, folder: Path) -> str:
    beside = folder / _TEMPLATE
    if beside.is_file():
        return _text_of(beside)
    within = stored.metadata.get("chat_template")
    config = _side_object(stored, folder, "tokenizer_config.json") or {}
    template = within or config.get("chat_template")
    if not isinstance(template, str):
        raise TextEncoderFileError(
            f"{stored.path}: {_TEMPLATE} is missing, which says how this model is spoken to. Copy it from {_SOURCE} "
            "into the folder of this file."
        )
    return template


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise TextEncoderFileError(
            f"{path} is no text: byte {error.start} is no UTF-8. A chat template is needed there, which is UTF-8. Copy "
            f"{_TEMPLATE} from {_SOURCE} again."
        ) from error
    except OSError as error:
        raise TextEncoderFileError(
            f"{path} cannot be read ({error}). Make it readable for the user that runs ComfyUI, or copy {_TEMPLATE} "
            f"from {_SOURCE} again."
        ) from error


def _side_object(stored: GemmaTensors, folder: Path, name: str, key: str | None = None) -> dict | None:
    """A JSON object from the metadata or packed into the file, or from beside it."""
    if key is not None and key in stored.metadata:
        return parse_json(stored.metadata[key], f"{key} in the metadata of {stored.path}")
    packed = stored.raw.get(f"hf_asset__{name}")
    if packed is not None:
        return parse_json(packed.read_bytes(), f"{name} inside {stored.path}")
    beside = folder / name
    return read_json(beside) if beside.is_file() else None


def _stop_tokens(*configs: Mapping[str, Any]) -> tuple[int, ...]:
    found: set[int] = set()
    for config in configs:
        value = config.get("eos_token_id")
        values = value if isinstance(value, list) else [value]
        found |= {one for one in values if isinstance(one, int) and not isinstance(one, bool)}
    return tuple(sorted(found))
