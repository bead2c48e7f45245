"""From a prompt to its context: encoding, enhancement, saved contexts, the length a prompt asks for.

It may import `wires`, `host` and `loading`.
"""
