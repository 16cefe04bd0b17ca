"""Runs trials on Ray: the cluster, the Tuner, and how many trials run at once."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rewa.errors import RunError, UserError
from rewa.record import Record
from rewa.sweep.pack import tune_task
from rewa.sweep.slots import Slots, cores
from rewa.sweep.space import Resources

if TYPE_CHECKING:
    from rewa.sweep.tasks import Tasks

OnRecord = Callable[[Record], None]


@contextmanager
def ray_cluster(address: str | None, resources: Resources) -> Iterator[Slots]:
    """Connect to a cluster, or start an embedded one, and yield how many tasks run at once.

    Args:
        address: Of a running cluster ("auto" finds it); ``None`` starts Ray in this process.
        resources: What one trial needs.

    A terminal's Ctrl-C and a polite kill end Tune's run in order; what is finished is kept at any time.

    Raises:
        UserError: If the cluster cannot be reached.
    """
    # Results are kept by our own callback: Tune need not write its own logs or snapshots.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
    os.environ.setdefault("TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "3600")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # the progress tells what comes of them
    import ray

    try:
        ray.init(
            address=address or "local",
            num_cpus=cores() if address is None else None,
            include_dashboard=False if address is None else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        brief = str(error).strip().splitlines()[0]
        raise UserError(f"Ray cluster at {address!r}: cannot be reached ({brief})") from None
    _quieten_ray()
    before = signal.getsignal(signal.SIGTERM)
    try:
        _end_like_interrupted()
        yield Slots(resources, grows=address is not None)
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


def _quieten_ray() -> None:
    """Keep Ray from printing a paragraph for every lost worker: the progress says what comes of it."""
    import ray._private.worker as internals

    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    if hasattr(internals, "_worker_logs_enabled"):  # not public; without it there is only more to read
        internals._worker_logs_enabled = False


def _end_like_interrupted() -> None:
    """Take SIGTERM (a job is stopped, a machine shuts down) as Ctrl-C, where signals can be taken."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))


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
    if resources.cpu * resources.workers > cores():
        raise UserError(
            f"resources.cpu = {resources.cpu:g}{each}: a trial asks for more cores than this machine's "
            f"{cores()}; lower it, or give the --address of a cluster"
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
    tasks: Tasks,
    slots: Slots,
    scratch: Path,
    on_record: OnRecord,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Run tasks until there are no more, keeping each result as it arrives.

    Args:
        tasks: What is run.
        slots: What one task occupies, and how many run at once.
        scratch: Folder for Tune's own files; removed at the end.
        on_record: Called in this process for every finished trial, before anyone else learns of it.
        on_step: Called many times a second, whatever happens.

    Raises:
        RunError: If workers are lost again and again before any training has come to its end.
    """
    from ray import tune

    from rewa.sweep.keeper import Keeper

    # With one that waits at a time, it would be given the worker that is free, and a second never start.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots.waiting)
    trainable = tune.with_resources(tune_task, _of_the_trial_itself(slots.resources))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(search_alg=tasks, num_samples=sys.maxsize, reuse_actors=True),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(scratch),
                verbose=0,
                callbacks=[Keeper(on_record, tasks, on_step)],
                failure_config=tune.FailureConfig(max_failures=0),  # what is lost is done again by the tasks
            ),
        )
        tuner.fit()
    shutil.rmtree(scratch, ignore_errors=True)
    if tasks.gave_up:
        raise RunError(f"workers are lost before they finish anything ({tasks.gave_up})")


def _of_the_trial_itself(resources: Resources) -> dict[str, float]:
    """Return what Tune sets aside for a trial; several workers are set aside by Ray Train instead."""
    if resources.workers > 1:
        return {"memory": 1}  # Tune needs something to count
    return {"cpu": resources.cpu, **({"gpu": resources.gpu} if resources.gpu else {})}
