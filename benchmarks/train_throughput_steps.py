"""Measures, in this process, how fast ResNet-18 trains: rewa's engine, and the loop used otherwise."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rates import matmul_rate
from rewa.data.loader import ImageLoader
from rewa.data.resident_images import ResidentLoader
from rewa.descent import Descent
from rewa.methods import get_method
from rewa.methods.base import GradientMethod
from rewa.precision import autocast
from rewa.training import pick_device
from rewa.workloads.cifar import Cifar, Cifar10

SIZE, CLASSES, PART_STEPS = 32, 10, 4
SIDES = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices that the matmul rate is measured with."""


@dataclass(frozen=True)
class Setup:
    """How the training is measured.

    Attributes:
        device: "cpu" or "cuda".
        threads: Of torch.
        batch: Images per step.
        steps: Timed steps.
        warmup: Steps before them.
        workers: Processes of the plain loop's DataLoader.
        data: Folder with train/ and test/ of 32-pixel images in ten classes; empty: random images.
    """

    device: str
    threads: int
    batch: int
    steps: int
    warmup: int
    workers: int = 2
    data: str = ""

    @property
    def images(self) -> int:
        """Training images that all steps take, those that are taken apart included."""
        return self.batch * (self.warmup + self.steps + PART_STEPS + 1)


@dataclass(frozen=True)
class Variant:
    """One way to train; each adds one thing to the one before.

    Attributes:
        adds: What it adds, for the page.
        method: Name of rewa's method; empty: the plain loop.
        settings: Of the workload cifar10.
    """

    adds: str
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def _fast(**values: Any) -> dict[str, Any]:
    return {"precision": "bf16", "channels_last": True, "compile": False, **values}


VARIANTS: Mapping[str, Variant] = {
    "plain": Variant("DataLoader, torchvision transforms, float32, SGD"),
    "resident": Variant(
        "images kept and augmented on the device", "magnitude", _fast(precision="fp32", channels_last=False)
    ),
    "channels_last": Variant("channels last", "magnitude", _fast(precision="fp32")),
    "dense": Variant("bf16: `fast`, dense SGD", "magnitude", _fast()),
    "rewa": Variant("ReWA: `fast` as in `rewa train cifar10 rewa`", "rewa", _fast()),
    "compile": Variant("torch.compile", "rewa", _fast(compile=True)),
}


class RandomImages(Cifar10):
    """CIFAR-10's workload on random pixels, so that nothing need be there; speed does not depend on them."""

    images = 0

    def build_loader(self) -> tuple[ImageLoader, dict[str, str]]:
        """Return random images and labels."""
        drawn = torch.Generator().manual_seed(0)
        splits = {}
        for split, count in {"train": self.images, "val": 10, "test": 10}.items():
            pixels = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=drawn)
            splits[split] = pixels, torch.randint(0, CLASSES, (count,), generator=drawn)
        names = tuple(map(str, range(CLASSES)))
        loader = ResidentLoader(splits, names, self.transform, self.config.batch_size, self.device)
        return loader, {"data": "random images", "val_source": "random"}


def workload_of(variant: Variant, setup: Setup, images: int) -> Cifar:
    """Return cifar10 with the variant's settings and so many training images."""
    kind: type[Cifar] = type("Random", (RandomImages,), {"images": images})
    values: dict[str, Any] = {**variant.settings, "batch_size": setup.batch, "epochs": 100}
    if setup.data:
        kind = Cifar10
        values |= {"folder": setup.data, "workers": 2}
        values |= {"limit_train": images, "limit_val": 100, "limit_test": 100}
    workload = kind.from_values(values, pick_device(setup.device))
    assert isinstance(workload, Cifar)
    return workload


def measure_steps(name: str, setup: Setup, when_warm: Callable[[], None] = lambda: None) -> dict[str, float]:
    """Train with one variant and return its figures.

    Args:
        name: One of :data:`VARIANTS`.
        setup: How.
        when_warm: Called after the warm-up, before the clock starts.

    Returns:
        Images per second; seconds of the first step; shares of the time in data and in the optimizer's step,
        from further steps in which the host waits for the device around each part; peak memory in bytes.
    """
    torch.set_num_threads(setup.threads)
    torch.manual_seed(0)
    device = pick_device(setup.device)
    clock = Clock(setup, device, when_warm)
    run = _run_engine if VARIANTS[name].method else _run_plain
    parts = run(VARIANTS[name], setup, clock)
    return {**clock.figures(), **asdict(parts), "peak_bytes": _peak(device)}


class Clock:
    """Times the steps after the warm-up, and the first one."""

    def __init__(self, setup: Setup, device: torch.device, when_warm: Callable[[], None]) -> None:
        self._setup, self._device, self._when_warm = setup, device, when_warm
        self._begun = self.now()
        self._first = self._from = self._to = 0.0

    def now(self) -> float:
        """Return the time when all that was asked of the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def step(self, done: int, total: int = 0) -> None:
        """Be told of a step's end, counting from 1."""
        if done == 1:
            self._first = self.now() - self._begun
        if done == self._setup.warmup:
            self._when_warm()
            self._from = self.now()
        if done == self._setup.warmup + self._setup.steps:
            self._to = self.now()

    def figures(self) -> dict[str, float]:
        """Return images per second and the seconds of the first step, with what it had to set up."""
        images = self._setup.steps * self._setup.batch
        return {"images_per_s": images / (self._to - self._from), "first_step_s": self._first}


@dataclass
class Parts:
    """Shares of a step's time."""

    data_share: float
    optimizer_share: float


def _run_engine(variant: Variant, setup: Setup, clock: Clock) -> Parts:
    workload = workload_of(variant, setup, setup.batch * (setup.warmup + setup.steps))
    model = workload.build_model()
    settings = workload.method_defaults[variant.method]
    method = get_method(variant.method).from_values(settings)
    assert isinstance(method, GradientMethod)
    optimizer = method.prepare(model)
    descent = Descent(workload, model, optimizer, workload.schedule, workload.total_steps, seed=0)
    while descent.step < setup.warmup + setup.steps:
        descent.run_epoch(clock.step)

    def passes(batch: tuple[Tensor, Tensor]) -> None:
        with autocast(workload.device, workload.config.precision):
            loss = workload.loss(descent.forward, batch)
        loss.backward()  # type: ignore[no-untyped-call]

    return _apart(_endless(workload), passes, optimizer, clock)


def _endless(workload: Cifar) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.Generator().manual_seed(0)
    while True:
        yield from workload.batches(order)


def _run_plain(variant: Variant, setup: Setup, clock: Clock) -> Parts:
    from benchmarks.train_throughput_plain import plain_batches, plain_model

    device = pick_device(setup.device)
    model = plain_model().to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    batches = plain_batches(setup, device)

    def passes(batch: tuple[Tensor, Tensor]) -> None:
        criterion(model(batch[0]), batch[1]).backward()

    for step in range(1, setup.warmup + setup.steps + 1):
        optimizer.zero_grad()
        passes(next(batches))
        optimizer.step()
        clock.step(step)
    return _apart(batches, passes, optimizer, clock)


def _apart(
    batches: Iterator[tuple[Tensor, Tensor]],
    passes: Callable[[tuple[Tensor, Tensor]], None],
    optimizer: torch.optim.Optimizer,
    clock: Clock,
) -> Parts:
    """Take steps whose parts are timed one by one; the first batch starts an epoch and does not count."""
    next(batches)
    data = step = whole = 0.0
    for _ in range(PART_STEPS):
        begun = clock.now()
        batch = next(batches)
        loaded = clock.now()
        optimizer.zero_grad()
        passes(batch)
        passed = clock.now()
        optimizer.step()
        ended = clock.now()
        data, step, whole = data + loaded - begun, step + ended - passed, whole + ended - begun
    return Parts(data / whole, step / whole)


def _peak(device: torch.device) -> int:
    """Return the most bytes allocated on the GPU, or this process's largest resident memory (Linux: KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_floor(setup: Setup) -> dict[str, float]:
    """Return the operations of a step per image, and the rates of large matrix products per second."""
    torch.set_num_threads(setup.threads)
    device = pick_device(setup.device)
    side = SIDES[device.type]
    found = {"flops_per_image": flops_per_image(setup)}
    for name, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        found[f"{name}_flops"] = matmul_rate(side, side, side, dtype=dtype, device=device.type)
    return found


def flops_per_image(setup: Setup) -> float:
    """Return the operations of one forward and backward pass of the workload's network, per image."""
    count = 2
    workload = workload_of(VARIANTS["dense"], setup, CLASSES * 10)
    model = workload.build_model()
    images = torch.zeros(count, 3, SIZE, SIZE, device=workload.device)
    labels = torch.zeros(count, dtype=torch.int64, device=workload.device)
    with FlopCounterMode(display=False) as counter:
        workload.loss(model, (images, labels)).backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops()) / count
