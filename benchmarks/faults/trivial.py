"""A workload and methods that train for milliseconds; one marked trial of a method does what a fault wants.

Importing this module registers the methods, so a search space that names the workload
``benchmarks.faults.trivial:Trivial`` may name them too.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from benchmarks.faults.ledger import BEGUN, ENDED, EPOCH, note, training_name
from rewa.checkpoint import CheckpointFile
from rewa.methods.magnitude import Magnitude, MagnitudeConfig
from rewa.sparsity.frontier import HEADLINE_RATIOS
from rewa.workloads.base import Batch, Findings, WorkloadConfig
from rewa.workloads.tensors import TensorClassification

HOLD = "hold"
"""While a file of this name is in the folder, trainings wait as they begin."""

Act = Literal["", "raise", "hang", "freeze", "kill"]


class TrivialConfig(WorkloadConfig):
    """Settings of the trivial workloads."""

    folder: str = Field(description="where the ledger is kept")
    pause: float = Field(default=0.1, ge=0, description="seconds that every epoch takes longer")
    width: int = Field(default=4, ge=1, description="hidden units; a checkpoint has 60 bytes for each")
    checkpoints: Literal["rare", "every epoch"] = Field(
        default="rare", description="rare is once a minute, as in any sweep"
    )

    machine: ClassVar[frozenset[str]] = frozenset({"folder", "pause"})


class TrivialPack(TensorClassification):
    """A tiny network on 64 samples, which trains in packs; the pause is taken before each training."""

    name, summary, model_name, classes = "trivial_pack", "which side of a plane", "4-4-2", 2
    collapse_margin = None
    Config = TrivialConfig
    pauses_before: ClassVar[bool] = True
    """Whether the pauses are taken before the training, not in its epochs."""

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        super().__init__(config, device)
        if self.config.checkpoints == "every epoch":
            from rewa.sweep import trial as engine

            vars(engine)["CheckpointFile"] = functools.partial(CheckpointFile, every=0.0)

    @classmethod
    def ratios_for(cls, config: Any) -> tuple[float, ...]:
        """Return few targets: measuring the frontier would take longer than training."""
        return (1.0, 2.0, 5.0, *HEADLINE_RATIOS)

    def load_splits(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return 64 samples per split."""
        x = torch.randn(192, 4, generator=torch.Generator().manual_seed(0))
        y = (x[:, 0] > 0).long()
        return {split: (x[i::3], y[i::3]) for i, split in enumerate(("train", "val", "test"))}

    def build_network(self) -> nn.Module:
        """Return two linear layers."""
        width = self.config.width
        network: Any = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
        network.folder = self.config.folder
        network.pause = self.config.pause * self.config.epochs * self.pauses_before
        built: nn.Module = network
        return built

    def findings(self, model: nn.Module) -> Findings:
        """Note that the training has come to its end."""
        note(self.config.folder, ENDED, str(getattr(model, "training_name", "?")))
        return {}


class Trivial(TrivialPack):
    """The same, trained alone; every epoch notes its beginning and takes the pause."""

    name = "trivial"
    pauses_before = False

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one shuffled epoch."""
        note(self.config.folder, EPOCH, Steady.current)
        time.sleep(self.config.pause)
        return super().batches(generator)


class SteadyConfig(MagnitudeConfig):
    """Settings of the methods."""

    fate: float = Field(default=1.0, ge=0, le=1, description="0 marks the trial that acts")


class Steady(Magnitude):
    """Dense SGD that notes every beginning."""

    name = "steady"
    summary = "dense SGD that keeps a ledger"
    Config = SteadyConfig
    act: ClassVar[Act] = ""
    current: ClassVar[str] = "?"
    """The training that this process began last."""

    def prepare(self, model: nn.Module) -> Optimizer:
        """Return the optimizer, or do what the marked trial does."""
        trivial: Any = model
        named = training_name(self.name, self.config.model_dump(), torch.initial_seed())
        Steady.current = trivial.training_name = named
        note(trivial.folder, BEGUN, named)
        time.sleep(trivial.pause)
        while (Path(trivial.folder) / HOLD).exists():
            time.sleep(0.02)
        if self.config.fate == 0:
            _act(self.act)
        return super().prepare(model)


class Lively(Steady):
    """A second method."""

    name = "lively"


class Raiser(Steady):
    """Its marked trial raises."""

    name, act = "raiser", "raise"


class Hanger(Steady):
    """Its marked trial hangs."""

    name, act = "hanger", "hang"


class Freezer(Steady):
    """Its marked trial hangs in compiled code that never gives the interpreter back."""

    name, act = "freezer", "freeze"


class Killer(Steady):
    """Its marked trial kills its own process, as the kernel does when memory runs out."""

    name, act = "killer", "kill"


MARKED: dict[str, str] = {
    "raiser": "ValueError: the marked trial raises",
    "hanger": "timed out after",
    "freezer": "timed out after",
    "killer": "its worker was lost 3 times",
}
"""What the record of a method's marked trial must give as its reason, or begin it with."""


def _act(act: Act) -> None:
    """Do what is asked of a marked trial."""
    if act == "raise":
        raise ValueError("the marked trial raises")
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "hang":
        time.sleep(3600)
    if act == "freeze":  # backtracks for years
        re.match(r"(a|aa)+$", "a" * 200 + "b")
