"""A sweep on a real cluster of three hosts, started by ``ray up``, while workers join and one is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_hosts import Hosts, why_not

PROJECT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef" * 4
TRIAL = "ray::ImplicitFunc"
"""How Ray names the processes of trials."""

METHODS, TRIALS, MORE_TRIALS = ("rewa", "sgd_l1"), 6, 7

SPACE = f"""\
name: on-hosts
workload: {{name: "held:Held", epochs: 8}}
objective: {{max_compression: 20, reference: 0.2}}
trials: {TRIALS}
confirm: {{settings: 1, seeds: 2}}
methods:
  rewa:
    sample:
      lr: {{log_uniform: [0.02, 0.1]}}
    fixed: {{K: 3, M: 1.2, weight_decay: 1.0e-4, momentum: 0.9, epsilon: 0}}
  sgd_l1:
    sample:
      lr: {{log_uniform: [0.02, 0.3]}}
    fixed: {{l1: 1.0e-4, momentum: 0.9}}
"""

HELD = """\
import os, time
from rewa.workloads.digits import Digits


class Held(Digits):
    name, summary = "held", "digits, which wait while there is a file"

    def build_network(self):
        while os.path.exists(os.environ["HOLD_WHILE_THERE_IS"]):
            time.sleep(0.1)
        return super().build_network()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


def config_for(hosts: Hosts, count: int) -> dict[str, Any]:
    """The shipped file with these hosts' addresses; their Python is this one, so nothing is installed.

    ``count`` of the two workers are wanted.
    """
    config = yaml.safe_load((PROJECT / "cluster.local.yaml").read_text())
    workers = [hosts.address(name) for name in ("worker1", "worker2")]
    config["provider"].update(head_ip=hosts.address("head"), worker_ips=workers)
    config.update(min_workers=count, max_workers=count)
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts.key)}
    installing = [
        command for command in config["setup_commands"] if "venv" in command and "printf" not in command
    ]
    assert len(installing) == 2, "the shipped file makes a venv and installs into it"
    path = f"{Path(sys.executable).parent}:$PATH"
    config["setup_commands"] = [
        *(command for command in config["setup_commands"] if command not in installing),
        f"echo 'export PATH={path} PYTHONPATH=$HOME/rewa:{hosts.folder}' >> ~/rewa-environment.sh",
        f"echo 'export HOLD_WHILE_THERE_IS={hosts.folder}/hold' >> ~/rewa-environment.sh",
    ]
    for key, cores in (("head_start_ray_commands", ""), ("worker_start_ray_commands", " --num-cpus=1")):
        config[key] = [
            command.replace("ray start", f"ray start --object-store-memory=100000000{cores}")
            for command in config[key]
        ]
    return config


class Cluster:
    """The hosts with ``ray up`` run on them, and commands of the operator."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.file = hosts.folder / "cluster.yaml"
        self.want(1)
        token = hosts.home("operator") / ".ray" / "auth_token"
        token.parent.mkdir()
        token.write_text(TOKEN)

    def want(self, workers: int) -> None:
        """Write the cluster file for a number of workers; ``ray up`` makes it so."""
        self.file.write_text(yaml.safe_dump(config_for(self.hosts, workers)))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command of the operator, from the project's folder as the shipped file asks for."""
        ray = [sys.executable, "-m", "ray.scripts.scripts"]
        words = [*ray, *command[1:]] if command[0] == "ray" else list(command)
        env = {"PATH": os.environ["PATH"], "RAY_AUTH_MODE": "token", "TERM": "dumb", "LANG": "C.UTF-8"}
        return self.hosts.operator(*words, env=env, cwd=PROJECT)

    def run(self, *command: str, seconds: float = 180) -> str:
        """Run one and return what it says; it must succeed."""
        process = self.start(*command)
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            pytest.fail(f"{command} took more than {seconds} s:\n{said}")
        assert process.returncode == 0, said
        return said

    def on_head(self, command: str, seconds: float = 180) -> str:
        """Run a command on the head by ``ray exec``."""
        return self.run("ray", "exec", str(self.file), command, seconds=seconds)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="rewa-", dir="/var/tmp"))  # Ray's socket paths must stay short
    try:
        with Hosts(folder, ["head", "worker1", "worker2"]) as hosts:
            yield Cluster(hosts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(
    is_so: Callable[[], bool], what: str, process: subprocess.Popen[str], seconds: float = 240
) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if process.poll() is not None:
            said, _ = process.communicate()
            pytest.fail(f"the sweep ended before {what}:\n{said}")
        if time.monotonic() > end:
            process.kill()
            said, _ = process.communicate()
            pytest.fail(f"{what}: not within {seconds} s\n{said}")
        time.sleep(0.2)


def trainings(folder: Path, phase: str) -> list[dict[str, Any]]:
    """The records of finished trainings on the head's disk."""
    found = [json.loads(path.read_text()) for path in folder.rglob("result.json")]
    return [record for record in found if record["phase"] == phase]


def check_counts(hosts: Hosts, trials: int) -> None:
    """Every trial is there once: on disk, in Optuna's studies and in MLflow."""
    import optuna
    from mlflow import MlflowClient

    from rewa.sweep.folder import SweepFolder
    from rewa.sweep.studies import open_storage

    output = hosts.home("head") / "out"
    searched = trainings(output, "search")
    assert Counter(record["method"] for record in searched) == dict.fromkeys(METHODS, trials)
    assert {record["status"] for record in searched} <= {"completed", "diverged"}
    assert len({record["trial"] for record in searched}) == trials * len(METHODS)

    storage = open_storage(SweepFolder(output))
    for name in optuna.get_all_study_names(storage):
        states = Counter(
            trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials
        )
        assert states["COMPLETE"] == trials, (name, states)
        assert states["RUNNING"] == 0, (name, states)

    client = MlflowClient(tracking_uri=f"sqlite:///{hosts.home('head')}/results/mlflow.db")
    experiment = client.get_experiment_by_name("on-hosts")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(runs)}
    keys = Counter(
        (run.data.tags["rewa.trial"], run.data.tags["rewa.phase"], run.data.tags["rewa.seed"])
        for run in runs
        if run.data.tags.get("rewa.phase") in ("search", "confirm")
    )
    expected = {(r["trial"], r["phase"], str(r["seed"])) for r in searched + trainings(output, "confirm")}
    assert set(keys) == expected
    assert set(keys.values()) == {1}


def test_a_sweep_on_hosts_that_join_and_vanish_has_every_trial_once(cluster: Cluster) -> None:
    """What this proves, with ssh, rsync, Ray's launcher and token as a user has them:

    the shipped cluster.local.yaml starts a head that runs no trial and a worker; a sweep under way uses a
    second one that ``ray up --no-restart`` adds; a worker that dies with a trial under way costs no trial;
    afterwards each trial is once on disk, in Optuna and in the MLflow server on the head; a job submitted to
    the cluster, detached, extends the sweep; and ``ray down`` ends Ray on the hosts.
    """
    hosts = cluster.hosts
    said = cluster.run("ray", "up", "--yes", "--no-config-cache", str(cluster.file))
    assert "Ray runtime started" in said
    output = hosts.home("head") / "out"
    (hosts.home("head") / "space.yaml").write_text(SPACE)
    (hosts.folder / "held.py").write_text(HELD)
    hold = hosts.folder / "hold"
    process = cluster.start(
        *("ray", "exec", str(cluster.file)), "rewa sweep ~/space.yaml --address auto --output ~/out"
    )
    wait_until(lambda: bool(trainings(output, "search")), "a trial is finished", process)
    hold.touch()
    assert not hosts.processes("worker2", "raylet/raylet"), "one worker was asked for"
    cluster.want(2)
    cluster.run("ray", "up", "--yes", "--no-restart", "--no-config-cache", str(cluster.file))
    where: Counter[str] = Counter()

    def both_train() -> bool:
        here = {name: len(hosts.processes(name, TRIAL)) for name in hosts.names}
        where.update(here)
        return bool(here["worker1"] and here["worker2"])

    wait_until(both_train, "both workers have a trial", process)
    assert hosts.kill("worker1", "raylet/raylet") == 1
    killed_at = len(trainings(output, "search"))
    assert 0 < killed_at < TRIALS * len(METHODS) - 1, "two trials were under way"
    hold.unlink()
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "is complete" in said
    check_counts(hosts, TRIALS)

    assert not where["head"], "no trial may run on the head"
    before = {record["trial"]: record["seconds"] for record in trainings(output, "search")}

    if importlib.util.find_spec("aiohttp_cors") is not None:  # ray[default]
        submitted = cluster.on_head(
            "ray job submit --address http://127.0.0.1:8265 --no-wait --submission-id more -- "
            f"rewa sweep ~/space.yaml --address auto --output ~/out --resume --trials {MORE_TRIALS}"
        )
        assert "more" in submitted
        followed = cluster.on_head("ray job logs --address http://127.0.0.1:8265 --follow more", seconds=300)
        assert "is complete" in followed, followed
        check_counts(hosts, MORE_TRIALS)
        after = {record["trial"]: record["seconds"] for record in trainings(output, "search")}
        assert before.items() <= after.items(), "no finished trial ran again"

    cluster.run("ray", "down", "--yes", str(cluster.file))
    assert not hosts.processes("head", "raylet/raylet")
