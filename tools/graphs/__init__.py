"""How the example graphs are described, and written to ``workflows/`` (see README.md)."""
