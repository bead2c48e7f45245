"""One clip on several cards: the transformer's tokens, the guidance passes, the VAE's tiles and the weights over ranks.

Stands on ``torch.distributed``; nothing imports this room unless several ranks are asked for. `ranks.py` says who
takes part, `transformer.py` is the model that the sampling loops call; how much travels is in docs/scaling.md.
"""

from __future__ import annotations
