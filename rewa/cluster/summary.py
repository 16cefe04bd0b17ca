"""One line that says what a cluster would be."""

from __future__ import annotations

from typing import Any

from rewa.cluster.hardware import Workers, workers_of
from rewa.cluster.node_rules import is_spot_on_gcp
from rewa.cluster.shape import mapping, provider_of, sequence


def summarise(values: dict[str, Any]) -> str:
    """Return name, head, workers, the most GPUs, and what is on spot."""
    provider = mapping(values.get("provider"))
    kind = provider_of(values) or "no provider"
    place = provider.get("region")
    where = f"{kind}, {place}" if isinstance(place, str) else kind
    workers = [_workers(values, found) for found in workers_of(values)]
    return (
        f"cluster {values.get('cluster_name')!s} ({where}): head {_head(values)}; "
        f"workers: {', '.join(workers) or 'none'}; {_gpus(values)}"
    )


def _head(values: dict[str, Any]) -> str:
    """Return the head's machine."""
    if provider_of(values) == "local":
        return str(mapping(values.get("provider")).get("head_ip", "unknown"))
    return _machine(values, str(values.get("head_node_type")))


def _workers(values: dict[str, Any], workers: Workers) -> str:
    """Return number, machine and market of one kind of workers."""
    if not workers.name:
        ips = [str(ip) for ip in sequence(mapping(values.get("provider")).get("worker_ips"))]
        return f"{workers.most} of {' '.join(ips)}"
    types = mapping(values.get("available_node_types"))
    least = mapping(types.get(workers.name)).get("min_workers", 0)
    node = mapping(mapping(types.get(workers.name)).get("node_config"))
    market = mapping(node.get("InstanceMarketOptions")).get("MarketType")
    spot = " on spot" if market == "spot" or is_spot_on_gcp(node) else ""
    return f"{least} to {workers.most} {_machine(values, workers.name)}{spot}"


def _machine(values: dict[str, Any], name: str) -> str:
    """Return the machine type of a node type, or the node type's name where there is none."""
    node = mapping(mapping(mapping(values.get("available_node_types")).get(name)).get("node_config"))
    for key in ("InstanceType", "machineType"):
        if isinstance(node.get(key), str):
            return str(node[key])
    return name


def _gpus(values: dict[str, Any]) -> str:
    """Return how many GPUs there are at most."""
    found = workers_of(values)
    if any(workers.gpu is None or workers.most is None for workers in found):
        return "GPUs as Ray finds them"
    top = values.get("max_workers")
    most = sum((workers.gpu or 0) * (workers.most or 0) for workers in found)
    if isinstance(top, int) and found:
        most = min(most, top * max(workers.gpu or 0 for workers in found))
    return f"at most {most:g} GPU{'' if most == 1 else 's'}" if most else "no GPU"
