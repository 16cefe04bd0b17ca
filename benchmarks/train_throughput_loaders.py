"""Measures how fast ImageNet-like files become batches: image folders, beton files, plain torchvision."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.train_throughput_plain import large_batches
from rewa.data.ffcv_package import require_ffcv
from rewa.errors import UserError
from rewa.training import pick_device
from rewa.workloads import get_workload
from rewa.workloads.base import Batch

WIDTH, HEIGHT, QUALITY = 500, 375, 87
CLASSES = 10
DISTINCT = 256
"""Different images; more files repeat them."""
FOLDER, BETON, HALF = "tree", "beton", "beton-half"
LOADERS = {
    "plain": "torchvision's ImageFolder and DataLoader, PIL",
    "folder": "rewa, loader = folder",
    "beton": "rewa, beton files, JPEG",
    "beton_half": "rewa, beton files, half of them pixels",
}


@dataclass(frozen=True)
class LoaderSetup:
    """How loading is measured.

    Attributes:
        root: Where :func:`write_files` wrote.
        device: "cpu" or "cuda".
        threads: Of torch, for the normalisation.
        workers: Processes or threads that decode.
        batch: Images per batch.
    """

    root: str
    device: str
    threads: int
    workers: int
    batch: int


def photo_like(drawn: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image with the spectrum of a photograph, amplitudes falling as 1/frequency; (h, w, 3)."""
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf  # no constant part

    def field() -> NDArray[np.float64]:
        noise = np.fft.rfft2(drawn.standard_normal((HEIGHT, WIDTH)))
        values = np.fft.irfft2(noise / frequency, s=(HEIGHT, WIDTH))
        scaled: NDArray[np.float64] = values / values.std()
        return scaled

    grey = field()
    pixels = np.stack([128 + 60 * (0.9 * grey + 0.4 * field()) for _ in range(3)], axis=-1)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_files(root: Path, images: int) -> float:
    """Write ``root/tree/{train,val}/<class>/NNNNN.jpg`` and, where FFCV is, beton files of it.

    Args:
        root: Where to.
        images: Training images.

    Returns:
        Mean size of a file in bytes.
    """
    drawn = np.random.default_rng(0)
    tree, made = root / FOLDER, []
    for number in range(images):
        path = tree / "train" / f"class{number % CLASSES}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < DISTINCT:
            Image.fromarray(photo_like(drawn)).save(path, "JPEG", quality=QUALITY)
            made.append(path)
        else:
            shutil.copyfile(made[number % DISTINCT], path)
    for number, path in enumerate(made[:CLASSES]):
        held = tree / "val" / f"class{number % CLASSES}" / path.name
        held.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, held)
    if has_ffcv():
        from rewa.data.write_beton import StoreSettings, write_beton

        write_beton(tree, root / BETON, StoreSettings(), workers=2)
        write_beton(tree, root / HALF, StoreSettings(jpeg_share=0.5), workers=2)
    return sum(path.stat().st_size for path in made) / len(made)


def has_ffcv() -> bool:
    """Return whether beton files can be read here."""
    try:
        require_ffcv("The benchmark")
    except UserError:
        return False
    return True


def measure_loader(name: str, resolution: int, setup: LoaderSetup) -> dict[str, float]:
    """Read two batches to warm up, then one epoch; no model.

    Returns:
        Images per second from asking for the epoch to its end, the start of workers included, and
        milliseconds of CPU per image, those of workers included.
    """
    torch.set_num_threads(setup.threads)
    device = pick_device(setup.device)
    epochs = _epochs(name, resolution, setup, device)
    started = next(epochs)
    for _ in range(2):
        next(started)
    del started
    before, begun, images = _cpu_seconds(), time.perf_counter(), 0
    for _, labels in next(epochs):
        images += len(labels)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - begun
    return {"images_per_s": images / seconds, "cpu_ms": 1e3 * (_cpu_seconds() - before) / images}


def measure_decoding(setup: LoaderSetup) -> dict[str, float]:
    """Return milliseconds of CPU per image for the decoding of whole files alone, in one thread."""
    from rewa.data.decode import decode

    torch.set_num_threads(1)
    files = sorted((Path(setup.root) / FOLDER / "train").rglob("*.jpg"))[:DISTINCT]
    decode(files[0])
    before = time.process_time()
    for file in files:
        decode(file)
    return {"cpu_ms": 1e3 * (time.process_time() - before) / len(files)}


def _epochs(
    name: str, resolution: int, setup: LoaderSetup, device: torch.device
) -> Iterator[Iterator[Batch]]:
    """Yield epochs without end."""
    root = Path(setup.root)
    if name == "plain":
        while True:
            yield large_batches(root / FOLDER, resolution, setup.batch, setup.workers, device)
    source = root / {"folder": FOLDER, "beton": BETON, "beton_half": HALF}[name]
    values = {"root": str(source), "loader": "folder" if name == "folder" else "beton"}
    workload = get_workload("image_folder").from_values(
        {**values, "resolution": resolution, "batch_size": setup.batch, "workers": setup.workers}, device
    )
    order = torch.Generator().manual_seed(0)
    while True:
        yield workload.batches(order)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
