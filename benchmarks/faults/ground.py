"""Where a fault is injected: a sweep in a folder of its own, driven, struck, resumed and counted."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from benchmarks.faults.driver import Driver, is_alive
from benchmarks.faults.ledger import read, under_way
from benchmarks.faults.plan import Plan
from benchmarks.faults.trivial import HOLD
from rewa.errors import RunError
from rewa.record import RESULT_FILE

PATIENCE = 240.0
"""Seconds to wait for anything before the fault counts as not survived."""

COMMAND = "from rewa.cli import main; main()"
"""The ``rewa`` command, with the trivial methods registered: a search space may not name a user's own."""

Results = dict[str, tuple[int, bytes]]
"""Results on disk: time stamp and content, by path."""


class Ground:
    """A sweep that faults are injected into; a context that ends all it started.

    Args:
        home: An empty or new folder.
        plan: What the sweep is.
        store: A migrated, empty MLflow database to start from; without one the sweep makes its own, which
            takes ten seconds.

    Attributes:
        uri: Tracking URI; a fault of the tracker sets another before the sweep starts.
        address: Of the Ray cluster; empty for this machine.
        before: What was finished when a fault struck.
        struck: When the faults struck, seconds since 1970.
        at_risk: Trainings that can have been under way when the faults struck, in all.
        broken: Promises seen broken beside the counts.
        stack: What is closed at the end.
    """

    def __init__(self, home: Path, plan: Plan, store: Path | None = None) -> None:
        self.home, self.plan = home.absolute(), plan
        self.out = self.home / "out"
        self.home.mkdir(parents=True, exist_ok=True)
        if store:
            shutil.copy(store, self.home / "mlflow.db")
        self.uri = f"sqlite:///{self.home}/mlflow.db"
        self.address = ""
        self.environment: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"
        }
        self.drivers: list[Driver] = []
        self.before: Results = {}
        self.struck: list[float] = []
        self.at_risk = 0
        self.broken: list[str] = []
        self.stack = ExitStack()
        space = yaml.safe_dump(plan.space(self.home), sort_keys=False)
        (self.home / "space.yaml").write_text(space)

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for driver in self.drivers:
                driver.sweep_away()
        finally:
            self.stack.close()

    @property
    def driver(self) -> Driver:
        """The driver started last."""
        return self.drivers[-1]

    def start(self) -> Driver:
        """Start the sweep, or go on with it."""
        words = [sys.executable, "-c", COMMAND, "sweep", "space.yaml", "--output", "out"]
        words += ["--tracking-uri", self.uri]
        words += ["--resume"] if self.drivers else []
        words += ["--address", self.address] if self.address else []
        driver = Driver(words, self.home, len(self.drivers), self.environment)
        self.drivers.append(driver)
        return driver

    def begin(self) -> None:
        """See to it that a driver runs."""
        if not self.drivers or self.driver.status is not None:
            self.start()

    def finished(self, phase: str = "*") -> Results:
        """Return what is finished: of a phase, ``trials`` or ``confirm``, or of both."""
        files = self.out.glob(f"{phase}/*/{RESULT_FILE}")
        return {str(p.relative_to(self.out)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}

    def count(self, phase: str = "*") -> int:
        """Return how many trainings are finished."""
        return sum(1 for _ in self.out.glob(f"{phase}/*/{RESULT_FILE}"))

    def training_processes(self) -> list[int]:
        """Return the live processes that train now."""
        return [pid for pid in under_way(read(self.home)) if is_alive(pid)]

    def until(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Wait for a condition while the driver runs.

        Raises:
            RunError: If the driver ends before, or it takes too long.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self.driver.status is not None:
                raise RunError(f"the sweep ended before {what}: {self.driver.last_words}")
            if time.monotonic() > deadline:
                raise RunError(f"it took more than {seconds:.0f} s until {what}: {self.driver.last_words}")
            time.sleep(0.01)

    def until_more(self, results: int = 2) -> None:
        """Wait until so many more trainings have finished."""
        target = self.count() + results
        self.until(lambda: self.count() >= target, f"{target} trainings had finished")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep trainings from going on, so that some are under way whatever happens inside."""
        hold = self.home / HOLD
        hold.touch()
        try:
            self.until(self.training_processes, "a training was under way")
            yield
        finally:
            hold.unlink()

    def strike(self, fault: Callable[[], object]) -> None:
        """Inject a fault, and note when, what was finished and how much can have been under way."""
        self.at_risk += self.plan.at_once * self.plan.pack
        fault()
        self.struck.append(time.time())
        self.note_finished()

    def note_finished(self) -> None:
        """Note what is finished now: from now on it must stay as it is."""
        for name, found in self.finished().items():
            self.before.setdefault(name, found)

    def promise(self, holds: bool, otherwise: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(otherwise)

    def finish(self, tries: int = 3) -> None:
        """Let the sweep end, resuming it if it stops before it is complete."""
        for _ in range(tries):
            if self.drivers and self.driver.status == 0:
                return
            self.begin()
            if self.driver.wait(PATIENCE) == 0:
                return
        self.broken.append(f"the sweep did not end well when resumed: {self.driver.last_words}")
