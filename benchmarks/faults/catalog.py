"""All faults by name: what is done, to which sweep, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.faults import disks, kills, losses, trackers
from benchmarks.faults.ground import Ground
from benchmarks.faults.plan import Plan, cores


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        what: What is done, for the table.
        inject: Does it, and what must be seen beside the counts.
        plan: Of the sweep.
        missing: Returns what this machine lacks for it, empty if nothing.
    """

    what: str
    inject: Callable[[Ground], None]
    plan: Plan = Plan()  # noqa: RUF009 (frozen)
    missing: Callable[[], str] = lambda: ""


CATALOG: Mapping[str, Fault] = {
    "worker": Fault("kill -9 of a worker process", kills.kill_worker),
    "node": Fault(
        "kill -9 of one of two nodes; another joins later",
        losses.kill_node,
        Plan(at_once=cores()),
    ),
    "driver-search": Fault("kill -9 of the driver during the search", kills.kill_driver),
    "driver-confirm": Fault("kill -9 of the driver during the confirmation", kills.kill_driver_confirming),
    "interrupt": Fault("Ctrl-C", kills.interrupt),
    "terminate": Fault("SIGTERM", kills.terminate),
    "two-drivers": Fault("a second driver on one output directory", kills.second_driver),
    "tracker-away": Fault(
        "MLflow server killed, back after 60 s",
        lambda ground: trackers.server_away(ground, 60.0),
        Plan(trials=40, pause=0.6),
    ),
    "database-restarts": Fault(
        "PostgreSQL of the MLflow server restarted, in order and by a crash",
        trackers.database_restarts,
        Plan(trials=12, pause=0.3),
        trackers.no_postgres,
    ),
    "checkpoint-disk-full": Fault(
        "disk full while checkpoints are written",
        disks.checkpoint_on_full_disk,
        Plan(width=8192, checkpoints="every epoch"),
        disks.missing_small_disk,
    ),
    "results-disk-full": Fault(
        "disk full while the driver writes, freed later",
        disks.results_on_full_disk,
        missing=disks.missing_small_disk,
    ),
    "damaged-checkpoint": Fault(
        "driver killed and the newest checkpoint cut in half",
        disks.damaged_checkpoint,
        Plan(trials=2, methods=("steady",), epochs=6, pause=0.4, checkpoints="every epoch", at_once=1),
    ),
    "raises": Fault(
        "a trial that always raises, in a pack",
        losses.marked_trials,
        Plan(trials=4, methods=("raiser", "steady"), pack=4),
    ),
    "hangs": Fault(
        "a trial that hangs, in a pack",
        losses.marked_trials,
        Plan(trials=4, methods=("hanger", "steady"), pack=4, timeout=15),
    ),
    "freezes": Fault(
        "a trial that hangs in compiled code, in a pack",
        losses.marked_trials,
        Plan(trials=4, methods=("freezer", "steady"), pack=4, timeout=15),
    ),
    "kills-worker": Fault(
        "a trial that always kills its worker, in a pack",
        losses.marked_trials,
        Plan(trials=4, methods=("killer", "steady"), pack=4),
    ),
}
"""In the order of the table."""
