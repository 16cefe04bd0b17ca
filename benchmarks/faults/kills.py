"""Processes that are killed, interrupted, or started twice."""

from __future__ import annotations

import signal

from benchmarks.faults.driver import kill_process
from benchmarks.faults.ground import Ground


def kill_worker(ground: Ground) -> None:
    """Kill -9 a worker in the middle of a training; the sweep must go on by itself."""
    ground.begin()
    ground.until_more()
    with ground.held():
        ground.strike(lambda: kill_process(ground.training_processes()[0]))
    ground.until_more(1)


def kill_driver(ground: Ground) -> None:
    """Kill -9 the driver while it searches."""
    ground.begin()
    ground.until_more()
    with ground.held():
        ground.strike(ground.driver.kill)


def kill_driver_confirming(ground: Ground) -> None:
    """Kill -9 the driver while it confirms: at least one confirmation finished and others under way."""
    ground.begin()
    ground.until(lambda: ground.count("confirm"), "a confirmation had ended")
    with ground.held():
        ground.strike(ground.driver.kill)


def interrupt(ground: Ground) -> None:
    """Ctrl-C: SIGINT to the driver's process group."""
    _stop(ground, signal.SIGINT, "Ctrl-C")


def terminate(ground: Ground) -> None:
    """SIGTERM to the driver, as a service manager or ``kill`` sends it."""
    _stop(ground, signal.SIGTERM, "SIGTERM")


def _stop(ground: Ground, number: signal.Signals, name: str) -> None:
    """Stop the sweep by a signal: it must end cleanly, say how to go on, and return 1."""
    ground.begin()
    ground.until_more()
    driver = ground.driver
    if number == signal.SIGTERM:
        ground.strike(lambda: driver.process.send_signal(number))
    else:
        ground.strike(lambda: driver.interrupt(number))
    status = driver.wait(60)
    ground.promise(status == 1, f"{name}: exit status {status} instead of 1")
    said = driver.out + driver.err
    ground.promise("--resume" in said, f"{name}: no command to go on with: {driver.last_words}")
    ground.promise("Traceback" not in said, f"{name}: a traceback: {driver.last_words}")
    ground.note_finished()  # what finished while it stopped counts too


def second_driver(ground: Ground) -> None:
    """Start a second driver on the same directory: it must refuse and leave the first alone."""
    ground.begin()
    ground.until_more()
    first = ground.driver
    with ground.held():
        ground.strike(ground.start)
        second = ground.drivers.pop()
        try:
            status = second.wait(60)
        finally:
            second.sweep_away()
            ground.drivers.append(second)
            ground.drivers.sort(key=lambda driver: driver is first)
    ground.promise(status == 2, f"the second driver: exit status {status} instead of 2")
    ground.promise("another sweep is running" in second.err, f"the second driver says: {second.last_words}")
    ground.promise(first.status in (None, 0), f"the first driver was disturbed: {first.last_words}")
