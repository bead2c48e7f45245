"""Films, sounds and HDR pictures from and to disk, chunk by chunk.

It may import `wires`, `host`, `loading`, `latents` and `vae`.
"""
