"""What travels between a program and its worker processes: JSON and safetensors, over pipes that only they hold.

Nothing is pickled: a message is a text and the tensors that it names. A pipe has two ends without a name or an address,
one of which the operating system hands to the worker when it starts, so nobody else can write to it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from ..guidance.perturbations import BatchedPerturbationConfig, Perturbation, PerturbationConfig, PerturbationType
from ..model.transformer import Modality
from ..model.transformer.forks import Fork
from ..model.transformer.modality import TokenGroups
from ..model.transformer.rows import share_rows
from ..model.transformer.text_reading import TextReading, TextRun

KEPT = 64
"""Tensors that workers keep for the next pass: texts, positions, masks."""
_NEW_IN_EVERY_PASS = ("latent", "sigma", "timesteps")


def send(connection: Connection, message: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> None:
    """Sends a message and the tensors that it names."""
    connection.send_bytes(json.dumps(message).encode())
    # Copies: safetensors takes no two tensors of the same memory, such as one sigma for both streams.
    connection.send_bytes(save({name: one.cpu().clone().contiguous() for name, one in (tensors or {}).items()}))


def receive(connection: Connection) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The next message. Raises `EOFError` when the other side is gone."""
    message = json.loads(connection.recv_bytes())
    return message, load(connection.recv_bytes())


class PassWriter:
    """Describes passes; a tensor object that a pass before had is named and not sent again."""

    def __init__(self) -> None:
        self._sent: OrderedDict[tuple[int, int], tuple[Tensor, str]] = OrderedDict()
        self._count = 0

    def write(
        self,
        video: Modality | None,
        audio: Modality | None,
        perturbations: BatchedPerturbationConfig | None,
        forks: Sequence[Fork],
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The message of a pass."""
        tensors: dict[str, Tensor] = {}
        message = {
            "kind": "pass",
            "video": video and self._modality(video, tensors),
            "audio": audio and self._modality(audio, tensors),
            "perturbations": perturbations and [_config(one) for one in perturbations.perturbations],
            "forks": [(row, _config(one)) for row, one in forks],
            "drop": [],
        }
        while len(self._sent) > KEPT:
            _, (_, name) = self._sent.popitem(last=False)
            message["drop"].append(name)
        return message, tensors

    def clear(self) -> None:
        """Forgets all, as the workers do at the end of a run."""
        self._sent.clear()

    def _modality(self, modality: Modality, tensors: dict[str, Tensor]) -> dict[str, Any]:
        written: dict[str, Any] = {}
        for field in fields(Modality):
            value = getattr(modality, field.name)
            if isinstance(value, Tensor):
                value = self._tensor(value, tensors, keeps=field.name not in _NEW_IN_EVERY_PASS)
            elif isinstance(value, TokenGroups):
                value = [
                    None if one is None else self._tensor(one, tensors, keeps=True)
                    for one in (value.first, value.index)
                ]
            elif isinstance(value, TextReading):
                value = {"runs": [[self._run(run, tensors) for run in runs] for runs in value.rows]}
            written[field.name] = value
        return written

    def _run(self, run: TextRun, tensors: dict[str, Tensor]) -> list[Any]:
        weights = None if run.weights is None else self._tensor(run.weights, tensors, keeps=True)
        return [run.stop, run.texts, weights]

    def _tensor(self, tensor: Tensor, tensors: dict[str, Tensor], keeps: bool) -> dict[str, Any]:
        keeps = keeps and not tensor.is_inference()  # those have no version: a change would not show
        key = (id(tensor), tensor._version if keeps else 0)
        if keeps and key in self._sent:
            self._sent.move_to_end(key)
            return {"name": self._sent[key][1]}
        self._count += 1
        name = f"t{self._count}"
        if keeps:
            self._sent[key] = (tensor, name)  # referenced, so that its id is not used again
        tensors[name] = share_rows(tensor) if tensor.ndim else tensor
        return {"name": name, "rows": tensor.shape[0] if tensor.ndim else None, "keep": keeps}


class PassReader:
    """Reads what :class:`PassWriter` wrote, to tensors on a device; what is kept is the same object in every pass."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept: dict[str, Tensor] = {}

    def read(self, message: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
        """The arguments of the model."""
        perturbations = message["perturbations"]
        arguments = {
            "video": message["video"] and self._modality(message["video"], tensors),
            "audio": message["audio"] and self._modality(message["audio"], tensors),
            "perturbations": perturbations and BatchedPerturbationConfig([_read_config(one) for one in perturbations]),
            "forks": [(row, _read_config(one)) for row, one in message["forks"]],
        }
        for name in message["drop"]:
            self._kept.pop(name, None)
        return arguments

    def clear(self) -> None:
        """Forgets what was kept."""
        self._kept.clear()

    def _modality(self, written: dict[str, Any], tensors: dict[str, Tensor]) -> Modality:
        values = {}
        for name, value in written.items():
            if isinstance(value, dict) and "runs" in value:
                value = TextReading(tuple(tuple(self._run(run, tensors) for run in runs) for runs in value["runs"]))
            elif isinstance(value, dict):
                value = self._tensor(value, tensors)
            elif isinstance(value, list):
                value = TokenGroups(*(None if one is None else self._tensor(one, tensors) for one in value))
            values[name] = value
        return Modality(**values)

    def _run(self, written: list[Any], tensors: dict[str, Tensor]) -> TextRun:
        stop, texts, weights = written
        return TextRun(stop, tuple(texts), None if weights is None else self._tensor(weights, tensors))

    def _tensor(self, written: dict[str, Any], tensors: dict[str, Tensor]) -> Tensor:
        name = written["name"]
        if name in self._kept:
            return self._kept[name]
        tensor = tensors[name].to(self.device)
        rows = written["rows"]
        if rows is not None and tensor.shape[0] != rows:
            tensor = tensor.expand(rows, *tensor.shape[1:])
        if written["keep"]:
            self._kept[name] = tensor
        return tensor


def _config(config: PerturbationConfig) -> list[tuple[str, list[int] | None]]:
    return [
        (one.type.value, None if one.blocks is None else [int(block) for block in one.blocks])
        for one in config.perturbations or ()
    ]


def _read_config(written: list[list[Any]]) -> PerturbationConfig:
    return PerturbationConfig(tuple(Perturbation(PerturbationType(kind), blocks) for kind, blocks in written))
