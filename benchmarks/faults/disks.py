"""Disks that fill up, and a checkpoint that is damaged."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.faults.ground import Ground
from benchmarks.faults.ledger import BEGUN, ENDED, EPOCH, Entry, read, training_name
from benchmarks.faults.trivial import Trivial
from rewa.methods import get_method
from rewa.record import load_record
from rewa.training import fit

FULL_AFTER = 10.0
"""Seconds that a sweep on a full disk is watched for before the disk is freed."""


def missing_small_disk() -> str:
    """Return why no file system of a few kilobytes can be mounted here; empty if one can be."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 64):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "mounting a small file system needs root"


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount an empty file system of so many kilobytes on a folder, for as long as the block."""
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k"]
    subprocess.run(["mount", *options, "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:  # detached: whoever still has a file open there keeps it, and the folder is free
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def checkpoint_on_full_disk(ground: Ground) -> None:
    """Give the checkpoints a disk that is smaller than one of them: trainings must go on without."""
    ground.begin()
    ground.until_more(1)
    folder = ground.out / "checkpoints"
    folder.mkdir(exist_ok=True)
    ground.strike(lambda: ground.stack.enter_context(small_disk(folder, 64)))
    ground.until_more(4)
    left = [path.name for path in folder.iterdir() if path.stat().st_size > 0 and ground.driver.status == 0]
    ground.promise(not left, f"left on the full disk: {left}")


def results_on_full_disk(ground: Ground) -> None:
    """Fill the disk of the results, and free it after the sweep has stopped (or waited) for a while.

    What trainings delete meanwhile, such as their checkpoints, is filled again: else the disk would not be
    full, and a quick sweep would be over before it is freed.
    """
    ground.out.mkdir(exist_ok=True)
    ground.stack.enter_context(small_disk(ground.out, 8192))
    ground.begin()
    ground.until_more(3)
    filler = ground.out / ".filler"
    ground.strike(lambda: _fill(filler))
    driver, deadline = ground.driver, time.monotonic() + FULL_AFTER
    while driver.status is None and time.monotonic() < deadline:
        _fill(filler)
        time.sleep(0.005)
    in_time = ground.count() - len(ground.before)
    most = ground.plan.at_once * ground.plan.pack
    ground.promise(in_time <= most, f"the full disk: {in_time} results were written on it")
    if driver.status is not None:
        ground.promise(driver.status == 1, f"the full disk ended the sweep with status {driver.status}")
        said = driver.out + driver.err
        ground.promise("Traceback" not in said, f"the full disk: a traceback: {driver.last_words}")
        ground.promise("--resume" in said, f"the full disk: how to go on is not said: {driver.last_words}")
    ground.note_finished()
    filler.unlink(missing_ok=True)


def _fill(path: Path) -> None:
    """Add to a file until the disk is full."""
    with path.open("ab", buffering=0) as file:
        block = bytes(4096)
        try:
            while True:
                file.write(block)
        except OSError:
            return


def damaged_checkpoint(ground: Ground) -> None:
    """Kill the driver after four of six epochs and damage the newest checkpoint; the one before must do."""
    ground.begin()
    ground.until(lambda: _epochs(read(ground.home)) >= 5, "a training had begun its fifth epoch")
    ground.strike(ground.driver.kill)
    training = next(e.training for e in reversed(read(ground.home)) if e.event == EPOCH)
    ground.driver.sweep_away()  # its worker must not write another
    entries = read(ground.home)
    done = _epochs(entries) - 1
    newest = max((ground.out / "checkpoints").glob("*.pt"), key=lambda path: path.stat().st_mtime)
    ground.promise(newest.with_name(f"{newest.name}.previous").is_file(), "no checkpoint before the newest")
    os.truncate(newest, newest.stat().st_size // 2)
    ground.start()
    ground.until(lambda: _ended(ground, training), "the training had ended")
    again = [e for e in read(ground.home)[len(entries) :] if e.event == EPOCH and e.training == training]
    wanted = ground.plan.epochs - (done - 1)
    ground.promise(
        len(again) == wanted,
        f"after {done} epochs {len(again)} were trained again, not {wanted}: not taken up",
    )
    ground.finish()
    _compare_with_undisturbed(ground, training)


def _compare_with_undisturbed(ground: Ground, training: str) -> None:
    """See that a training came to what the same training comes to here, from start to end."""
    for path in ground.out.glob("*/*/result.json"):
        record = load_record(path.parent)
        if training_name(record.method, record.config, record.seed) == training:
            break
    else:
        ground.promise(False, "the training whose checkpoint was damaged has no result")
        return
    folder = ground.home / "undisturbed"
    folder.mkdir()
    settings = ground.plan.space(folder)["workload"]
    settings.pop("name")
    workload = Trivial.from_values({**settings, "pause": 0.0, "checkpoints": "rare"}, torch.device("cpu"))
    wanted = fit(workload, get_method(record.method).from_values(record.config), record.seed)
    ground.promise(record.frontier == wanted.frontier, "its result is not that of an undisturbed training")
    ground.promise(record.history == wanted.history, "its history is not that of an undisturbed training")


def _epochs(entries: list[Entry]) -> int:
    """Return how many epochs the training that began last has begun."""
    found = 0
    for entry in entries:
        if entry.event == BEGUN:
            found = 0
        elif entry.event == EPOCH:
            found += 1
    return found


def _ended(ground: Ground, training: str) -> bool:
    return any(e.event == ENDED and e.training == training for e in read(ground.home))
