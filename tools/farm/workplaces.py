"""How the machines of a cluster are shared out among workers, and what can go wrong with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


class ClusterError(Exception):
    """There is no cluster, or nothing on it that could work."""


class ActorLost(Exception):
    """The actor, or its machine, is gone."""


@dataclass(frozen=True)
class Share:
    """What a worker takes of a machine."""

    cpus: float
    gpus: int

    @property
    def threads(self) -> int:
        return max(1, int(self.cpus))


def shares(machines: list[Mapping[str, float]], workers: int | None) -> tuple[int, Share]:
    """How many workers, and what each takes.

    Args:
        machines: the resources of each machine, as Ray names them (``CPU``, ``GPU``).
        workers: wanted; None: one for each graphics card, or for each machine where there are none.
    """
    cards = sum(int(machine.get("GPU", 0)) for machine in machines)
    used = [machine for machine in machines if machine.get("GPU", 0) >= 1] if cards else machines
    if not used:
        raise ClusterError("The cluster has no machine.")
    if cards and workers and workers > cards:
        raise ClusterError(f"{workers} workers need as many graphics cards; the cluster has {cards}.")
    count = workers or cards or len(used)
    each = math.ceil(max(machine["GPU"] for machine in used)) if cards else math.ceil(count / len(used))
    cpus = min(machine.get("CPU", 0) for machine in used) / each
    return count, Share(float(math.floor(cpus)) if cpus >= 1 else cpus, 1 if cards else 0)
