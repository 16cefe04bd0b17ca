"""The lists of node_config keys against the providers' own descriptions of their requests."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from cluster_files import SHIPPED, filled

from rewa.cluster.instance_keys import EC2, GCE, known_keys

MANY = 25
"""Longer lists of values, such as all instance types, are not kept."""

AWS_TYPES = {
    "blob": "string",
    "long": "integer",
    "double": "number",
    "float": "number",
    "timestamp": "string",
}


def as_listed(shape: Any, above: tuple[str, ...] = ()) -> Any:
    """A shape of botocore in the form of our list."""
    if shape.name in above:
        return "any"
    if shape.type_name == "structure":
        return {key: as_listed(member, (*above, shape.name)) for key, member in shape.members.items()}
    if shape.type_name == "list":
        return [as_listed(shape.member, (*above, shape.name))]
    if shape.type_name == "map":
        return "object"
    values = getattr(shape, "enum", None)
    if values and len(values) <= MANY:
        return "|".join(values)
    return AWS_TYPES.get(shape.type_name, shape.type_name)


def contradictions(ours: Any, theirs: Any, here: str = "") -> list[str]:
    """Where our list has what the provider's has not."""
    if isinstance(ours, dict):
        if not isinstance(theirs, dict):
            return [here]
        found = [f"{here}.{key}" for key in set(ours) - set(theirs)]
        shared = set(ours) & set(theirs)
        return found + [
            place for key in shared for place in contradictions(ours[key], theirs[key], f"{here}.{key}")
        ]
    if isinstance(ours, list):
        return contradictions(ours[0], theirs[0], f"{here}[]") if isinstance(theirs, list) else [here]
    return [] if set(str(ours).split("|")) <= set(str(theirs).split("|")) else [f"{here}: {ours} / {theirs}"]


def test_ec2_keys_are_those_of_run_instances() -> None:
    loaders = pytest.importorskip("botocore.loaders")
    model = pytest.importorskip("botocore.model")
    service = model.ServiceModel(loaders.Loader().load_service_model("ec2", "service-2"))
    theirs = as_listed(service.operation_model("RunInstances").input_shape)
    ours = {key: value for key, value in known_keys(EC2).items() if key != "SubnetIds"}  # Ray's own
    assert contradictions(ours, theirs) == []
    set_by_ray = {"DryRun", "ClientToken", "MinCount", "MaxCount"}
    assert set(theirs) - set(ours) <= set_by_ray


def test_gce_keys_are_those_of_an_instance() -> None:
    discovery_cache = pytest.importorskip("googleapiclient.discovery_cache")
    import json
    from pathlib import Path

    documents = Path(str(discovery_cache.__file__)).parent / "documents"
    schemas = json.loads((documents / "compute.v1.json").read_text())["schemas"]

    def unknown(ours: Any, schema: dict[str, Any], here: str = "") -> list[str]:
        schema = schemas[schema["$ref"]] if "$ref" in schema else schema
        if isinstance(ours, list):
            return unknown(ours[0], schema["items"], f"{here}[]")
        if not isinstance(ours, dict):
            return []
        found = [f"{here}.{key}" for key in set(ours) - set(schema["properties"])]
        shared = set(ours) & set(schema["properties"])
        return found + [
            p for key in shared for p in unknown(ours[key], schema["properties"][key], f"{here}.{key}")
        ]

    assert unknown(known_keys(GCE), {"$ref": "Instance"}) == []


@pytest.mark.parametrize(("name", "request_"), [(SHIPPED[0], EC2), (SHIPPED[1], GCE)])
def test_the_shipped_keys_are_listed(name: str, request_: str) -> None:
    values = yaml.safe_load(filled(name))
    for settings in values["available_node_types"].values():
        assert set(settings["node_config"]) <= set(known_keys(request_))


def test_every_leaf_is_a_type_or_a_choice() -> None:
    def leaves(known: Any) -> list[str]:
        if isinstance(known, dict):
            return [leaf for value in known.values() for leaf in leaves(value)]
        return leaves(known[0]) if isinstance(known, list) else [known]

    kinds = {"string", "integer", "number", "boolean", "object", "any"}
    for name in (EC2, GCE):
        assert all(leaf in kinds or "|" in leaf or leaf.isidentifier() for leaf in leaves(known_keys(name)))
