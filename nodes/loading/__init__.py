"""From a file name to a handle, and from a handle to a module on its device.

It may import `wires` and `host`.
"""
