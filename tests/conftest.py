"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from rewa.errors import UserError

# A busy machine must not fail a test, and CI must fail for the change it is shown, not for a lucky draw.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell starts `command &` with SIGINT ignored, and all that this starts too: tests of Ctrl-C would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_ambient_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracking URI in the developer's environment must not receive test runs."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; its migrations take ten seconds, so it is made once and copied."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def tracking_uri(migrated_store: Path, tmp_path: Path) -> str:
    """The URI of an empty store of this test's own."""
    path = tmp_path / "tracking" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(migrated_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the ``rewa`` command in this process: returns exit status, stdout and stderr."""
    import sys

    from rewa.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        before = sys.argv
        sys.argv = ["rewa", *words]
        try:
            main()
            status = 0
        except SystemExit as done:
            status = int(done.code or 0)
        except UserError as error:  # main must have turned it into a message
            pytest.fail(f"a UserError escaped: {error}")
        finally:
            sys.argv = before
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
