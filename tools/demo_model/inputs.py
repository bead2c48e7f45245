"""Writes the small files that the demo graphs load: models/demo/inputs, for ComfyUI's input folder.

python -m tools.demo_model.inputs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ltx_core_impl.media import write_video, write_wav
from ltx_core_impl.types import Audio

from .world import FPS, FRAMES, Scene, render_audio, render_video

FOLDER = Path(__file__).parents[2] / "models" / "demo" / "inputs"
CROSSING = Scene("circle", "red", "white", "right", "high")
"""Its first, middle and last frame are the given pictures."""
STUCK = Scene("square", "blue", "white", "left", "middle")
"""The film that stops half way, picture and sound."""
BOUNCING = Scene("triangle", "yellow", "black", "bounce", "middle", first_bounce=0.5, period=1.0)
"""The whole film, and with another pitch the beeps."""
OUTLINE = Scene("triangle", "white", "black", "up", "low")
"""The path and the shape of the control film."""
BEEPS = Scene("circle", "green", "black", "bounce", "low", first_bounce=0.45, period=1.0)
STILLS = {"first": 0, "middle": FRAMES // 2, "last": FRAMES - 1}
STUCK_FRAME = 8
RATE, LOW_RATE = 16000, 8000
CRF = 12
BEEPING_SECONDS = FRAMES / FPS


def frames_of(scene: Scene, outline: bool = False) -> Tensor:
    """A clip ``(F, H, W, 3)`` in [0, 1]."""
    return (render_video([scene], outline=outline)[0].permute(1, 2, 3, 0) + 1) / 2


def stuck(frames: Tensor, sound: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """The clip with one frame for all that follow it, and silence in place of their sound."""
    frames, sound = frames.clone(), sound.clone()
    frames[STUCK_FRAME:] = frames[STUCK_FRAME]
    sound[:, round((STUCK_FRAME + 1) / FPS * rate) :] = 0
    return frames, sound


def write_still(path: Path, frame: Tensor) -> None:
    """One frame ``(H, W, 3)`` in [0, 1] as a picture."""
    Image.fromarray((frame * 255).round().byte().numpy()).save(path, optimize=True)


def write_inputs(folder: Path) -> None:
    """All files, the same every time."""
    folder.mkdir(parents=True, exist_ok=True)
    crossing = frames_of(CROSSING)
    for name, frame in STILLS.items():
        write_still(folder / f"demo-{name}.png", crossing[frame])
    write_still(folder / "demo-start.png", frames_of(BEEPS)[0])
    beeps = render_audio([BEEPS], seconds=BEEPING_SECONDS, rate=LOW_RATE)[0, :1]
    write_wav(folder / "demo-beeps.wav", Audio(beeps, LOW_RATE))
    bounce = frames_of(BOUNCING), render_audio([BOUNCING], rate=RATE)[0, :1]
    half = stuck(frames_of(STUCK), render_audio([STUCK], rate=RATE)[0, :1], RATE)
    for name, (frames, sound) in {"bounce": bounce, "stuck": half}.items():
        write_video(folder / f"demo-{name}.mp4", [frames], fps=FPS, audio=Audio(sound, RATE), crf=CRF)
    write_video(folder / "demo-outline.mp4", [frames_of(OUTLINE, outline=True)], fps=FPS, crf=CRF)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--target", type=Path, default=FOLDER)
    write_inputs(parser.parse_args().target)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
