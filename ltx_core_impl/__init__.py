"""LTX-2 in plain PyTorch: text, image, video and sound in, video with synchronised sound out."""
