"""How fast this card runs the pack: models of random weights of the published sizes, ours and diffusers in turns.

    python3 tools/gpu_check.py            # one NVIDIA card with 60 GB free; no file is read, eight minutes at most
    python3 tools/gpu_check.py --tiny     # the same code on a CPU with tiny models: that it works, not how fast

Checks small results against float32 first, and prints one table. ``--host`` adds runs of the distilled graph in a real
ComfyUI. docs/benchmark.md explains the rows. diffusers is compared with where it is installed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from tools.gpu import checkpoint, host_run
from tools.gpu import rows as timed
from tools.gpu.table import GpuRow, markdown
from tools.provision import provision, tiny_models
from tools.server import Server

PARTS = {
    "transformer": timed.transformer_rows,
    "decoder": timed.decoder_rows,
    "diffusion-decoder": timed.diffusion_decoder_rows,
}
SECONDS_AT_MOST = 480
FREE_GIB = (None, 24, 12, 8)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        print("error: no NVIDIA card is seen by PyTorch here. --tiny runs the same code on the CPU.", file=sys.stderr)
        return 1
    device = torch.device("cpu" if options.tiny else "cuda")
    setting = timed.Setting(device, options.tiny)
    started, done = time.monotonic(), []
    torch.set_grad_enabled(False)
    print(timed.check_numbers(setting), file=sys.stderr, flush=True)
    for name in options.parts:
        if time.monotonic() - started > SECONDS_AT_MOST:
            print(f"stopped after {SECONDS_AT_MOST} s; run the other parts with --parts", file=sys.stderr)
            break
        for row in PARTS[name](setting):
            done.append(row)
            print(_line(row), file=sys.stderr, flush=True)
            if time.monotonic() - started > SECONDS_AT_MOST:
                break
        timed.empty_cache(device)
    if done:
        print(markdown(done, _title(device), judged=not options.tiny))
    if options.host:
        print(host_run.markdown(list(_in_comfyui(options.tiny, device))))
    return 0


def _in_comfyui(tiny: bool, device: torch.device) -> Iterator[host_run.HostRun]:
    """Three runs of the distilled graph on a fresh server for each amount of free memory."""
    host = provision()
    with tempfile.TemporaryDirectory(dir=_memory_backed(), prefix="ltx2-gpu-") as name:
        folder = Path(name)
        if tiny:
            source = tiny_models()["checkpoints/ltx-2.3-tiny.safetensors"]
            file, widths, size = folder / "checkpoints" / source.name, (64, 32), (64, 64, 9)
            file.parent.mkdir()
            shutil.copyfile(source, file)
        else:
            file, widths, size = folder / "checkpoints" / "random-22b.safetensors", (4096, 2048), None
            file.parent.mkdir()
            started = time.monotonic()
            count = checkpoint.write_random_checkpoint(
                file, checkpoint.published_shapes(), checkpoint.published_file_config(), device
            )
            print(f"wrote {count / 1e9:.0f} GB in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            timed.empty_cache(device)
        context = folder / "embeddings" / "random-context.safetensors"
        context.parent.mkdir()
        checkpoint.write_random_context(context, widths)
        config = host_run.link_models(folder, file, context)
        prompt = host_run.graph(file.name, context.name, size)
        for free in (None,) if tiny else FREE_GIB:
            label = "whole" if free is None else f"{free} GiB free"
            with (
                host_run.filled(None if free is None else free * 2**30),
                Server(
                    host,
                    folder=folder / "server",
                    cpu=tiny,
                    options=["--extra-model-paths-config", str(config)],
                ) as server,
            ):
                for run in host_run.repeated(server.client, prompt, label):
                    print(f"{label}, run {run.number}: {run.seconds:.1f} s", file=sys.stderr, flush=True)
                    yield run


def _memory_backed() -> str | None:
    """Where files lie in memory, if this system has such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  a folder of our own is made there


def _line(row: GpuRow) -> str:
    ratio = "" if row.ratio is None else f", {row.ratio:.2f} of {row.against}"
    return f"{row.what}: {min(row.ours) * 1000:.0f} ms{ratio}"


def _title(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, tiny models (no figure means speed)"
    return f"{name}, PyTorch {torch.__version__}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU: does it work?")
    parser.add_argument("--host", action="store_true", help="also run the distilled graph in a real ComfyUI")
    parser.add_argument("--parts", nargs="*", choices=tuple(PARTS), default=tuple(PARTS), help="what to measure")
    return parser


if __name__ == "__main__":
    sys.exit(main())
