"""A password in the environment, used by a server's login, and looked for wherever anything is written."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lossy_proxy import LossyProxy

from benchmarks.faults.servers import MlflowServer, Postgres

CANARY = "c4nary-Passw0rd"
SPACE = """
name: canary
workload: {name: digits, epochs: 1}
objective: {criterion: ratio, max_compression: 200, reference: 0.5}
trials: 1
confirm: {settings: 1, seeds: 1}
methods:
  magnitude:
    sample:
      lr: {log_uniform: [0.05, 0.2]}
"""


def run(folder: Path, uri: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the password in MLFLOW_TRACKING_URI."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "OMP_NUM_THREADS": "1"}
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        environment.pop(name, None)
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold the password, plain or as HTTP's basic login."""
    forms = [CANARY.encode(), base64.b64encode(f"me:{CANARY}".encode())]
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    ]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_login_is_used_and_shown_nowhere(server: MlflowServer, postgres: Postgres, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    seen: set[str | None] = set()
    with LossyProxy(server.port, lambda *_: "pass", seen) as proxy:
        uri = proxy.uri.replace("://", f"://me:{CANARY}@")
        done = run(tmp_path, uri, "rewa", "sweep", "space.yaml", "--output", "out")
        assert done.returncode == 0, done.stderr
        report = run(tmp_path, uri, "analysis.report", "--sweep", "canary", "--output", "out")
        assert report.returncode == 0, report.stderr
        ui = run(tmp_path, uri, "rewa", "ui", "--sweep", "canary")
        assert ui.returncode == 0, ui.stderr
        refused = run(tmp_path, uri, "rewa", "sweep", "space.yaml", "--output", "b", "--tracking-uri", uri)
        assert refused.returncode == 2
    assert seen == {"Basic " + base64.b64encode(f"me:{CANARY}".encode()).decode()}, (
        "every request had the login"
    )
    gone = run(tmp_path, uri, "rewa", "ui")
    assert gone.returncode == 2
    for one in (done, report, ui, refused, gone):
        assert CANARY not in one.stdout + one.stderr
    assert leaks(tmp_path) == []
    assert leaks(server.artifacts.parent) == []
    rows = postgres.execute(
        f"SELECT value FROM tags WHERE value LIKE '%{CANARY}%' UNION "
        f"SELECT value FROM experiment_tags WHERE value LIKE '%{CANARY}%' UNION "
        f"SELECT value FROM params WHERE value LIKE '%{CANARY}%'",
        "mlflow",
    )
    assert rows == []
    assert list((tmp_path / "out").iterdir())


class _Closed(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(f"wrong login {self.headers.get('Authorization')}".encode())

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_a_refused_login_is_told_without_it(tmp_path: Path) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), _Closed)
    threading.Thread(target=closed.serve_forever, daemon=True).start()
    uri = f"http://me:{CANARY}@127.0.0.1:{closed.server_address[1]}"
    words = ["rewa", "train", "digits", "magnitude", "--set", "lr=0.1", "--epochs", "1", "--output", "out"]
    for command in (words, ["rewa", "ui"]):
        done = run(tmp_path, uri, *command)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert base64.b64encode(f"me:{CANARY}".encode()).decode() not in done.stdout + done.stderr
    closed.shutdown()
    assert leaks(tmp_path) == []
