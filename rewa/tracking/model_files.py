"""A model's files in MLflow's layout: an exported program with signature and example, no pickled classes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from torch import nn

from rewa.credentials import brief
from rewa.errors import RunError

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.pyfunc import PyFuncModel


def save_model(
    folder: Path, model: nn.Module, examples: npt.NDArray[Any], outputs: npt.NDArray[Any]
) -> PyFuncModel:
    """Write a model's files in MLflow's layout and return what is loaded from them.

    Raises:
        RunError: If the network cannot be exported.
    """
    with _quietly():
        return _save_and_load(folder, model, examples, outputs)


def _save_and_load(
    folder: Path, model: nn.Module, examples: npt.NDArray[Any], outputs: npt.NDArray[Any]
) -> PyFuncModel:
    import mlflow.pyfunc
    import mlflow.pytorch
    from mlflow.models import Model, infer_signature

    needed = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in ("mlflow", "torch", "numpy")]
    try:
        mlflow.pytorch.save_model(
            model,
            str(folder),
            mlflow_model=Model(),
            signature=infer_signature(examples, outputs),
            input_example=examples,
            serialization_format="pt2",
            pip_requirements=needed,
        )
    except Exception as error:  # whatever torch.export cannot follow
        raise RunError(f"the network cannot be exported by torch.export ({brief(error)})") from error
    loaded: PyFuncModel = mlflow.pyfunc.load_model(str(folder), model_config={"device": "cpu"})
    return loaded


def name_model(folder: Path, run_id: str, logged: LoggedModel) -> None:
    """Write into a model's files which one it is in the store."""
    from mlflow.models import Model

    described = Model.load(str(folder))
    described.run_id, described.model_id = run_id, logged.model_id
    described.model_uuid, described.artifact_path = logged.model_id, logged.artifact_location
    described.save(str(folder / "MLmodel"))


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep MLflow and torch from talking about their own packages."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
