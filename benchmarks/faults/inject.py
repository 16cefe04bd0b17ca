"""One fault from start to count."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.faults.catalog import Fault
from benchmarks.faults.ground import Ground
from benchmarks.faults.observe import observe
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.plan import Plan
from rewa.errors import RunError


def inject(name: str, fault: Fault, home: Path, store: Path | None = None) -> Outcome:
    """Inject a fault into a new sweep, let that end, and count.

    Args:
        name: Of the fault.
        fault: What is done.
        home: The sweep's folder; what is there is deleted.
        store: See :class:`benchmarks.faults.ground.Ground`.
    """
    return counted(name, fault.plan, fault.inject, home, store)


def counted(
    name: str, plan: Plan, act: Callable[[Ground], object], home: Path, store: Path | None = None
) -> Outcome:
    """Do something to a new sweep, let that end, and count; see :func:`inject`.

    A sweep that does not get where it should is an outcome too, with what it said.
    """
    started = time.monotonic()
    if home.exists():
        shutil.rmtree(home)
    with Ground(home, plan, store) as ground:
        try:
            act(ground)
            ground.finish()
        except RunError as error:
            ground.broken.append(str(error))
        try:
            outcome = observe(ground, name, started)
        except Exception as error:
            ground.broken.append(f"nothing could be counted: {type(error).__name__}: {error}")
            outcome = Outcome(name, plan.trainings, len(ground.before), 0, 0, broken=tuple(ground.broken))
    return replace(outcome, seconds=round(time.monotonic() - started, 1))
