"""The weights that a sweep keeps: those of every confirmed setting, trained on the first confirmation seed.

They are there so that a setting which is recommended can be used without training it again; no result
depends on them. A worker writes ``models/<trial>.pt`` below the sweep's folder, or its place in shared
storage, before the training counts as finished. A disk that is full costs the model, never the training.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from rewa.atomic import replacing
from rewa.checkpoint import identity_digest
from rewa.credentials import brief
from rewa.distributed import rank
from rewa.methods import get_method
from rewa.sealed_file import read_sealed, write_sealed
from rewa.storage import Store
from rewa.sweep.layout import entries

if TYPE_CHECKING:
    from rewa.sweep.trial import TrialSpec

MODELS_FOLDER = "models"
SUFFIX = ".pt"
FORMAT = 1
"""Version of what a file holds."""

State = dict[str, Tensor]


def keep_model(spec: TrialSpec, model: nn.Module | None) -> None:
    """Keep a trained model's weights if they are of those that the sweep keeps; never fails.

    Args:
        spec: The training.
        model: In plain weights; ``None`` if it diverged.
    """
    if model is None or spec.model_seed is None or rank() != 0:
        return
    if (spec.phase, spec.seed) != ("confirm", spec.model_seed) or not (spec.folder or spec.storage):
        return
    key = key_of(spec.trial)
    where = f"{spec.storage or spec.folder}/{key}"
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    whole = {
        "format": FORMAT,
        "identity": _identity(spec.method, spec.trial, spec.seed, spec.config),
        "model": state,
    }
    try:
        if not spec.storage:
            _write(Path(spec.folder) / key, whole)
            return
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / Path(key).name
            _write(path, whole)
            Store(spec.storage).put(path, key)
    except Exception as error:  # of disks and of storage providers
        warnings.warn(
            f"{where}: the model's weights could not be kept ({brief(error)}); the training counts",
            stacklevel=2,
        )


def kept_model(
    folder: Path | None, store: Store | None, method: str, trial: str, seed: int, config: dict[str, Any]
) -> State | None:
    """Return the weights that a sweep kept of a training; ``None`` if it has none.

    A file that is damaged, or another training's, is passed over with a warning.

    Args:
        folder: The sweep's directory, if it is here.
        store: The sweep's place in shared storage, if it has one.
        method: Name of the method.
        trial: Name of the setting.
        seed: The training's.
        config: The setting.
    """
    key, identity = key_of(trial), _identity(method, trial, seed, config)
    if folder is not None and (path := folder / key).is_file():
        return _read(path, str(path), identity)
    if store is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / Path(key).name
        try:
            if not store.get(key, copy):
                return None
        except Exception as error:
            warnings.warn(f"{store.uri}/{key}: cannot be read ({brief(error)})", stacklevel=2)
            return None
        return _read(copy, f"{store.uri}/{key}", identity)


def clean_models(folder: Path, store: Store | None, trials: Collection[str]) -> int:
    """Remove the weights of settings that are not confirmed any more, and what is half-written.

    Only the sweep's driver may call it, when the sweep is complete. What cannot be removed stays.

    Args:
        folder: The sweep's directory.
        store: Its place in shared storage.
        trials: The settings that are confirmed.

    Returns:
        How many bytes that freed.
    """
    wanted = {f"{trial}{SUFFIX}" for trial in trials}
    freed = 0
    for entry in entries(folder / MODELS_FOLDER):
        if entry.name in wanted or not entry.is_file(follow_symlinks=False):
            continue
        with suppress(OSError):
            size = entry.stat().st_size
            Path(entry.path).unlink()
            freed += size
    with suppress(OSError):
        (folder / MODELS_FOLDER).rmdir()  # empty
    if store is not None:
        with suppress(Exception):  # providers raise many kinds; a later sweep cleans up
            for key, size in store.keys(MODELS_FOLDER).items():
                if key.rpartition("/")[2] not in wanted:
                    store.remove(key)
                    freed += size
    return freed


def key_of(trial: str) -> str:
    """Return where a setting's weights are, below the sweep's folder or place in the storage."""
    return f"{MODELS_FOLDER}/{trial}{SUFFIX}"


def _identity(method: str, trial: str, seed: int, config: dict[str, Any]) -> str:
    """Return a fingerprint of a training; 9 and 9.0 are the same setting."""
    parsed = get_method(method).Config.parse(config, trial).model_dump()
    return identity_digest({"method": method, "trial": trial, "seed": seed, "config": parsed})


def _write(path: Path, whole: dict[str, Any]) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        write_sealed(whole, file)


def _read(path: Path, shown: str, identity: str) -> State | None:
    """Return the weights in a file of this training."""
    try:
        whole = read_sealed(path)
        kind, owner, state = whole["format"], whole["identity"], whole["model"]
    except Exception as error:  # torch raises many kinds for a damaged file
        warnings.warn(f"{shown}: cannot be read ({brief(error)}); passed over", stacklevel=3)
        return None
    if (kind, owner) != (FORMAT, identity):
        warnings.warn(f"{shown}: is another training's or version's; passed over", stacklevel=3)
        return None
    found: State = state
    return found
