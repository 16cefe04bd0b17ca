"""What the scaling benchmarks measure with: timings in turn, memory above a start, and plain passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
FEWEST, MOST = 3, 2000


def in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Time several calls in turn, so that a slow spell of the machine meets all of them.

    Args:
        calls: What to time, by name; each is called once before.
        seconds: Time to spend on all of them; every call is timed three times at least.

    Returns:
        The seconds of every call, by name.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    for turn in range(MOST):
        if turn >= FEWEST and time.perf_counter() > end:
            break
        for name, call in calls.items():
            found[name].append(seconds_of(call))
    return found


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def quantile(values: Sequence[float], part: float = 0.5) -> float:
    """Return a quantile of timings, the median by default."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class Copy:
    """A copy of memory that moves a given number of bytes, half of them read and half written.

    Args:
        moved: Bytes to move.
    """

    def __init__(self, moved: float) -> None:
        self._source = torch.ones(max(1, int(moved) // 8))
        self._target = torch.empty_like(self._source)
        self.moved = 8 * self._source.numel()

    def __call__(self) -> None:
        """Copy."""
        self._target.copy_(self._source)


class Pass:
    """A pass over memory in place that moves a given number of bytes, half of them read and half written.

    What it writes it has read before. For a copy the processor fetches what it is going to overwrite: three
    movements for two that count, so that a step in place can be faster than a copy of as many bytes.

    Args:
        moved: Bytes to move.
    """

    def __init__(self, moved: float) -> None:
        self._values = torch.ones(max(1, int(moved) // 8))
        self.moved = 8 * self._values.numel()

    def __call__(self) -> None:
        """Pass."""
        self._values.neg_()


class PeakMemory:
    """The most memory that this process holds within a block, above what it held at its start.

    Attributes:
        mb: In 10^6 bytes; None where the system does not tell (it is Linux that does).
    """

    mb: float | None = None

    def __enter__(self) -> PeakMemory:
        try:
            CLEAR_REFS.write_text("5")  # sets the peak to what is held now
            self._before: int | None = _status("VmRSS")
        except OSError:
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            self.mb = (_status("VmHWM") - self._before) / 1e6


def _status(key: str) -> int:
    """Return a figure of this process in bytes; the system tells it in KiB."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {key}")
