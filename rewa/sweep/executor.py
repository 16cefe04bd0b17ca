"""Runs trials on Ray: the cluster, the Tuner, and how many trials run at once."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewa.errors import UserError
from rewa.record import Record
from rewa.sweep.pack import tune_task
from rewa.sweep.space import Resources

OnRecord = Callable[[Record], None]


@contextmanager
def ray_cluster(address: str | None, resources: Resources) -> Iterator[int]:
    """Connect to a cluster, or start an embedded one, and yield how many trials fit at once.

    Args:
        address: Of a running cluster ("auto" finds it); ``None`` starts Ray in this process.
        resources: What one trial needs.

    Raises:
        UserError: If the cluster cannot be reached or cannot hold a single trial.
    """
    # Results are kept by our own callback: Tune need not write its own logs or snapshots.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
    os.environ.setdefault("TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "3600")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    try:
        ray.init(
            address=address or "local",
            num_cpus=_cores() if address is None else None,
            include_dashboard=False if address is None else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        brief = str(error).strip().splitlines()[0]
        raise UserError(f"Ray cluster at {address!r}: cannot be reached ({brief})") from None
    try:
        available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield _concurrency(available, resources, local=address is None)
    finally:
        ray.shutdown()


def check_local_resources(resources: Resources) -> None:
    """Refuse what an embedded cluster on this machine can never run, before anything is started.

    Raises:
        UserError: If a trial asks for more GPUs or cores than there are.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    each = f" for each of {resources.workers} workers" if resources.workers > 1 else ""
    if resources.gpu * resources.workers > gpus:
        raise UserError(
            f"resources.gpu = {resources.gpu:g}: a trial asks for a GPU{each}, but this machine has {gpus}; "
            "set it to 0, or give the --address of a GPU cluster"
        )
    if resources.cpu * resources.workers > _cores():
        raise UserError(
            f"resources.cpu = {resources.cpu:g}{each}: a trial asks for more cores than this machine's "
            f"{_cores()}; lower it, or give the --address of a cluster"
        )


def check_address(address: str) -> None:
    """Refuse the address of a cluster that nobody answers at; Ray itself would try for minutes.

    Raises:
        UserError: If the address is malformed or cannot be connected to.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return  # "auto" and the like: Ray answers at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"--address {address}: no Ray cluster answers there ({error})") from None


def run_trials(
    searcher: Any,
    count: int,
    concurrency: int,
    resources: Resources,
    scratch: Path,
    on_record: OnRecord,
) -> None:
    """Run trials until the searcher has no more, keeping each result as it arrives.

    Args:
        searcher: Proposes ``{"specs": [...]}`` configs: trials that a worker is given together.
        count: How many trials it will propose at most.
        concurrency: How many tasks run at once.
        resources: What one task occupies.
        scratch: Folder for Tune's own files; removed at the end.
        on_record: Called in this process for every finished trial, before anyone else learns of it.
    """
    from ray import tune

    from rewa.sweep.keeper import MAX_WORKER_LOSSES, Keeper

    trainable = tune.with_resources(tune_task, _of_the_trial_itself(resources))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=count,
                max_concurrent_trials=concurrency,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch),
                verbose=0,
                callbacks=[Keeper(on_record)],
                failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
            ),
        )
        tuner.fit()
    shutil.rmtree(scratch, ignore_errors=True)


def _of_the_trial_itself(resources: Resources) -> dict[str, float]:
    """Return what Tune sets aside for a trial; several workers are set aside by Ray Train instead."""
    if resources.workers > 1:
        return {"memory": 1}  # Tune needs something to count
    return {"cpu": resources.cpu, **({"gpu": resources.gpu} if resources.gpu else {})}


def _concurrency(available: dict[str, float], resources: Resources, local: bool) -> int:
    """Return how many trials fit at once; at least one on a cluster that may still grow."""
    fits = available.get("CPU", 0) // (resources.cpu * resources.workers)
    if resources.gpu:
        fits = min(fits, available.get("GPU", 0) // (resources.gpu * resources.workers))
    if fits < 1 and not local and resources.gpu and not available.get("GPU"):
        raise UserError(
            f"resources.gpu = {resources.gpu:g}: a trial asks for a GPU, but the cluster has none; "
            "start GPU workers first (min_workers in its cluster.yaml), or set it to 0"
        )
    return max(1, int(fits))


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
