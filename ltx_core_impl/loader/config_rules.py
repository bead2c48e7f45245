"""Rules that a value of a config must keep, and the one sentence that says which value breaks one, and how.

What the models' configs hold is in `config_schema`; here is what a whole number, a flag, a list of sizes is. A rule
takes a value and the place where it stands (``FILE: config.transformer.num_layers``), and raises ``ConfigError``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .config import MAX_COUNT, MAX_SIZE
from .errors import ConfigError

_SHOWN = 80


class Rule(Protocol):
    """Judges one value."""

    def check(self, value: Any, where: str) -> None:
        """Raises ``ConfigError``: ``where``, what the value is, what is needed."""


def refuse(value: Any, where: str, needed: str) -> None:
    """Raise ``ConfigError`` for a value."""
    text = json.dumps(value)
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    raise ConfigError(f"{where} is {text}; {needed} is needed. Use the file as published")


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``; true and false are none."""

    low: int = 1
    high: int = MAX_SIZE
    multiple_of: int = 1

    def check(self, value: Any, where: str) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not self.low <= value <= self.high or value % self.multiple_of:
            kind = f"a multiple of {self.multiple_of}" if self.multiple_of > 1 else "a whole number"
            refuse(value, where, f"{kind} from {self.low} to {self.high}")


@dataclass(frozen=True)
class Number:
    """A finite number from ``low`` to ``high``; without ``low`` itself when ``above``."""

    low: float = 0.0
    high: float = float(MAX_SIZE)
    above: bool = True

    def check(self, value: Any, where: str) -> None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not self.low <= value <= self.high or (self.above and value == self.low):
            refuse(value, where, f"a number {'above' if self.above else 'from'} {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, bool):
            refuse(value, where, "true or false")


@dataclass(frozen=True)
class Text:
    """Any text."""

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, str):
            refuse(value, where, "a text")


@dataclass(frozen=True)
class Among:
    """One of these values, of the same type: 1 is not true, and 0.0 is 0."""

    values: tuple[Any, ...]

    def check(self, value: Any, where: str) -> None:
        same = (known for known in self.values if isinstance(known, bool) == isinstance(value, bool))
        if not any(known == value for known in same):
            refuse(value, where, " or ".join(json.dumps(known) for known in self.values))


@dataclass(frozen=True)
class Null:
    """The rule, or null."""

    rule: Rule

    def check(self, value: Any, where: str) -> None:
        if value is not None:
            self.rule.check(value, where)


@dataclass(frozen=True)
class ListOf:
    """A list of ``least`` to ``most`` values that keep a rule each."""

    rule: Rule
    least: int = 1
    most: int = MAX_COUNT

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)) or not self.least <= len(value) <= self.most:
            count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            refuse(value, where, f"a list of {count} values")
        for index, item in enumerate(value):
            self.rule.check(item, f"{where}[{index}]")


@dataclass(frozen=True)
class Pair:
    """A list of two values with a rule each."""

    first: Rule
    second: Rule

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            refuse(value, where, "a list of two values")
        self.first.check(value[0], f"{where}[0]")
        self.second.check(value[1], f"{where}[1]")


@dataclass(frozen=True)
class Fields:
    """An object. Keys without a rule are of no use here and are left alone; a missing key has a default or is
    ``required``; lists named together in ``alike`` are as long as each other."""

    rules: Mapping[str, Rule]
    required: Sequence[str] = ()
    alike: Sequence[tuple[str, str]] = field(default=())

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            refuse(value, where, "an object")
        for key in self.required:
            if key not in value:
                raise ConfigError(f"{where}.{key} is missing. Use the file as published")
        for key, rule in self.rules.items():
            if key in value:
                rule.check(value[key], f"{where}.{key}")
        for one, other in self.alike:
            if one in value and other in value and len(value[one]) != len(value[other]):
                raise ConfigError(
                    f"{where}.{one} has {len(value[one])} values and {where}.{other} has {len(value[other])}; as many "
                    "are needed. Use the file as published"
                )


@dataclass(frozen=True)
class Block:
    """An entry of a VAE's block list: ``[name, options]``, where a whole number for the options means layers."""

    names: tuple[str, ...]

    def check(self, value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            refuse(value, where, "a list of a block's name and its options")
        name, options = value
        Among(self.names).check(name, f"{where}[0]")
        if isinstance(options, int):
            Whole(1, MAX_COUNT).check(options, f"{where}[1]")
            return
        Fields(
            {
                "num_layers": Whole(1, MAX_COUNT),
                "multiplier": Whole(1, 64),
                "inject_noise": Flag(),
                "residual": Flag(),
            },
            required=("num_layers",) if name == "res_x" else (),
        ).check(options, f"{where}[1]")
