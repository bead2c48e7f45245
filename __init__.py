"""LTX-2 for ComfyUI: the door that ComfyUI opens."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Called by ComfyUI; imported here so that the package can be looked at without ComfyUI."""
    from .nodes import LTX2Extension

    return LTX2Extension()
