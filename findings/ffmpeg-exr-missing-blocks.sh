#!/usr/bin/env bash
# Library: PyAV 18.1.0 (its FFmpeg), numpy.
# Expectation: decoding an OpenEXR picture that lacks blocks of rows (an offset of 0 in its table, which is how the
#   format marks a block that was not written yet, or a file that ends early) fails, or the frame is marked as corrupt.
# What happens: the missing rows are black, the frame counts as good and no error is raised.
# Why it matters here: a sequence that is still being rendered or copied would be taken for one with black stripes.
#   'LTX-2 Load HDR' counts the blocks itself before it lets FFmpeg decode.
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
import struct
import sys
from fractions import Fraction

import av
import numpy as np

SIDE, BLOCKS = 64, 4

writer = av.CodecContext.create("exr", "w")
writer.width = writer.height = SIDE
writer.pix_fmt, writer.time_base, writer.options = "gbrpf32le", Fraction(1, 24), {"compression": "zip16"}
frame = av.VideoFrame(SIDE, SIDE, writer.pix_fmt)
for plane in frame.planes:
    plane.update(np.full((SIDE, plane.line_size // 4), 0.5, np.float32).tobytes())
frame.pts = 0
whole = b"".join(map(bytes, [*writer.encode(frame), *writer.encode(None)]))


def is_table(at):
    offsets = struct.unpack_from(f"<{BLOCKS}Q", whole, at)
    return offsets[0] == at + 8 * BLOCKS and list(offsets) == sorted(set(offsets))


table = next(at for at in range(len(whole) - 8 * BLOCKS) if is_table(at))
third = struct.unpack_from("<Q", whole, table + 16)[0]
unwritten = whole[: table + 16] + bytes(8) + whole[table + 24 :]


def rows(data):
    reader = av.CodecContext.create("exr", "r")
    [shown] = [*reader.decode(av.Packet(data)), *reader.decode(None)]
    plane = np.frombuffer(shown.planes[0], np.float32).reshape(SIDE, -1)[:, :SIDE]
    return [float(block.mean()) for block in plane.reshape(BLOCKS, -1, SIDE)], shown.is_corrupt


print("av", av.__version__, "a grey of 0.5 in four blocks of rows; expected: an error, or a frame marked as corrupt")
seen = {}
for name, data in (("whole", whole), ("third block not written", unwritten), ("cut off behind the second", whole[:third])):
    try:
        seen[name] = rows(data)
    except av.FFmpegError as error:
        seen[name] = repr(error)
    print(f"  {name}: {seen[name]}")
wanted = {
    "whole": ([0.5, 0.5, 0.5, 0.5], False),
    "third block not written": ([0.5, 0.5, 0.0, 0.5], False),
    "cut off behind the second": ([0.5, 0.5, 0.0, 0.0], False),
}
sys.exit(seen != wanted)
PYTHON
