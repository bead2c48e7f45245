"""Many clips on many machines: prompts from a table, run by ComfyUI servers that Ray actors own (docs/farm.md)."""
