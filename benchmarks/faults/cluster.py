"""A Ray cluster of several nodes on this machine, in a process of its own: nodes come and go on its stdin.

    python -m benchmarks.faults.cluster 2

Prints the address, then obeys a word a line: ``kill`` (the newest node, without warning), ``add``, ``end``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from benchmarks.faults.driver import end_session
from rewa.errors import RunError

MODULE = "benchmarks.faults.cluster"


class Nodes:
    """A cluster whose head runs no trials, and its workers of one core each; a context.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=cluster_environment(),
        )
        self.address = self._answer()

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        end_session(self.process)

    def kill(self) -> None:
        """Kill the newest node with all that runs on it."""
        self._say("kill")

    def add(self) -> None:
        """Add a node."""
        self._say("add")

    def _say(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        if not line:
            raise RunError("the Ray cluster of several nodes did not start")
        return line


def cluster_environment() -> dict[str, str]:
    """Return the environment of the cluster and of drivers that connect to it: no tokens."""
    return {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_DISABLE_IMPORT_WARNING": "1"}


def main() -> None:
    """Run the cluster."""
    from ray.cluster_utils import Cluster

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints on stdout too
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(int(sys.argv[1]))]
    print(cluster.address, file=out, flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        elif line.strip() == "add":
            nodes.append(cluster.add_node(num_cpus=1))
        print("done", file=out, flush=True)


if __name__ == "__main__":
    main()
