"""The authors' released code, run from a checkout of their repository: what benchmarks compare with.

    python -m benchmarks.reference DIR      # times their sparse recovery script

Nothing of theirs is copied or changed. What their files import and is not installed here is replaced by empty
modules while they are imported; none of it takes part in what is measured.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.command_line import run_command
from rewa.errors import RunError, UserError

MODULE = "benchmarks.reference"
OPTIMIZER_FILE = Path("ReWA-main/CIFAR10/optimizer/ell.py")
LINEAR_FILE = Path("ReWA-main/linear/linear_case.py")


@dataclass(frozen=True)
class LinearSetting:
    """A setting of the authors' sparse recovery script; the defaults are the paper's.

    Attributes:
        epochs: Passes over the data.
        K: Depth of the reparameterisation, odd (their ``order``).
        M: Exponent of the adaptive rate, even (their ``ell_t``).
        kappa: Decay of y per step, outside the learning rate; lambda is kappa / lr.
        lr: Learning rate at the start of the cosine.
        d: Features.
        n: Training samples, and as many test samples.
        batch_size: Samples per step.
        seed: Of the training data and of the start.
        threads: CPU threads of torch.
    """

    epochs: int = 10
    K: int = 9
    M: int = 4
    kappa: float = 5e-5
    lr: float = 2e-4
    d: int = 10_000
    n: int = 2_000
    batch_size: int = 25
    seed: int = 9913
    threads: int = 1


@dataclass(frozen=True)
class AuthorsRun:
    """What the authors' sparse recovery script took, its imports not counted.

    Attributes:
        epoch_seconds: Wall time of each epoch, with the evaluation that ends it.
        seconds: Wall time of all: drawing the data, training, evaluation.
        test_mse: What the script returns as its best test loss.
    """

    epoch_seconds: list[float]
    seconds: float
    test_mse: float

    @property
    def seconds_per_epoch(self) -> float:
        """Median over the epochs."""
        return statistics.median(self.epoch_seconds)


def check_checkout(directory: Path) -> None:
    """Refuse a directory that is no checkout of the authors' repository.

    Raises:
        UserError: Naming the file that is missing.
    """
    for file in (OPTIMIZER_FILE, LINEAR_FILE):
        if not (directory / file).is_file():
            raise UserError(
                f"--reference {directory}: is no checkout of the authors' repository, {file} is not there"
            )


def authors_optimizer(directory: Path) -> type:
    """Return the authors' optimizer class, ``ELLOptimizer`` of their CIFAR-10 code.

    Args:
        directory: A checkout of their repository.

    Raises:
        UserError: If it is none, or its file does not give the class.
    """
    check_checkout(directory)
    path = directory / OPTIMIZER_FILE
    found = getattr(_imported(path), "ELLOptimizer", None)
    if not isinstance(found, type):
        raise UserError(f"{path}: has no class ELLOptimizer; give a checkout of the authors' repository")
    return found


def run_authors_linear(directory: Path, setting: LinearSetting | None = None, **changes: Any) -> AuthorsRun:
    """Run the authors' sparse recovery script in a fresh process, on the CPU, and time it.

    Args:
        directory: A checkout of their repository.
        setting: What to run; default: the paper's.
        **changes: Fields of :class:`LinearSetting` to change.

    Raises:
        UserError: If the directory is no checkout.
        RunError: If the script fails.
    """
    check_checkout(directory)
    values = {**asdict(setting or LinearSetting()), **changes}
    words = [sys.executable, "-m", MODULE, str(directory.absolute()), "--one", json.dumps(values)]
    threads = str(values["threads"])
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg"}
    here = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RunError(f"{directory / LINEAR_FILE}: {lines[-1]}")
    return AuthorsRun(**json.loads(done.stdout))


def _run_here(directory: Path, setting: LinearSetting) -> AuthorsRun:
    """Run the script in this process."""
    import torch

    torch.set_num_threads(setting.threads)
    script: Any = _imported(directory / LINEAR_FILE)
    given = argparse.Namespace(
        optimizer="ell",
        base_optimizer_type="SGD",
        learning_rate=setting.lr,
        kappa=setting.kappa,
        order=setting.K,
        ell_t=setting.M,
        epochs=setting.epochs,
        batch_size=setting.batch_size,
        dim=setting.d,
        dataset_len=setting.n,
        seed=setting.seed,
        test_seed=1113,  # the defaults of the script's own command line, from here on
        momentum=0.0,
        ell_eps=0.0,
        l1_kappa=0.0,
        lambd=0.0,
        exp_order=2.0,
        exp_bias=1.0,
        lr_scheduler="cosine",
        lr_min=0.0,
        **dict.fromkeys(("retrain", "wandb", "tune", "lp_penalty", "use_rms"), False),
        **dict.fromkeys(("theta_grad", "theta_in_buffer"), False),
        retrain_epochs=40,
        save_dir="output",
        run_name="sample_run",
    )
    clock = _EpochClock()
    started = time.perf_counter()
    with contextlib.redirect_stdout(clock):
        best = script.train(given)
    ended = time.perf_counter()
    ticks = [*clock.starts, ended]
    epochs = [after - before for before, after in itertools.pairwise(ticks)]
    if len(epochs) != setting.epochs:
        raise RunError(f"the script announced {len(epochs)} epochs, not {setting.epochs}")
    return AuthorsRun(epochs, ended - started, float(best["Test Loss"]))


class _EpochClock(io.TextIOBase):
    """Swallows what the script prints and notes when it announces an epoch."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text.startswith("epoch:"):
            self.starts.append(time.perf_counter())
        return len(text)


def _imported(path: Path) -> ModuleType:
    """Import one of the authors' files, with its neighbours, and leave ``sys.path`` and stubs as they were.

    Raises:
        UserError: If it cannot be imported.
    """
    before = list(sys.path)
    sys.path.insert(0, str(path.parent))
    try:
        with _stubs_for(path):
            spec = importlib.util.spec_from_file_location(f"authors_{path.stem}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    except Exception as error:  # it is not our code: anything may go wrong
        raise UserError(f"{path}: cannot be imported ({type(error).__name__}: {error})") from None
    finally:
        sys.path[:] = before
    return module


@contextlib.contextmanager
def _stubs_for(path: Path) -> Iterator[None]:
    """Stand empty modules in for what a file imports and this environment lacks, for a while."""
    stubs: dict[str, ModuleType] = {}
    try:
        for name, wanted in _imports_of(path):
            try:
                importlib.import_module(name)
            except ImportError:
                parts = name.split(".")
                for end in range(1, len(parts) + 1):
                    parent = ".".join(parts[:end])
                    if parent not in sys.modules:
                        sys.modules[parent] = stubs[parent] = ModuleType(parent)
            for attribute in wanted if name in stubs else ():
                setattr(stubs[name], attribute, type(attribute, (), {}))
        yield
    finally:
        for name in stubs:
            sys.modules.pop(name, None)


def _imports_of(path: Path) -> list[tuple[str, list[str]]]:
    """Return the modules that a file imports and what it takes from each, in order."""
    found: list[tuple[str, list[str]]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, [alias.name for alias in node.names]))
    return found


def main() -> None:
    """Time the script at the paper's setting and print what it took."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("directory", type=Path, help="a checkout of the authors' repository")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    for field in fields(LinearSetting):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    arguments = parser.parse_args()
    check_checkout(arguments.directory)
    if arguments.one:
        run = _run_here(arguments.directory, LinearSetting(**json.loads(arguments.one)))
        print(json.dumps(asdict(run)))
        return
    setting = LinearSetting(**{f.name: getattr(arguments, f.name) for f in fields(LinearSetting)})
    run = run_authors_linear(arguments.directory, setting)
    print(f"{run.seconds_per_epoch:.3f} s per epoch, {run.seconds:.1f} s in all, test MSE {run.test_mse:.3f}")


if __name__ == "__main__":
    run_command(MODULE, main)
