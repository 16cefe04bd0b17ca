"""What Ray itself says of a cluster file: its schema, and its own preparation and validation.

Both are private to Ray; a test holds them to what is needed here.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rewa.cluster.problem import Location, Problem, dotted, shown
from rewa.cluster.shape import mapping, provider_of
from rewa.registry import did_you_mean

HEAD_OR_WORKERS = ("head_node", "worker_nodes")


def ray_problems(values: dict[str, Any]) -> list[Problem]:
    """Return what Ray refuses: every breach of its schema, else the first thing it stumbles over."""
    return list(_schema_problems(values)) or _prepared_problems(values)


def _schema_problems(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield every breach of Ray's schema."""
    import jsonschema  # type: ignore[import-untyped]
    import ray.autoscaler

    text = (Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text()
    schema = json.loads(text)
    # min_workers at the top is the workers' number for own machines; elsewhere a rule of ours explains it.
    checked = {key: value for key, value in values.items() if key != "min_workers"}
    for error in jsonschema.Draft7Validator(schema).iter_errors(checked):
        yield from _of_schema(error)


def _of_schema(error: Any) -> Iterator[Problem]:
    """Say what a breach of the schema means."""
    location: Location = tuple(error.absolute_path)
    where = dotted(location) or "the file"
    if error.validator == "additionalProperties":
        known = sorted(mapping(error.schema.get("properties")))
        for key in sorted(set(error.instance) - set(known)):
            here = (*location, key)
            if key in HEAD_OR_WORKERS and not location:
                hint = ": Ray 2 has available_node_types and head_node_type instead"
            else:
                hint = did_you_mean(key, known)
            yield Problem(here, f"unknown key {dotted(here)!r}{hint}")
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        for key in missing:
            yield Problem(location, f"missing key {dotted((*location, key))!r}")
    elif error.validator == "type":
        kinds = error.validator_value
        kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
        yield Problem(location, f"{where} = {shown(error.instance)}: must be of type {kind}")
    else:
        yield Problem(location, f"{where} = {shown(error.instance)}: {_brief(error.message)}")


def _prepared_problems(values: dict[str, Any]) -> list[Problem]:
    """Prepare and validate as ``ray up`` would, and return what it raises, if anything."""
    from ray.autoscaler._private import util

    location: Location = ("provider", "type") if "provider" in values else ()
    with _silence() as said:
        try:
            util.validate_config(util.prepare_config(copy.deepcopy(values)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # Ray's abort is an exit in some versions
            text = _brief(str(error)) or _last_line(said.getvalue()) or type(error).__name__
            if isinstance(error, (NotImplementedError, KeyError)) or "Unsupported" in text:
                kind = shown(provider_of(values))
                sentence = (
                    f"provider.type = {kind}: Ray refuses it ({text}); aws, gcp or local would be right"
                )
                return [Problem(location, sentence)]
            if "min_workers" in text or "max_workers" in text:
                location = ("max_workers",)
            elif "head_node_type" in text:
                location = ("head_node_type",)
            elif "container" in text:
                location = ("docker",)
            return [Problem(location, f"Ray refuses the file: {text}")]
    return []


@contextlib.contextmanager
def _silence() -> Iterator[io.StringIO]:
    """Keep what Ray prints and logs meanwhile away from the user."""
    said = io.StringIO()
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        logging.disable(disabled)


def _brief(text: str) -> str:
    """Return the first line of a message, not endless and without its final stop."""
    line = (text.strip().splitlines() or [""])[0]
    return (line if len(line) <= 200 else f"{line[:197]}...").rstrip(".")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _brief(lines[-1]) if lines else ""
