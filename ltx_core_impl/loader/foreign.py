"""Naming a file that is not safetensors from its first bytes, so that the user learns what he has."""

from __future__ import annotations

SNIFF_BYTES = 512
"""How much of a file's start the naming needs."""

_AGAIN = "download the real .safetensors file again"


def name_foreign_file(start: bytes) -> str | None:
    """What a file is and what to do about it, from its first bytes; None when nothing is recognised."""
    if start[4:9] == b"\x00\x00\x00\x00{":  # a safetensors header, whose length may look like another file's mark
        return None
    if start.startswith(b"version https://git-lfs"):
        return f"it is a Git LFS pointer, not the model itself: run `git lfs pull`, or {_AGAIN}"
    if start.startswith(b"PK\x03\x04"):
        return "it is a zip archive (a PyTorch .pt/.ckpt or a packed folder): convert it to safetensors first"
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "it is a Python pickle (.ckpt/.pt), which can run code and is refused: use the safetensors file"
    if start.startswith(b"\x93NUMPY"):
        return "it is a NumPy array file: use the safetensors file"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return f"it is a web page (a login or error page saved as a model): accept the licence if asked, then {_AGAIN}"
    if text.startswith((b"{", b"[")) and b"\x00" not in start:
        return f"it is a JSON text, perhaps an error message or a config file: {_AGAIN}"
    return None
