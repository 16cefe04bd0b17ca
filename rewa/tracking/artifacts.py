"""Files that runs keep: straight to and from the disk where they are local, else through MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def write_artifacts(client: MlflowClient, run: Run, texts: Mapping[str, str]) -> None:
    """Write text artifacts, straight to disk where they are local."""
    if folder := local_artifacts(run):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
        return
    with tempfile.TemporaryDirectory() as upload:
        for name, text in texts.items():
            (Path(upload) / name).write_text(text)
        client.log_artifacts(run.info.run_id, upload)


def read_artifact(client: MlflowClient, run: Run, name: str) -> str | None:
    """Return a text artifact, straight from disk where it is local; ``None`` if it is missing."""
    if folder := local_artifacts(run):
        path = folder / name
        return path.read_text() if path.is_file() else None
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as download:
        try:
            return Path(client.download_artifacts(run.info.run_id, name, download)).read_text()
        except (MlflowException, OSError):
            if name in {item.path for item in client.list_artifacts(run.info.run_id)}:
                raise
            return None


def local_artifacts(run: Run) -> Path | None:
    """Return the directory of a run's artifacts, if it is on this machine."""
    location = urlparse(run.info.artifact_uri)
    return Path(unquote(location.path)) if location.scheme in ("", "file") else None
