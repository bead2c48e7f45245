#!/usr/bin/env bash
# Library: PyAV 18.1.0 (its libx264), numpy.
# Expectation: the same frames, encoded with the same settings by the same process, give the same H.264 stream.
# What happens: they do only while the memory that x264 gets is fresh. Once the process has used and freed memory, the
#   stream differs from one encode to the next: default settings and preset veryfast, with one thread too. With
#   x264-params cpu-independent=1 (or asm=0, or mbtree=0) it is always the same.
# Why it matters here: two runs of one graph gave different MP4s from equal frames, seen first on a busy machine and
#   taken for its threads. 'LTX-2 Save Video' sets cpu-independent; ComfyUI's own Save Video does not.
# Prints the version, what is expected and what is seen; fails when the library changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
packages="av==18.1.0 numpy"
if command -v uv >/dev/null; then
  uv venv -q "$folder/venv" && uv pip install -q --python "$folder/venv/bin/python" $packages
else
  python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q $packages
fi
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import sys
from fractions import Fraction

import av
import numpy as np

random = np.random.default_rng(0)
frames = random.integers(0, 255, (9, 96, 64), dtype=np.uint8)
frames[:] = random.integers(0, 255, (9, 12, 8), dtype=np.uint8).repeat(8, 1).repeat(8, 2)


def stream(options):
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = 64, 64, "yuv420p"
    codec.framerate, codec.time_base, codec.options = 8, Fraction(1, 8), options
    packets = []
    for number, planes in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = number
        packets += codec.encode(frame)
    packets += codec.encode(None)
    return hashlib.sha256(b"".join(map(bytes, packets))).hexdigest()


def use_memory():
    [random.integers(0, 255, int(size), dtype=np.uint8) for size in random.integers(1000, 120_000, 300)]


def different(options):
    seen = set()
    for _ in range(30):
        use_memory()
        seen.add(stream(options))
    return len(seen)


print("av", av.__version__, "libx264, 30 encodes of the same frames; different streams expected: 1")
varying = {}
for options in ({}, {"preset": "veryfast"}, {"x264-params": "threads=1"}):
    varying[str(options)] = different(options)
steady = different({"x264-params": "cpu-independent=1"})
print("seen:", varying, "with cpu-independent=1:", steady)
sys.exit(not (max(varying.values()) > 1 and steady == 1))
PYTHON
echo "still so"
