"""Ray: a cluster, the actors on it, and the object store. The only module that imports it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.farm.checking import Task
from tools.farm.worker import About, Outcome, Worker
from tools.farm.workplaces import ActorLost, ClusterError, Share

# Ray reports use to its makers unless told not to; nothing here talks to anyone unasked.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as Ray will do, says its warning

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

Pending = ray.ObjectRef
"""An answer that an actor will give."""


class Actor(Worker):
    """A worker as an actor: knows its machine and reads files from the object store."""

    def __init__(self, gpu: bool, threads: int) -> None:
        # Ray's processes ignore Ctrl-C, and a server that inherits that could not be asked to end.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        super().__init__(gpu, threads, ray.get)

    def about(self) -> About:
        return super().about(ray.get_runtime_context().get_node_id())


class Cluster:
    """A connection to Ray: to a running cluster at ``address``, or to one made on this machine and ended with us."""

    def __init__(self, address: str | None) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            options |= {"include_dashboard": False}
        try:
            ray.init(address=address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            raise ClusterError(
                f"No Ray cluster at {address or 'this machine'}: {error}\n"
                "Start one with `python3 -m tools.farm start`, on the other machines with `--address` of the first."
            ) from None
        self._objects: dict[str, ray.ObjectRef] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exception: object) -> None:
        ray.shutdown()

    def machines(self) -> list[Mapping[str, float]]:
        """The resources of every machine that is alive."""
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def spawn(self, share: Share) -> Any:
        """An actor where there is room, on as many machines as can be; it waits where there is none."""
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return ray.remote(Actor).options(**options).remote(share.gpus > 0, share.threads)

    def run(self, actor: Any, task: Task, digests: Mapping[Path, str]) -> Pending:
        """Gives an actor a job. A file goes into the object store once, and from there to each machine once."""
        files = {}
        for name, path in task.files.items():
            digest = digests[path]
            if digest not in self._objects:
                self._objects[digest] = ray.put(path.read_bytes())
            files[name] = (digest, self._objects[digest])
        return actor.run.remote(task.job.prompt, files)

    @staticmethod
    def wait(pending: list[Pending], seconds: float) -> list[Pending]:
        """Those of the answers that are there, all of them; waits for the first one at most so long."""
        first, _ = ray.wait(pending, num_returns=1, timeout=seconds)
        if not first:
            return []
        ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        return ready

    @staticmethod
    def wait_all(pending: list[Pending], seconds: float) -> None:
        """Waits for all answers, whatever they are, at most so long."""
        ray.wait(pending, num_returns=len(pending), timeout=seconds)

    @staticmethod
    def answer(pending: Pending) -> About | Outcome | dict[str, Any]:
        """An answer that is there. Raises ActorLost where the actor died over it or could not be made."""
        try:
            return ray.get(pending)
        except RayTaskError as error:
            raise ActorLost(str(error.cause)) from None
        except RayActorError as error:
            raise ActorLost(str(error).strip().splitlines()[-1]) from None
        except RayError as error:  # the machine went with the answer
            raise ActorLost(str(error)) from None

    @staticmethod
    def end(actor: Any) -> None:
        """Ends an actor at once; on Linux its server ends with it."""
        ray.kill(actor, no_restart=True)
