"""How many tasks run at once: on this machine, and on a cluster whose workers come and go."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable

from rewa.sweep.space import Resources

FEWEST_WAITING = 8
"""Tasks that wait on a cluster, unless the search space says how many run at once."""


class Slots:
    """How many tasks run at once.

    Args:
        resources: What one task occupies.
        grows: Whether workers may join and leave: then as many run as fit at any time.
    """

    def __init__(self, resources: Resources, grows: bool) -> None:
        self.resources, self.grows = resources, grows
        self.fits = self._fit()

        self._looked = -math.inf
        self._said = ""

    def look(self, tell: Callable[[str], None], every: float = 10.0) -> dict[str, float] | None:
        """Look, now and then, what the cluster has, and tell when no task fits, and when one does again.

        Args:
            tell: Told in a line.
            every: Seconds between looks at least.

        Returns:
            Its cores and GPUs; ``None`` between looks.
        """
        import ray

        if time.monotonic() < self._looked + every:
            return None
        self._looked = time.monotonic()
        lacking = self.lacking()
        if lacking != self._said:
            tell(lacking or "a worker has joined: the sweep goes on")
            self._said = lacking
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return {kind: found.get(kind, 0.0) for kind in ("CPU", "GPU")}

    @property
    def planned(self) -> int:
        """How many to plan for, when work is divided."""
        return max(1, self.resources.concurrent or self.fits)

    @property
    def waiting(self) -> int:
        """How many may wait for a worker: on a cluster what the autoscaler sees, and starts workers for."""
        fewest = 1 if self.resources.concurrent or not self.grows else FEWEST_WAITING
        return max(fewest, self.planned)

    def limit(self) -> int:
        """Return how many tasks may be given out; on a cluster Ray itself finds those room."""
        most = self.resources.concurrent or sys.maxsize
        return most if self.grows else min(most, max(1, self.fits))

    def lacking(self) -> str:
        """Say what no node of the cluster has now; empty if a task could run."""
        if self._fit():
            return ""
        each = self.resources
        kind = f"{each.gpu:g} GPU and {each.cpu:g} CPU" if each.gpu else f"{each.cpu:g} CPU"
        workers = f" for each of {each.workers} processes" if each.workers > 1 else ""
        return f"no worker of the cluster has {kind}{workers}: waiting for one to join"

    def _fit(self) -> int:
        """Return how many tasks the nodes that are there now hold."""
        import ray

        fits = 0
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["Alive"]:
                fits += self._per_node(node["Resources"])
        return fits // self.resources.workers

    def _per_node(self, has: dict[str, float]) -> int:
        """Return how many processes a node holds."""
        held = int(has.get("CPU", 0.0) / self.resources.cpu)
        return min(held, int(has.get("GPU", 0.0) / self.resources.gpu)) if self.resources.gpu else held


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
