"""One trial on several processes: Ray Train's DistributedDataParallel inside a Tune trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rewa.record import Record
from rewa.sweep.trial import TrialSpec, run_here


def run_together(spec: TrialSpec) -> Record:
    """Train one model on ``spec.workers`` processes, each with the cpu and gpu of a trial.

    Raises:
        Exception: Ray Train's, when a process fails.

    Returns:
        The record of process 0.
    """
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    process: Any = _process
    trainer = TorchTrainer(
        process,
        train_loop_config={"spec": spec.model_dump()},
        scaling_config=ScalingConfig(
            num_workers=spec.workers,
            use_gpu=spec.gpu > 0,
            resources_per_worker={"CPU": spec.cpu, **({"GPU": spec.gpu} if spec.gpu else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if spec.gpu else "gloo"),
        run_config=RunConfig(
            name=f"{spec.trial}-{spec.phase}-{spec.seed}",
            # several machines need a place that all of them see
            storage_path=f"{spec.storage}/train"
            if spec.storage
            else str(Path(spec.folder) / "tune" / "train"),
        ),
    )
    outcome: Any = trainer.fit()  # what process 0 returned is missing from Ray's own type
    return Record.model_validate_json(outcome.return_value)


def _process(config: dict[str, Any]) -> str:
    """What each process runs; Ray Train has joined them into a group and picked the GPU."""
    return run_here(TrialSpec.model_validate(config["spec"])).model_dump_json()
