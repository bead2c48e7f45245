"""Work that another package, or a kernel of our own, does faster than a chain of PyTorch operations.

Every function here has a plain PyTorch form, which defines the numbers and runs wherever nothing faster is present: on
CPUs, in float32 and while gradients are recorded. The faster forms serve half precision on an NVIDIA GPU and agree
with the plain one to the rounding of that precision: they round once where a chain of operations rounds several times.
"""
