"""The one sampler and what it takes: schedules, solvers, windows, previews.

It may import every room above the files: `wires`, `host`, `loading`, `latents`, `vae`, `guides`, `guidance`.
"""
