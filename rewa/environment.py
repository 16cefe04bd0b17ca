"""Where a result came from: versions, commit, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = (
    *("rewa", "torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "scikit-learn"),
    *("skglm", "numba"),
)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str:
    """Return rewa's commit, with "-dirty" if the checkout was edited; "unknown" outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


@cache
def hardware() -> str:
    """Return a one-line description of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if torch.cuda.is_available():
        gpus = torch.cuda.device_count()
        return f"{gpus} x {torch.cuda.get_device_name(0)}, {cores} CPU cores, {platform.machine()}"
    return f"{cores} CPU cores, {platform.machine()}, no GPU"
