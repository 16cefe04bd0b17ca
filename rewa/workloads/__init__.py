"""Workloads: what is trained. One file each, one line here."""

from __future__ import annotations

from rewa.registry import load
from rewa.workloads.base import Workload, WorkloadConfig

REGISTRY = {
    "digits": "rewa.workloads.digits:Digits",
    "sparse_recovery": "rewa.workloads.sparse_recovery:SparseRecovery",
    "cifar10": "rewa.workloads.cifar:Cifar10",
    "cifar100": "rewa.workloads.cifar:Cifar100",
    "imagenet": "rewa.workloads.imagenet:ImageNet",
    "image_folder": "rewa.workloads.image_folder:ImageFolder",
}


def get_workload(name: str) -> type[Workload]:
    """Return the workload class of that name, or the user's own that ``package.module:Class`` names.

    Raises:
        UserError: If there is none.
    """
    return load("workload", name, REGISTRY, Workload)  # type: ignore[type-abstract]


__all__ = ["REGISTRY", "Workload", "WorkloadConfig", "get_workload"]
