"""Graphs made for other LTX nodes, turned into graphs of these ones."""
