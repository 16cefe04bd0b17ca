"""Rules about numbers of machines, the head, and GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rewa.cluster.hardware import described_gpus, lacks_gpu_count
from rewa.cluster.problem import Problem, shown, warning
from rewa.cluster.shape import commands, mapping, node_types, provider_of, sequence, whole, worker_types

CUDA_IMAGE = re.compile(r"gpu|cuda|cu1\d\d", re.IGNORECASE)


def node_problems(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the numbers, kinds and images of machines."""
    yield from _local(values) if provider_of(values) == "local" else _cloud(values)


def _cloud(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a cluster whose machines are started for it."""
    if "min_workers" in values:
        yield Problem(
            ("min_workers",),
            f"min_workers = {shown(values['min_workers'])}: Ray ignores it at the top; "
            "give it to a node type of available_node_types",
        )
    if "available_node_types" not in values:
        yield Problem((), "missing key 'available_node_types': without it Ray starts CPU machines of its own")
        return
    top = whole(values.get("max_workers"))
    if top is None and "max_workers" not in values:
        yield warning(
            (), "missing key 'max_workers': Ray takes 2; say how many workers may be paid for at once"
        )
    for name, settings in node_types(values):
        yield from _numbers(name, settings, top)
    workers = dict(worker_types(values))
    if not any(whole(settings.get("max_workers", 1)) != 0 for settings in workers.values()) or top == 0:
        yield Problem(
            ("available_node_types",),
            "no node type beside the head's may have a worker, so no trial would run",
        )
    head = values.get("head_node_type")
    yield from _head(head, mapping(mapping(values.get("available_node_types")).get(str(head))))
    for name, settings in workers.items():
        yield from _gpus(values, name, settings)


def _numbers(name: str, settings: dict[str, Any], top: int | None) -> Iterator[Problem]:
    """Yield what is wrong with the least and the largest number of one type."""
    least, most = whole(settings.get("min_workers", 0)), whole(settings.get("max_workers", top))
    here = ("available_node_types", name)
    if least is not None and least < 0:
        yield Problem((*here, "min_workers"), f"{name}.min_workers = {least}: must not be negative")
    if most is not None and most < 0:
        yield Problem((*here, "max_workers"), f"{name}.max_workers = {most}: must not be negative")
    elif least is not None and most is not None and least > most:
        yield Problem(
            (*here, "min_workers"),
            f"{name}.min_workers = {least}: is more than its max_workers = {most}; lower it or raise that",
        )
    elif most is not None and top is not None and most > top:
        yield warning(
            (*here, "max_workers"),
            f"{name}.max_workers = {most}: never reached, max_workers at the top is {top}; raise that",
        )


def _head(name: Any, settings: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the head's type."""
    here = ("available_node_types", str(name))
    resources = mapping(settings.get("resources"))
    cpu = resources.get("CPU")
    if settings and cpu != 0:
        given = (
            f"{name}.resources.CPU = {shown(cpu)}" if "CPU" in resources else f"{name}.resources has no CPU"
        )
        yield warning(
            (*here, "resources", "CPU"),
            f"{given}: the head would run trials beside the driver, and a head that they bring down ends the "
            "sweep; set it to 0",
        )
    if whole(settings.get("min_workers", 0)) or whole(settings.get("max_workers", 0)):
        yield warning(
            (*here, "max_workers"),
            f"{name}: workers of the head's type would run no trial; leave min_workers and max_workers out",
        )
    node = mapping(settings.get("node_config"))
    market = mapping(node.get("InstanceMarketOptions")).get("MarketType")
    if market == "spot" or is_spot_on_gcp(node):
        yield warning(
            here, f"{name}: the head is on spot and may vanish with the sweep's driver; take it off spot"
        )


def _gpus(values: dict[str, Any], name: str, settings: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with a worker type that has GPUs, or seems to."""
    here = ("available_node_types", name)
    if lacks_gpu_count(provider_of(values), settings):
        yield Problem(
            (*here, "resources"),
            f"{name}.resources has no GPU although its machines do: no trial would get one; add GPU: 1",
        )
    if not described_gpus(provider_of(values), settings):
        return
    docker = {**mapping(values.get("docker")), **mapping(settings.get("docker"))}
    key = "worker_image" if "worker_image" in docker else "image"
    image = docker.get(key)
    if image is None:
        yield warning(
            ("docker",),
            f"{name} has GPUs but there is no docker image: the machine's image must bring CUDA and Python; "
            "set docker.worker_image to one with CUDA, such as rayproject/ray:2.60.0-py311-gpu",
        )
    elif isinstance(image, str) and not CUDA_IMAGE.search(image):
        yield warning(
            ("docker", key),
            f"docker.{key} = {shown(image)}: {name} has GPUs, and this looks like an image without CUDA; "
            "take one such as rayproject/ray:2.60.0-py311-gpu",
        )


def is_spot_on_gcp(node: dict[str, Any]) -> bool:
    """Return whether a Compute Engine body asks for a machine that may be taken away."""
    found = node.get("scheduling")
    parts = found if isinstance(found, list) else [found]
    return any(
        mapping(part).get("preemptible") is True or mapping(part).get("provisioningModel") == "SPOT"
        for part in parts
    )


def _local(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a cluster of own machines."""
    provider = mapping(values.get("provider"))
    ips = sequence(provider.get("worker_ips"))
    where = ("provider", "worker_ips")
    if "worker_ips" in provider and not ips:
        yield Problem(where, "provider.worker_ips is empty: no trial would run; list the workers' addresses")
    for index, ip in enumerate(ips):
        if ip == provider.get("head_ip"):
            yield Problem((*where, index), f"provider.worker_ips: {shown(ip)} is the head; leave it out")
        elif ip in ips[:index]:
            yield Problem((*where, index), f"provider.worker_ips: {shown(ip)} is given twice; leave one out")
    least, most = whole(values.get("min_workers", len(ips))), whole(values.get("max_workers", len(ips)))
    if least is not None and most is not None and least > most:
        yield Problem(("min_workers",), f"min_workers = {least}: is more than max_workers = {most}; lower it")
    if ips and most is not None and most != len(ips):
        yield warning(
            ("max_workers",), f"max_workers = {most}: there are {len(ips)} worker_ips; make it {len(ips)}"
        )
    if ips and least is not None and least < len(ips) and (most is None or least <= most):
        yield warning(
            ("min_workers",),
            f"min_workers = {least}: Ray starts {least} of the {len(ips)} worker_ips, and more only where it "
            f"knows that they fit; make it {len(ips)}",
        )
    start = commands(values, "head_start_ray_commands")
    if not re.search(r"--num-cpus[= ]0\b", start):
        yield warning(
            ("head_start_ray_commands",),
            "head_start_ray_commands: `ray start --head` has no --num-cpus=0, so the head would run trials "
            "beside the driver; add it",
        )
    if "RAY_enable_autoscaler_v2=0" not in start:
        yield warning(
            ("head_start_ray_commands",),
            "head_start_ray_commands: Ray's second autoscaler counts the head as a worker and starts one "
            "machine too few; put `export RAY_enable_autoscaler_v2=0;` before `ray start`",
        )
