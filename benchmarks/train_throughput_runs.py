"""Runs measurements in fresh processes: in turn, so that a slow spell meets all of them, or at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from benchmarks.progress import Meter
from benchmarks.train_throughput_loaders import LoaderSetup, measure_decoding, measure_loader
from benchmarks.train_throughput_steps import Setup, measure_floor, measure_steps
from rewa.errors import RunError

MODULE = "benchmarks.train_throughput"
READY = "ready"

Task = Mapping[str, Any]
"""One measurement as plain data: ``what``, and the arguments of its function."""
Figures = dict[str, float]


def steps_task(variant: str, setup: Setup, waits: bool = False) -> Task:
    """Return the measurement of one variant; ``waits``: for a line on stdin, when it is warm."""
    return {"what": "steps", "name": variant, "setup": asdict(setup), "waits": waits}


def floor_task(setup: Setup) -> Task:
    """Return the measurement of what the machine can do."""
    return {"what": "floor", "setup": asdict(setup)}


def loader_task(name: str, resolution: int, setup: LoaderSetup) -> Task:
    """Return the measurement of one loader at one resolution."""
    return {"what": "loader", "name": name, "resolution": resolution, "setup": asdict(setup)}


def decoding_task(setup: LoaderSetup) -> Task:
    """Return the measurement of decoding alone."""
    return {"what": "decoding", "setup": asdict(setup)}


def run_here(task: Task) -> Figures:
    """Measure in this process."""
    match task["what"]:
        case "steps":
            return measure_steps(task["name"], Setup(**task["setup"]), _wait if task["waits"] else _go_on)
        case "floor":
            return measure_floor(Setup(**task["setup"]))
        case "loader":
            return measure_loader(task["name"], task["resolution"], LoaderSetup(**task["setup"]))
        case _:
            return measure_decoding(LoaderSetup(**task["setup"]))


def _wait() -> None:
    print(READY, flush=True)
    sys.stdin.readline()


def _go_on() -> None:
    pass


def in_turn(tasks: Mapping[str, Task], repeats: int, title: str) -> dict[str, list[Figures]]:
    """Run every task ``repeats`` times, one after the other; each turn starts with another task.

    Raises:
        RunError: If one fails, with the last line that it wrote.
    """
    found: dict[str, list[Figures]] = {name: [] for name in tasks}
    with Meter(title, repeats * len(tasks)) as meter:
        for turn in range(repeats):
            for name in rotated(list(tasks), turn):
                child = _start(tasks[name])
                found[name].append(_ended(child, name))
                meter.advance(1)
    return found


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """Return the names, starting ``turn`` places further."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def at_once(variant: str, setup: Setup, counts: Sequence[int]) -> dict[int, float]:
    """Return the images per second of so many trainings on one device at once, all together.

    Each warms up by itself; then they are timed over the same steps. On a CPU they share the threads.

    Raises:
        RunError: If one fails.
    """
    found = {}
    with Meter("trainings at once", len(counts), "counts") as meter:
        for count in counts:
            threads = max(1, setup.threads // count) if setup.device == "cpu" else setup.threads
            task = steps_task(variant, replace(setup, threads=threads), waits=True)
            children = [_start(task) for _ in range(count)]
            try:
                for child in children:
                    assert child.stdout is not None
                    while (line := child.stdout.readline().strip()) != READY:
                        if not line and child.poll() is not None:
                            break
                for child in children:
                    if child.poll() is None and child.stdin is not None:
                        child.stdin.write("\n")
                        child.stdin.flush()
                rates = [_ended(child, f"{count} at once")["images_per_s"] for child in children]
            finally:
                for child in children:
                    child.kill()
            found[count] = sum(rates)
            meter.advance(1)
    return found


def _start(task: Task) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", MODULE, "--one", json.dumps(dict(task))]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _ended(child: subprocess.Popen[str], name: str) -> Figures:
    """Wait for a process and return the figures it printed last."""
    try:
        out, err = child.communicate()
    except BaseException:
        child.kill()
        raise
    if child.returncode:
        last = (err.strip().splitlines() or ["it wrote nothing"])[-1]
        raise RunError(f"{name}: {last}")
    figures: Figures = json.loads(out.strip().splitlines()[-1])
    return figures
