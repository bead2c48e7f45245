"""Pictures and sound to latents and back: encoding, decoding, tiles, upscaling.

It may import `wires`, `host`, `loading` and `latents`.
"""
