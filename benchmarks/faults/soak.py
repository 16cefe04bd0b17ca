"""Many trials with a random kill again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.faults.driver import kill_process
from benchmarks.faults.ground import PATIENCE, Ground
from benchmarks.faults.ledger import read
from rewa.errors import RunError

SETTLED = 5.0
"""Seconds of training that a restarted driver is left, so that any machine comes to the end."""


def soak(ground: Ground, every: float, seed: int, told: Callable[[int], None] = lambda _: None) -> list[str]:
    """Kill a worker, or the driver, which is then resumed, again and again until all trainings have finished.

    Args:
        ground: Where; not yet started.
        every: Seconds between kills.
        seed: Of the draws: worker or driver, and which worker.
        told: Told the number of finished trainings now and then.

    Returns:
        What was killed, in order: "worker" or "driver".

    Raises:
        RunError: If a driver ends by itself without having completed the sweep, or nothing finishes for long.
    """
    draw = random.Random(seed)
    killed: list[str] = []
    ground.start()
    last = time.monotonic()
    progress, progressed = 0, last
    orphans: set[int] = set()  # workers of killed drivers, which live on for a moment
    training_since: float | None = None
    while (status := ground.driver.status) is None:
        time.sleep(0.1)
        now = time.monotonic()
        if (count := ground.count()) > progress:
            progress, progressed = count, now
            told(count)
        if now - progressed > PATIENCE:
            raise RunError(f"no training has finished for {PATIENCE:.0f} s: {ground.driver.last_words}")
        workers = [pid for pid in ground.training_processes() if pid not in orphans]
        if training_since is None:
            training_since = now if workers else None
            continue
        if now - last < every or now - training_since < SETTLED or count >= ground.plan.trainings:
            continue
        if not workers:  # between trainings: the kill comes with the next one, rather than not at all
            continue
        last = now
        if draw.random() < 0.5:
            ground.strike(ground.driver.kill)
            orphans |= {entry.pid for entry in read(ground.home)}
            ground.start()
            killed.append("driver")
            training_since = None
        else:
            victim = draw.choice(workers)
            ground.strike(lambda pid=victim: kill_process(pid))  # type: ignore[misc]
            killed.append("worker")
    if status != 0:
        raise RunError(f"the sweep ended with status {status}: {ground.driver.last_words}")
    return killed
