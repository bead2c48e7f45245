"""The command line that every step shares."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

DEFAULT_FOLDER = Path("build/demo-model")


def parse(description: str | None, *, steps: int, batch: int, rate: float) -> argparse.Namespace:
    """Steps, batch size, learning rate, seed, folder and threads; sets the number of threads."""
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=steps, help="optimiser steps in all, done ones included")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="states, logs and plots of all steps")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments
