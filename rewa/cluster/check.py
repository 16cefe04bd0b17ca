"""All rules over one cluster file, and their findings in the order in which they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewa.cluster.document import ClusterDocument
from rewa.cluster.file_rules import file_problems
from rewa.cluster.instance_keys import instance_problems
from rewa.cluster.node_rules import node_problems
from rewa.cluster.problem import Problem, warning
from rewa.cluster.ray_rules import ray_problems
from rewa.cluster.safety_rules import safety_problems
from rewa.cluster.shape import provider_of
from rewa.cluster.space_rules import space_problems

if TYPE_CHECKING:
    from rewa.sweep.space import SearchSpace

CHECKED = ("aws", "gcp", "local")


def check_cluster(document: ClusterDocument, space: SearchSpace | None = None) -> list[Problem]:
    """Return everything that is wrong with a cluster file: errors first, each in the order of the file.

    Args:
        document: The file as read.
        space: A search space that is to run there.
    """
    values = document.values
    found = [*ray_problems(values), *file_problems(document), *safety_problems(document)]
    provider = provider_of(values)
    if provider in CHECKED:
        found += [*node_problems(values), *instance_problems(values)]
        if space is not None:
            found += space_problems(values, space.name, space.resources)
    elif provider:
        found.append(
            warning(
                ("provider", "type"),
                f"provider.type = {provider!r}: only Ray's own rules were checked; all rules are for "
                f"{', '.join(CHECKED)}",
            )
        )
    told: dict[tuple[int, str], Problem] = {}
    for problem in found:
        told.setdefault((document.line(problem.location), problem.sentence), problem)
    return sorted(
        told.values(), key=lambda problem: (problem.severity != "error", document.line(problem.location))
    )
