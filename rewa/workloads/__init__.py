"""Workloads: what is trained. One file each, one line here."""

from __future__ import annotations

from typing import cast

from rewa.registry import load
from rewa.workloads.base import Workload, WorkloadConfig

REGISTRY = {
    "digits": "rewa.workloads.digits:Digits",
    "sparse_recovery": "rewa.workloads.sparse_recovery:SparseRecovery",
}


def get_workload(name: str) -> type[Workload]:
    """Return the workload class of that name.

    Raises:
        UserError: If there is none.
    """
    return cast(type[Workload], load("workload", name, REGISTRY))


__all__ = ["REGISTRY", "Workload", "WorkloadConfig", "get_workload"]
