"""Parts of the benchmark command (tools/benchmark.py)."""
