"""`rewa status` as a command: exit status, JSON, watching, and how little it loads."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from status_sweep import META, TOTAL, fill, run
from test_sweep_folder import record

from rewa.errors import UserError
from rewa.status.commands import report_command, resume_command
from rewa.status.state import read_status
from rewa.sweep.folder import SweepFolder


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    found = SweepFolder(tmp_path / "out")
    found.path.mkdir()
    found.write_meta(META)
    return found


def test_the_command_and_its_exit_status(
    folder: SweepFolder, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    fill(folder)
    folder.save(record("rewa", 7, status="failed", reason="ValueError: no\nmore lines"))
    status, out, err = cli("status", str(folder.path))
    assert (status, err) == (0, "")
    assert "rewa-0007" in out
    assert "ValueError: no" in out
    status, out, err = cli("status", str(folder.path), "--json")
    assert status == 0
    told = json.loads(out)
    assert told["methods"]["rewa"]["best"]["trial"] == "rewa-0002"
    assert (told["finished"], told["disk"]["checkpoint_files"]) == (TOTAL + 1, 0)
    for bad, words in (
        (tmp_path / "none", "no such directory"),
        (tmp_path, "is not the output directory of a sweep"),
        (folder.path / "sweep.json", "is a file"),
    ):
        status, out, err = cli("status", str(bad))
        assert (status, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
    with pytest.raises(UserError):
        read_status(tmp_path / "none")


def test_watching_ends_with_the_sweep(folder: SweepFolder, cli: Callable[..., tuple[int, str, str]]) -> None:
    fill(folder)
    folder.lock()
    progress = run(folder, TOTAL).__enter__()

    def end() -> None:
        progress.__exit__(None, None, None)
        folder.unlock()

    timer = threading.Timer(0.5, end)
    timer.start()
    status, out, _ = cli("status", str(folder.path), "--watch", "0.2", "--json")
    timer.join()
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert len(lines) >= 2
    assert [line["driver"]["running"] for line in lines] == [True] * (len(lines) - 1) + [False]
    assert lines[-1]["complete"]


def test_commands_are_made_from_the_one_given() -> None:
    meta = {"sweep": "a b", "command": "rewa sweep s.yaml --resume --seed=4 --trials=9 --address auto"}
    assert resume_command(meta, Path("o")) == "rewa sweep s.yaml --address auto --output o --resume"
    assert resume_command({}, Path("o")) == "rewa sweep SPACE --output o --resume"
    assert resume_command({"command": "'"}, Path("o")) == "rewa sweep SPACE --output o --resume"
    assert report_command(meta, Path("o")) == "python -m analysis.report --sweep 'a b' --output o"


LOADED = """
import sys, rewa
before = set(sys.modules)
from rewa.cli import main
sys.argv = ["rewa", "status", sys.argv[1]]
try:
    main()
except SystemExit:
    pass
heavy = {"torch", "ray", "mlflow", "optuna", "pandas", "numpy", "sklearn", "pyarrow"}
print("loaded:", sorted((set(sys.modules) - before) & heavy))
"""


def test_it_loads_nothing_heavy(folder: SweepFolder) -> None:
    command = [sys.executable, "-c", LOADED, str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


@pytest.mark.slow
def test_it_ends_quietly_when_interrupted(folder: SweepFolder) -> None:
    folder.lock()
    command = [sys.executable, "-m", "rewa", "status", str(folder.path), "--watch", "0.2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout
        assert watcher.stderr
        watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        errors = watcher.stderr.read()
    folder.unlock()
    assert (watcher.returncode, errors) == (0, "")
