"""Parts of the GPU check (tools/gpu_check.py): random models made on the card, timed rows, runs in a real ComfyUI."""
