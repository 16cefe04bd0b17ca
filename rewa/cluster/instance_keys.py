"""Keys and values of ``node_config``: what EC2's RunInstances and Compute Engine's instances.insert know.

``ec2_run_instances.json`` and ``gce_instance.json`` hold the parameters, nested as in a request: a mapping
for a structure, a list of one for a list, else the type's name or the allowed values separated by ``|``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from rewa.cluster.node_rules import is_spot_on_gcp
from rewa.cluster.problem import Location, Problem, dotted, shown, warning
from rewa.cluster.shape import mapping, node_types, provider_of
from rewa.registry import did_you_mean

EC2, GCE = "ec2_run_instances", "gce_instance"
RAYS_OWN: dict[str, dict[str, Any]] = {EC2: {"SubnetIds": ["string"]}, GCE: {"kind": "string"}}
"""Keys that Ray takes besides, and turns into others."""

NUMBERS = {EC2: ("MinCount", "MaxCount")}
"""Keys of the request that Ray sets itself."""

INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
TPU_KEYS = ("acceleratorType", "acceleratorConfig")


@cache
def known_keys(request: str) -> dict[str, Any]:
    """Return the parameters of a request, nested."""
    text = files("rewa.cluster").joinpath(f"{request}.json").read_text(encoding="utf-8")
    return {**json.loads(text), **RAYS_OWN[request]}


def instance_problems(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield what a provider would refuse in the node types' ``node_config``."""
    provider = provider_of(values)
    for name, settings in node_types(values):
        here = ("available_node_types", name, "node_config")
        node = settings.get("node_config")
        if not isinstance(node, dict):
            continue
        if provider == "aws":
            yield from _ec2(here, node)
        elif provider == "gcp" and not any(key in node for key in TPU_KEYS):
            yield from _gce(here, node)


def _ec2(here: Location, node: dict[str, Any]) -> Iterator[Problem]:
    """Yield what EC2 would refuse."""
    for key in NUMBERS[EC2]:
        if key in node:
            yield Problem(
                (*here, key), f"{dotted((*here, key))}: Ray sets it; use min_workers and max_workers"
            )
    rest = {key: value for key, value in node.items() if key not in NUMBERS[EC2]}
    yield from _against(known_keys(EC2), rest, here, strict=True)
    kind = node.get("InstanceType")
    if kind is None and "LaunchTemplate" not in node:
        yield Problem(here, f"{dotted(here)}: missing key 'InstanceType', such as m6i.xlarge")
    elif isinstance(kind, str) and not INSTANCE_TYPE.fullmatch(kind):
        yield Problem(
            (*here, "InstanceType"),
            f"InstanceType = {shown(kind)}: is no instance type; m6i.xlarge would be one",
        )
    if "ImageId" not in node and "LaunchTemplate" not in node:
        yield warning(
            here,
            f"{dotted(here)}: has no ImageId, and Ray's own choice is of 2023, with an old driver; give one",
        )
    market = mapping(node.get("InstanceMarketOptions"))
    if "SpotOptions" in market and market.get("MarketType") != "spot":
        yield Problem(
            (*here, "InstanceMarketOptions"),
            "InstanceMarketOptions has SpotOptions without MarketType: spot; add it, or leave them out",
        )


def _gce(here: Location, node: dict[str, Any]) -> Iterator[Problem]:
    """Yield what Compute Engine would refuse."""
    yield from _against(known_keys(GCE), node, here, strict=False)
    if "machineType" not in node and "sourceInstanceTemplate" not in node:
        yield Problem(here, f"{dotted(here)}: missing key 'machineType', such as n2-standard-4")
    if "disks" not in node and "sourceMachineImage" not in node:
        yield Problem(here, f"{dotted(here)}: missing key 'disks', with a boot disk and its sourceImage")
    scheduling = node.get("scheduling")
    parts = scheduling if isinstance(scheduling, list) else [scheduling]
    ends = any(mapping(part).get("onHostMaintenance") == "TERMINATE" for part in parts)
    if node.get("guestAccelerators") and not ends and not is_spot_on_gcp(node):
        yield Problem(
            (*here, "scheduling"),
            f"{dotted(here)}: a machine with guestAccelerators needs scheduling.onHostMaintenance: TERMINATE",
        )


def _against(known: Any, value: Any, here: Location, strict: bool) -> Iterator[Problem]:
    """Yield unknown keys and impossible values below a place.

    Args:
        known: What is allowed there.
        value: What stands there.
        here: The place.
        strict: Whether types are as the API's client wants them; Compute Engine takes "50" for 50, and a list
            of one where it wants a mapping.
    """
    if isinstance(known, dict):
        if isinstance(value, list) and not strict:
            for index, part in enumerate(value):
                yield from _against(known, part, (*here, index), strict)
            return
        if not isinstance(value, dict):
            yield Problem(
                here, f"{dotted(here)} = {shown(value)}: must be a mapping with keys such as {_some(known)}"
            )
            return
        for key, part in value.items():
            if key in known:
                yield from _against(known[key], part, (*here, key), strict)
            else:
                yield Problem(
                    (*here, key), f"unknown key {dotted((*here, key))!r}{did_you_mean(key, list(known))}"
                )
    elif isinstance(known, list):
        if not isinstance(value, list):
            yield Problem(here, f"{dotted(here)} = {shown(value)}: must be a list")
            return
        for index, part in enumerate(value):
            yield from _against(known[0], part, (*here, index), strict)
    else:
        yield from _scalar(known, value, here, strict)


def _scalar(known: str, value: Any, here: Location, strict: bool) -> Iterator[Problem]:
    """Yield what is wrong with a single value."""
    if "|" in known:
        choices = known.split("|")
        if value not in choices:
            hint = did_you_mean(value, choices) if isinstance(value, str) else ""
            wanted = hint or f": must be one of {', '.join(choices)}"
            yield Problem(here, f"{dotted(here)} = {shown(value)}{wanted}")
    elif not _is_a(known, value, strict):
        yield Problem(here, f"{dotted(here)} = {shown(value)}: must be of type {known}")


def _is_a(known: str, value: Any, strict: bool) -> bool:
    """Return whether a value has a type."""
    if known == "any":
        return True
    if known == "object":
        return isinstance(value, dict)
    if known == "boolean":
        return isinstance(value, bool)
    if isinstance(value, (dict, list, bool)) or value is None:
        return False
    if known == "integer":
        return isinstance(value, int) or (not strict and isinstance(value, str) and value.isdigit())
    if known == "number":
        return isinstance(value, (int, float))
    return isinstance(value, str) or not strict


def _some(known: dict[str, Any]) -> str:
    return ", ".join(sorted(known)[:3])
