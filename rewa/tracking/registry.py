"""A sweep's models in MLflow's registry: logged with signature and example, one version per result."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy.typing as npt
from torch import nn

from rewa import mlflow_view
from rewa.errors import UserError
from rewa.tracking.batch import log_batch
from rewa.tracking.model_files import name_model, save_model
from rewa.tracking.store import FINISHED, MODEL_PHASE, find_sweep, open_existing, search, told

if TYPE_CHECKING:
    from mlflow.entities import LoggedModelOutput
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.pyfunc import PyFuncModel

FINGERPRINT_TAG = "rewa.fingerprint"
LOGGED_NAME = "model"
URI_VARIABLE = "MLFLOW_TRACKING_URI"

Check = Callable[["PyFuncModel"], None]
"""Told of the model as it is loaded from its files, before anything is written to the store; may raise."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: Of the registered model.
        number: Of the version.
        page: Its address after the UI's.
    """

    name: str
    number: str
    page: str


@dataclass(frozen=True)
class ModelCard:
    """What is registered of a model, as plain data.

    Attributes:
        name: Of the registered model.
        sweep: Name of the sweep.
        title: Of the version's run.
        source_run: The training's run.
        tags: What the version is, by name without ``rewa.``; together they identify the result.
        params: The setting and the operating point.
        description: Markdown.
    """

    name: str
    sweep: str
    title: str
    source_run: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    description: str

    @property
    def fingerprint(self) -> str:
        """What is equal for equal results of one name."""
        identity = {"name": self.name, "sweep": self.sweep, **self.tags}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


class Registry:
    """The registered models of one store.

    Args:
        tracking_uri: As for :func:`rewa.store_uri.resolve_uri`.
        sweep: Name of the sweep.

    Raises:
        UserError: If the store or the sweep is missing.
    """

    def __init__(self, tracking_uri: str | None, sweep: str) -> None:
        self.uri, self.client = open_existing(tracking_uri)
        with told(self.uri):
            self.sweep, self.experiment_id = find_sweep(self.client, self.uri, sweep)

    def find(self, card: ModelCard) -> Version | None:
        """Return the version that holds this result already."""
        with told(self.uri):
            found = [v for v in self._versions(card.name) if v.tags.get(FINGERPRINT_TAG) == card.fingerprint]
        return self._version(found[0]) if found else None

    def check_name(self, card: ModelCard, given: bool) -> None:
        """Refuse a name that another's registered model has.

        Args:
            card: The model.
            given: Whether the user has named it; then any may get a new version.

        Raises:
            UserError: If it is taken, or no name for a model.
        """
        if re.search(r"[/:]", card.name) or not card.name.strip():
            raise UserError(f"--name {card.name!r}: a model's name has no / and no :")
        model = self._model(card.name)
        if model is not None and not given and model.tags.get("rewa.sweep") != card.sweep:
            raise UserError(
                f"the store has a registered model {card.name!r} that is not of sweep {card.sweep!r}; "
                "give this one a --name of its own, or that name to add a version to it"
            )

    def register(
        self,
        card: ModelCard,
        model: nn.Module,
        examples: npt.NDArray[Any],
        outputs: npt.NDArray[Any],
        metrics: Mapping[str, float],
        check: Check,
    ) -> Version:
        """Log a model and register it as a new version.

        It is exported by ``torch.export``: loading it needs MLflow and torch, none of our classes, no pickle.
        Its run has the phase ``model``; no training's run is changed. What an earlier attempt left
        half-done is removed.

        Args:
            card: What is said of it.
            model: On the CPU, in evaluation mode.
            examples: Inputs, shape (n, ...), n > 1; the first dimension is free.
            outputs: The model's for them.
            metrics: Measured on it.
            check: Called before the store is written.

        Raises:
            RunError: If the network cannot be exported.
            UserError: If the store fails, or the check refuses.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / LOGGED_NAME
            check(save_model(folder, model, examples, outputs))
            with told(self.uri, "cannot be written"):
                return self._write(card, folder, metrics)

    def set_aliases(self, version: Version, aliases: Iterable[str]) -> None:
        """Let aliases point to a version, and to no other."""
        with told(self.uri, "cannot be written"):
            there = self.client.get_registered_model(version.name).aliases
            for alias in aliases:
                if str(there.get(alias, "")) != version.number:
                    self.client.set_registered_model_alias(version.name, alias, version.number)

    def _write(self, card: ModelCard, folder: Path, metrics: Mapping[str, float]) -> Version:
        """Write a model's run, its files and its version, in this order; the version ends it."""
        self._remove_attempts(card)
        tags = self._tags(card)
        note = f"{card.description}\n\n{_training_link(self.experiment_id, card.source_run)}"
        own = {"rewa.phase": MODEL_PHASE, mlflow_view.NOTE_TAG: note, "rewa.source_run": card.source_run}
        run_id = str(
            self.client.create_run(self.experiment_id, tags={**tags, **own}, run_name=card.title).info.run_id
        )
        logged = self.client.create_logged_model(
            self.experiment_id, LOGGED_NAME, run_id, dict(tags), dict(card.params)
        )
        name_model(folder, run_id, logged)
        self.client.log_model_artifacts(logged.model_id, str(folder))
        self.client.finalize_logged_model(logged.model_id, "READY")
        points = [(name, value, 0) for name, value in metrics.items() if math.isfinite(value)]
        log_batch(self.client, run_id, points, card.params, model_id=logged.model_id)
        self.client.log_outputs(run_id, [_output(logged.model_id)])
        self.client.set_terminated(run_id, FINISHED)
        if self._model(card.name) is None:
            about = f"Models of the sweep `{card.sweep}`; an alias such as `best-100x` names one of them."
            self.client.create_registered_model(card.name, {"rewa.sweep": card.sweep}, about)
        with _as_default(self.uri):
            version = self.client.create_model_version(
                card.name,
                f"models:/{logged.model_id}",
                card.source_run,
                tags=tags,
                description=card.description,
                await_creation_for=0,
                model_id=logged.model_id,
            )
        return self._version(version)

    def _tags(self, card: ModelCard) -> dict[str, str]:
        """Return the tags of run, model and version."""
        named = {f"rewa.{key}": value for key, value in card.tags.items()}
        return {"rewa.sweep": card.sweep, **named, FINGERPRINT_TAG: card.fingerprint}

    def _remove_attempts(self, card: ModelCard) -> None:
        """Delete what was logged of a result that has no version: its writer was killed."""
        query = f"tags.`rewa.phase` = '{MODEL_PHASE}' and tags.`{FINGERPRINT_TAG}` = '{card.fingerprint}'"
        for run in list(search(self.client, [self.experiment_id], query)):
            self.client.delete_run(run.info.run_id)
        logged = self.client.search_logged_models(
            [self.experiment_id], f"tags.`{FINGERPRINT_TAG}` = '{card.fingerprint}'"
        )
        for model in logged:
            self.client.delete_logged_model(model.model_id)

    def _versions(self, name: str) -> Iterator[ModelVersion]:
        """Yield all versions of a registered model, newest first."""
        token = None
        while True:
            page = self.client.search_model_versions(f"name = '{name}'", page_token=token)
            yield from sorted(page, key=lambda v: -int(v.version))
            token = page.token
            if not token:
                return

    def _model(self, name: str) -> RegisteredModel | None:
        """Return the registered model of a name, if there is one."""
        found = self.client.search_registered_models(f"name = '{name}'", max_results=1)
        return found[0] if found else None

    def _version(self, version: ModelVersion) -> Version:
        number = str(version.version)
        page = f"/#/models/{quote(version.name)}/versions/{number}"
        return Version(str(version.name), number, page)


@contextmanager
def _as_default(uri: str) -> Iterator[None]:
    """Make a store MLflow's default: a database looks a version's model up there, whatever its own client."""
    before = os.environ.get(URI_VARIABLE)
    os.environ[URI_VARIABLE] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ[URI_VARIABLE]
        else:
            os.environ[URI_VARIABLE] = before


def _output(model_id: str) -> LoggedModelOutput:
    from mlflow.entities import LoggedModelOutput

    return LoggedModelOutput(model_id, step=0)


def _training_link(experiment_id: str, run_id: str) -> str:
    return f"[The training that it comes from](#{mlflow_view.run_path(experiment_id, run_id)})."
