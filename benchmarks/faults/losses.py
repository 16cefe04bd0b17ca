"""Nodes that vanish, and trials that misbehave."""

from __future__ import annotations

import time

from benchmarks.faults.cluster import Nodes, cluster_environment
from benchmarks.faults.ground import Ground


def kill_node(ground: Ground) -> None:
    """Kill one of two nodes under a training, and let another join later; the sweep must go on by itself."""
    nodes = ground.stack.enter_context(Nodes(2))
    ground.address, ground.environment = nodes.address, cluster_environment()
    ground.begin()
    ground.until_more()
    with ground.held():
        ground.until(lambda: len(ground.training_processes()) == 2, "both nodes were training")
        ground.strike(nodes.kill)
    ground.until_more(1)
    nodes.add()
    if ground.driver.wait(240) == 0:
        return
    ground.promise(False, f"the sweep did not survive the loss of a node: {ground.driver.last_words}")


def marked_trials(ground: Ground) -> None:
    """Let marked trials raise, hang or kill their worker: they alone fail, and no resumption is needed."""
    ground.begin()
    started = time.time()
    status = ground.driver.wait(600)
    ground.promise(status == 0, f"exit status {status}: {ground.driver.last_words}")
    ground.struck.append(started)
