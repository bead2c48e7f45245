#!/usr/bin/env bash
# Library: PyAV 18.1.0 (FFmpeg 8 inside its wheel).
# Expectation: a WebM file with VP9 and alpha (yuva420p), written with PyAV, comes back with its alpha from container.decode.
# What happens: the stream decodes as yuv420p without a word: FFmpeg prefers its own VP9 decoder, which leaves the alpha
#   in the packets. The decoder libvpx-vp9, made by name and fed with the same packets, gives yuva420p, exactly what was
#   written. The stream's metadata says alpha_mode 1.
# Why it matters here: ltx_core_impl/media/alpha_reader.py makes that decoder for such streams.
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
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import av
import numpy as np

print("av", av.__version__)
with av.open("film.webm", "w") as container:
    stream = container.add_stream("libvpx-vp9", rate=25, options={"lossless": "1"})
    stream.width, stream.height, stream.pix_fmt = 64, 32, "yuva420p"
    frame = av.VideoFrame(64, 32, "yuva420p")
    for plane, value in zip(frame.planes, (100, 128, 128, 77)):
        plane.update(np.full(plane.buffer_size, value, np.uint8))
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
with av.open("film.webm") as container:
    stream = container.streams.video[0]
    mode = stream.metadata.get("alpha_mode")
    usual = next(container.decode(stream)).format.name
with av.open("film.webm") as container:
    decoder = av.CodecContext.create("libvpx-vp9", "r")
    packets = list(container.demux(container.streams.video[0]))
    [frame] = [one for packet in packets for one in decoder.decode(packet if packet.size else None)]
    alpha = set(np.frombuffer(frame.planes[3], np.uint8).reshape(32, -1)[:, :64].flatten().tolist())
seen = {"alpha_mode": mode, "usual decoder": usual, "libvpx-vp9": frame.format.name, "alpha": alpha}
print("expected: yuva420p from both, alpha {77}")
print("seen:", seen)
assert seen == {"alpha_mode": "1", "usual decoder": "yuv420p", "libvpx-vp9": "yuva420p", "alpha": {77}}, "it has changed"
PYTHON
