"""What a clip is held to: first frames, keyframes, references, kept regions, tracks.

It may import `wires`, `host`, `loading`, `latents` and `vae`.
"""
