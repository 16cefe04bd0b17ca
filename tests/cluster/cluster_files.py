"""What the tests of cluster files share: the shipped files, filled in, and what a check says of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rewa.cluster.check import check_cluster
from rewa.cluster.document import read_cluster
from rewa.sweep.space import Resources, SearchSpace

PROJECT = Path(__file__).parents[2]
SHIPPED = ("cluster.yaml", "cluster.gcp.yaml", "cluster.local.yaml")
FILLED = {
    "ami-FILL-IN": "ami-0123456789abcdef0",
    "s3://FILL-IN/": "s3://bucket/",
    "gs://FILL-IN/": "gs://bucket/",
    "project_id: FILL-IN": "project_id: my-project",
    "192.0.2.": "10.0.0.",
    "~/.ssh/id_ed25519": "~/.ray/auth_token",  # any file that is there
}


def filled(name: str) -> str:
    """The text of a shipped file with its placeholders replaced."""
    text = (PROJECT / name).read_text()
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return text


def edited(name: str, *changes: tuple[str, str]) -> str:
    """A filled file with pieces of text replaced; each must be there."""
    text = filled(name)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def values_of(text: str) -> dict[str, Any]:
    """The plain values of a file, as Ray reads them."""
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def space_with(**resources: Any) -> SearchSpace:
    """A search space that asks for these resources."""
    return SearchSpace.parse(
        {
            "name": "asking",
            "workload": {"name": "digits"},
            "resources": Resources.parse(resources, "resources").model_dump(),
            "methods": {"magnitude": {"sample": {"lr": {"uniform": [0.1, 0.2]}}}},
        },
        "space",
    )


def told(folder: Path, text: str, space: SearchSpace | None = None) -> list[str]:
    """What a check says of a file: ``LINE SEVERITY: SENTENCE``, errors first."""
    path = folder / "cluster.yaml"
    path.write_text(text)
    document = read_cluster(path)
    return [
        f"{document.line(problem.location)} {problem.severity}: {problem.sentence}"
        for problem in check_cluster(document, space)
    ]
