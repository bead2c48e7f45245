"""Latents that a run starts from: empty, fitted to a clip, masked, with noise of a seed.

It may import `wires`, `host` and `loading`.
"""
