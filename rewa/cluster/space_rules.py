"""Whether a search space fits a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rewa.cluster.hardware import Workers, workers_of
from rewa.cluster.problem import Problem, warning

if TYPE_CHECKING:
    from rewa.sweep.space import Resources


def space_problems(values: dict[str, Any], name: str, resources: Resources) -> Iterator[Problem]:
    """Yield what keeps trials of a search space from ever running: Ray itself would wait for ever.

    Args:
        values: The cluster file.
        name: The search space's name, for messages.
        resources: What one trial asks for; each of its workers must fit into one machine.
    """
    found = [workers for workers in workers_of(values) if workers.most != 0]
    where = (
        ("provider", "worker_ips")
        if any(not workers.name for workers in found)
        else ("available_node_types",)
    )
    if not found:
        return
    asks = f"search space {name!r} asks for resources.gpu = {resources.gpu:g}"
    if resources.gpu and all(workers.gpu == 0 for workers in found):
        yield Problem(where, f"{asks}, but no worker has a GPU; add a node type with some, or set it to 0")
        return
    fitting = [workers for workers in found if _fits(workers, resources)]
    if not fitting:
        has = ", ".join(_described(workers) for workers in found)
        yield Problem(
            where,
            f"{asks} and resources.cpu = {resources.cpu:g} on one machine, but the workers have {has}; "
            "take larger machines, or ask for less",
        )
        return
    if all(workers.most is not None for workers in fitting):
        places = sum((workers.most or 0) * _places(workers, resources) for workers in fitting)
        if places < resources.workers:
            yield Problem(
                where,
                f"search space {name!r} asks for resources.workers = {resources.workers}, but only "
                f"{places:g} fit into all machines together; raise max_workers, or ask for fewer",
            )
    if not resources.gpu and all(workers.gpu for workers in found):
        yield warning(where, f"search space {name!r} asks for no GPU: those of the cluster would idle")


def _fits(workers: Workers, resources: Resources) -> bool:
    """Return whether one worker of a trial fits into one machine; what is not known fits."""
    enough_cpu = workers.cpu is None or resources.cpu <= workers.cpu
    return enough_cpu and (workers.gpu is None or resources.gpu <= workers.gpu)


def _places(workers: Workers, resources: Resources) -> float:
    """Return how many of a trial's workers one machine holds; without limit where nothing is known."""
    limits = [float("inf")]
    if workers.cpu is not None:
        limits.append(workers.cpu // resources.cpu)
    if resources.gpu and workers.gpu is not None:
        limits.append(workers.gpu // resources.gpu)
    return min(limits)


def _described(workers: Workers) -> str:
    """Return what a machine has, for messages."""
    cpu = "unknown" if workers.cpu is None else f"{workers.cpu:g}"
    gpu = "unknown" if workers.gpu is None else f"{workers.gpu:g}"
    return f"{workers.name or 'each'} CPU {cpu}, GPU {gpu}"
