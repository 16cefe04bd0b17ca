"""What machines have: the resources that a cluster file gives them, and what their type names give away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rewa.cluster.shape import commands, mapping, provider_of, sequence, whole, worker_types

AWS_GPU_FAMILY = re.compile(r"^(p[2-9]|g[3-9])[a-z]*[.-]", re.IGNORECASE)
GCP_GPU_FAMILY = re.compile(r"(^|/)(a[2-4]|g2|g4)-", re.IGNORECASE)


@dataclass(frozen=True)
class Workers:
    """One kind of worker.

    Attributes:
        name: The node type; empty for own machines.
        cpu: Cores of one machine; ``None`` if the file does not say.
        gpu: GPUs of one machine; ``None`` if the file does not say.
        most: The largest number of such machines; ``None`` if the file does not say.
    """

    name: str
    cpu: float | None
    gpu: float | None
    most: int | None


def workers_of(values: dict[str, Any]) -> list[Workers]:
    """Return the kinds of workers that a cluster file describes."""
    if provider_of(values) == "local":
        start = commands(values, "worker_start_ray_commands")
        provider = mapping(values.get("provider"))
        ips = sequence(provider.get("worker_ips"))
        most = whole(values.get("max_workers", len(ips) if "worker_ips" in provider else None))
        return [Workers("", _flag(start, "cpus"), _flag(start, "gpus"), most)]
    top = whole(values.get("max_workers", 2))
    found = []
    for name, settings in worker_types(values):
        resources = mapping(settings.get("resources"))
        gpu = whole(resources.get("GPU"))
        if gpu is None and not described_gpus(provider_of(values), settings):
            gpu = 0
        limits = [most for most in (whole(settings.get("max_workers", top)), top) if most is not None]
        found.append(Workers(name, whole(resources.get("CPU")), gpu, min(limits, default=None)))
    return found


def described_gpus(provider: str, settings: dict[str, Any]) -> bool:
    """Return whether a node type has GPUs, by its resources or by its machine type."""
    if whole(mapping(settings.get("resources")).get("GPU")):
        return True
    node = mapping(settings.get("node_config"))
    if provider == "aws":
        return bool(AWS_GPU_FAMILY.match(_text(node.get("InstanceType"))))
    if provider == "gcp":
        return bool(GCP_GPU_FAMILY.search(_text(node.get("machineType")))) or bool(
            node.get("guestAccelerators")
        )
    return False


def lacks_gpu_count(provider: str, settings: dict[str, Any]) -> bool:
    """Return whether machines have GPUs that Ray is not told of; on AWS it looks them up itself."""
    if provider != "gcp" or "GPU" in mapping(settings.get("resources")):
        return False
    return described_gpus(provider, settings)


def _flag(start: str, what: str) -> float | None:
    """Return the number after ``--num-cpus`` or ``--num-gpus``; ``None`` where Ray counts by itself."""
    found = re.search(rf"--num-{what}[= ](\d+)", start)
    return float(found[1]) if found else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
