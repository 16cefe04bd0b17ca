"""What `rewa status` says against what was put into the directory; and that it never raises on damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from status_sweep import META, TOTAL, fill, run, shown
from test_sweep_folder import record

from rewa.status.state import read_status
from rewa.sweep import heartbeat
from rewa.sweep.folder import SweepFolder
from rewa.sweep.heartbeat import Heartbeat, amend
from rewa.sweep.layout import is_locked


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    found = SweepFolder(tmp_path / "out")
    found.path.mkdir()
    found.write_meta(META)
    return found


def test_a_running_sweep(folder: SweepFolder) -> None:
    folder.lock()
    with run(folder) as progress:
        progress.start_phase("search")
        progress.cluster = {"CPU": 8.0, "GPU": 1.0, "memory": 1e9}
        for number in range(3):
            progress.began((f"rewa-{number:04d}", "search", 0), "rewa")
        progress.began(("sgd_l1-0000", "search", 0), "sgd_l1")
        progress.stopped(("sgd_l1-0000", "search", 0))  # its worker was lost
        done = record(number=1, seconds=36.0)
        folder.save(done)
        progress.finished(done)
        progress.untracked = 1
        progress._heartbeat._write({})  # type: ignore[union-attr]  # not to wait for the next beat
        status = read_status(folder.path)
    folder.unlock()
    assert status.driver.running
    assert (status.driver.pid, status.driver.ended) == (os.getpid(), "")
    assert abs((status.driver.since or 0) - time.time()) < 60
    assert (status.phase, status.finished, status.total, status.total_is_bound) == ("search", 1, TOTAL, True)
    assert status.methods["rewa"].running == 2
    assert status.methods["sgd_l1"].running == 0
    assert status.per_hour == pytest.approx(100.0, rel=0.05)
    assert status.seconds_left == pytest.approx(9 * 36.0, rel=0.05)
    assert status.cluster == {"CPU": 8.0, "GPU": 1.0}
    assert status.untracked == 1
    assert status.next == ""
    page = shown(status)
    assert f"process {os.getpid()}" in page
    assert "1 of at most 10" in page


def test_a_complete_sweep_names_the_report_next(folder: SweepFolder) -> None:
    fill(folder)
    with run(folder, TOTAL):
        pass
    status = read_status(folder.path)
    assert (status.complete, status.phase, status.driver.ended) == (True, "done", "finished")
    assert status.next.startswith("python -m analysis.report --sweep tiny --output")
    assert status.next.endswith("--tracking-uri sqlite:///runs.db")
    (folder.path / "report.html").write_text("")
    status = read_status(folder.path)
    assert (status.next, status.report) == ("", str(folder.path / "report.html"))
    folder.write_meta({**META, "trials_per_method": 5})  # extended, and the driver was lost at once
    status = read_status(folder.path)
    assert (status.complete, status.phase) == (False, "search")
    assert status.next.endswith("--resume")


def test_an_interrupted_and_a_stopped_sweep(folder: SweepFolder) -> None:
    folder.save(record())
    with pytest.raises(KeyboardInterrupt), run(folder, 1):
        raise KeyboardInterrupt
    status = read_status(folder.path)
    assert (status.driver.running, status.driver.ended, status.complete) == (False, "interrupted", False)
    assert "it was interrupted" in shown(status)
    assert status.next == (
        f"rewa sweep tiny.yaml --tracking-uri sqlite:///runs.db --output {folder.path} --resume"
    )
    with run(folder, 1):
        pass
    assert "it was stopped before all was done" in shown(read_status(folder.path))


def test_an_error_is_told_and_outdated_ones_are_called_so(folder: SweepFolder) -> None:
    with pytest.raises(RuntimeError, match="disk"), run(folder):
        raise RuntimeError("the disk is gone")
    (folder.path / "error.log").write_text("Traceback ...\n  File ...\nRuntimeError: the disk is gone\n")
    status = read_status(folder.path)
    assert (status.driver.ended, status.driver.reason) == ("error", "RuntimeError: the disk is gone")
    assert "an error ended it: RuntimeError: the disk is gone" in " ".join(shown(status).split())
    os.utime(folder.path / "error.log", (time.time() - 5000,) * 2)
    fill(folder)
    with run(folder, TOTAL):
        pass
    status = read_status(folder.path)
    assert (status.complete, status.driver.ended) == (True, "finished")
    assert "earlier error" in shown(status)


KILLED = """
import sys, time
from pathlib import Path
from rewa.sweep.folder import SweepFolder
from rewa.sweep.progress import SweepProgress
folder = SweepFolder(Path(sys.argv[1]))
folder.lock()
with SweepProgress(10, 0, folder.path) as progress:
    progress.start_phase("search")
    print("ready", flush=True)
    time.sleep(300)
"""


def test_a_killed_driver_in_another_process(folder: SweepFolder) -> None:
    command = [sys.executable, "-c", KILLED, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        assert driver.stdout
        driver.stdout.readline()
        alive = read_status(folder.path)
        driver.kill()
        driver.wait()
    assert (alive.driver.running, alive.driver.pid) == (True, driver.pid)
    status = read_status(folder.path)
    assert (status.driver.running, status.driver.ended) == (False, "killed")
    assert "its driver was killed" in shown(status)
    # a new driver that has not told of itself yet
    folder.lock()
    starting = read_status(folder.path)
    folder.unlock()
    assert (starting.driver.running, starting.driver.pid) == (True, None)


@pytest.mark.parametrize(("age", "running"), [(5.0, True), (3600.0, False)])
def test_a_driver_on_another_machine_is_known_by_its_beats(
    folder: SweepFolder, age: float, running: bool
) -> None:
    beat = {"pid": 4, "host": "elsewhere", "started": 1.0, "updated": time.time() - age, "phase": "search"}
    (folder.path / "status.json").write_text(json.dumps(beat))
    driver = read_status(folder.path).driver
    assert (driver.running, driver.host) == (running, "elsewhere")
    assert driver.ended == ("" if running else "killed")


def test_looking_at_the_lock_does_not_take_it(folder: SweepFolder) -> None:
    assert not is_locked(folder.path)
    folder.lock()
    assert is_locked(folder.path)
    folder.unlock()
    assert not is_locked(folder.path)
    folder.lock()  # nobody else holds it
    folder.unlock()


def test_beats_are_cheap_and_rare(tmp_path: Path) -> None:
    calls: list[float] = []

    def describe() -> dict[str, Any]:
        calls.append(time.perf_counter())
        return {"phase": "search", "running": {f"method{i}": i for i in range(10)}}

    pulse = Heartbeat(tmp_path, describe)
    pulse.start()
    for _ in range(1000):
        pulse.beat()
    assert len(calls) == 1, "asked a thousand times, it waits its two seconds"
    pulse.stop("finished")
    assert len(calls) == 2
    assert json.loads((tmp_path / "status.json").read_text())["ended"] == "finished"
    costs = []
    for _ in range(200):
        started = time.thread_time()  # a busy machine is not the beat's fault
        pulse._write({})
        costs.append(time.thread_time() - started)
    assert sorted(costs)[100] < 1e-3
    amend(tmp_path, untracked=3)
    assert json.loads((tmp_path / "status.json").read_text())["untracked"] == 3
    amend(tmp_path / "none", untracked=3)
    assert heartbeat.AT_MOST_EVERY >= 2.0


def test_a_full_disk_costs_beats_only(tmp_path: Path) -> None:
    (tmp_path / ".status.json.partial").symlink_to("/dev/full")
    pulse = Heartbeat(tmp_path, dict)
    pulse.start()
    pulse.stop("finished")
