"""Claims a sweep's directory and settles what is to be run in it: a new sweep, or one that goes on."""

from __future__ import annotations

import shlex
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewa.environment import commit, hardware, versions
from rewa.errors import UserError
from rewa.storage import Store
from rewa.sweep.changes import all_differences
from rewa.sweep.folder import SweepFolder
from rewa.sweep.mirror import check_same, fetch
from rewa.sweep.space import SearchSpace, space_from_values


@dataclass(frozen=True)
class SweepRequest:
    """What is asked of a sweep.

    Attributes:
        space: The search space as read.
        text: Its YAML, kept for the report.
        output: Output directory.
        resume: Whether to go on with a sweep that is there; without one a new sweep starts.
        name: Name of the sweep, if not the space's own.
        trials: Trials per method, if not the space's own; on resumption, the new number.
        seed: Seed, if not the space's own.
        storage: URI of shared storage; on resumption, the sweep's own unless another is given.
    """

    space: SearchSpace
    text: str
    output: Path
    resume: bool = False
    name: str | None = None
    trials: int | None = None
    seed: int | None = None
    storage: str | None = None


def open_sweep(request: SweepRequest) -> tuple[SearchSpace, SweepFolder]:
    """Claim the output directory and settle what is to be run.

    Returns:
        The space with name, budget and seed settled, and the locked directory.

    Raises:
        UserError: If the directory is taken, or the space or seed is not the one it was started with.
    """
    output = request.output
    folder = SweepFolder(output)
    if folder.is_foreign:
        raise UserError(f"{output}: is taken and is not a sweep; choose another --output")
    folder.lock()
    if folder.is_started and not request.resume:
        raise UserError(
            f"{output}: holds a sweep already; add --resume to go on with it, or choose another --output"
        )
    started = folder.is_started
    if request.resume and request.storage and not started:
        started = fetch(Store(request.storage).child(request.name or request.space.name), folder)
    space = _resumed(request, folder) if started else _new(request, folder)
    if store := store_of(folder.read_meta()):
        check_same(store, folder.read_meta())
        if started:
            fetch(store, folder)  # what a driver on another machine has added
    return space, folder


def store_of(meta: dict[str, Any]) -> Store | None:
    """Return a sweep's place in shared storage, if it has one."""
    return Store(meta["storage"]).child(meta["sweep"]) if meta.get("storage") else None


def confirm_seeds(space: SearchSpace) -> list[int]:
    """Return the fresh seeds: those after the search's own."""
    return [space.seed + 1 + index for index in range(space.confirm.seeds)]


def _new(request: SweepRequest, folder: SweepFolder) -> SearchSpace:
    """Begin a sweep."""
    given = {"name": request.name, "trials": request.trials, "seed": request.seed}
    space = request.space.model_copy(update={key: v for key, v in given.items() if v is not None})
    folder.write_meta(
        {**_new_meta(space, request.text), "space_name": request.space.name, "storage": request.storage}
    )
    return space


def _resumed(request: SweepRequest, folder: SweepFolder) -> SearchSpace:
    """Go on with a sweep."""
    output, space = request.output, request.space
    meta = folder.read_meta()
    stored = space_from_values(meta["space"], f"{output}/sweep.json")
    if request.name not in (None, stored.name):
        raise UserError(f"{output}: holds the sweep {stored.name!r}, not --name {request.name}")
    if request.seed not in (None, stored.seed):
        raise UserError(f"{output}: was started with --seed {stored.seed}, not {request.seed}")
    if request.trials is not None and request.trials < stored.trials:
        raise UserError(
            f"{output}: has {stored.trials} trials per method; --trials can raise that, not lower it"
        )
    # resources say where trials run, not what is searched: another cluster may go on with the sweep
    stored = stored.model_copy(update={"resources": space.resources})
    own: dict[str, Any] = {"trials": stored.trials, "seed": stored.seed}
    if stored.name != space.name and meta.get("space_name") == space.name:
        own["name"] = stored.name
    asked = space.model_copy(update=own)
    if changed := all_differences(
        stored.model_dump(mode="json", by_alias=True), asked.model_dump(mode="json", by_alias=True)
    ):
        raise UserError(
            f"{output}: the search space has changed since ({changed}); "
            "restore it, or choose another --output"
        )
    settled = stored.model_copy(update={"trials": request.trials or stored.trials})
    meta.setdefault("id", uuid.uuid4().hex)
    meta.update(
        trials_per_method=settled.trials,
        space=settled.model_dump(mode="json", by_alias=True),
        storage=request.storage or meta.get("storage"),
    )
    folder.write_meta(meta)
    return settled


def _new_meta(space: SearchSpace, text: str) -> dict[str, Any]:
    """Describe a new sweep, for the report and for its resumption."""
    return {
        "id": uuid.uuid4().hex,
        "sweep": space.name,
        "command": shlex.join(["rewa", *sys.argv[1:]]),
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": 0.0,
        "versions": versions(),
        "hardware": hardware(),
        "objective": space.objective.model_dump(),
        "methods": list(space.methods),
        "trials_per_method": space.trials,
        "search_seed": space.seed,
        "confirm_seeds": confirm_seeds(space),
        "confirm_settings": space.confirm.settings,
        "space": space.model_dump(mode="json", by_alias=True),
        "space_text": text,
    }
