"""What travels on the wires and how it is judged: handles, sockets, widgets, sizes, versions, refusals.

It may import `ltx_core_impl` and ComfyUI's schema classes; no other room, no folders, no devices.
"""
