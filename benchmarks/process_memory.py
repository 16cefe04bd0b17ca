"""How much memory the processes of a command take, looked at from outside while it runs (Linux)."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

SAMPLE_EVERY = 2.0
"""Seconds between looks."""
WORKER = "workers"


class ProcessMemory:
    """Looks at a process and its children every now and then, on Linux.

    Args:
        pid: Of the process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: dict[int, tuple[str, float, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ProcessMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def largest(self) -> dict[str, dict[str, float]]:
        """Return per role its number of processes, and the largest USS and RSS of one, in 10^6 bytes."""
        roles: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for role, uss, rss in self.seen.values():
            roles[role].append((uss, rss))
        return {
            role: {
                "processes": len(found),
                "uss": max(uss for uss, _ in found) / 1e6,
                "rss": max(rss for _, rss in found) / 1e6,
            }
            for role, found in sorted(roles.items())
        }

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            self.look()

    def look(self) -> None:
        """Take one look."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
        for pid in parents:
            if self._descends(pid, parents):
                try:
                    self._note(pid)
                except (OSError, ValueError):  # it is gone
                    continue

    def _descends(self, pid: int, parents: Mapping[int, int]) -> bool:
        while pid > 1 and pid != self.pid:
            pid = parents.get(pid, 0)
        return pid == self.pid

    def _note(self, pid: int) -> None:
        folder = Path(f"/proc/{pid}")
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        sizes: dict[str, float] = defaultdict(float)
        for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
            key, value = line.split(":")
            sizes[key] = 1024.0 * float(value.split()[0])
        uss, rss = sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Rss"]
        before = self.seen.get(pid, ("", 0.0, 0.0))
        role = WORKER if before[0] == WORKER else self._role(pid, command)
        self.seen[pid] = (role, max(uss, before[1]), max(rss, before[2]))

    def _role(self, pid: int, command: str) -> str:
        if pid == self.pid:
            return "driver"
        if command.startswith("ray::IDLE"):
            return "workers that were never used"
        if command.startswith("ray::") and not command.startswith(("ray::Dashboard", "ray::RuntimeEnv")):
            return WORKER
        return "Ray's own"
