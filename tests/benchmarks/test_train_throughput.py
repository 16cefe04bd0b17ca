"""The throughput benchmark: what is counted, what its variants differ in, and what its page says."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import rates, train_throughput, train_throughput_loaders, train_throughput_steps
from benchmarks.provenance import Provenance
from benchmarks.train_throughput_loaders import LoaderSetup, measure_loader, photo_like, write_files
from benchmarks.train_throughput_page import Measured, loader_rows, page, projection, step_rows, verdict
from benchmarks.train_throughput_plain import plain_batches, plain_model
from benchmarks.train_throughput_runs import rotated
from benchmarks.train_throughput_steps import (
    VARIANTS,
    Clock,
    Setup,
    flops_per_image,
    measure_steps,
    workload_of,
)
from rewa.errors import UserError
from rewa.workloads.cifar import CifarConfig

CPU = torch.device("cpu")
TINY = Setup("cpu", threads=1, batch=4, steps=2, warmup=1, workers=0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(rate: float, **values: float) -> dict[str, float]:
    shares = {"optimizer_share": 0.02, "data_share": 0.01, "first_step_s": 3.0, "peak_bytes": 1e9}
    return {"images_per_s": rate, **shares, **values}


RATES = {"plain": 50, "resident": 60, "channels_last": 66, "dense": 120, "rewa": 100, "compile": 101}
FLOOR = [{"flops_per_image": 2e9, "fp32_flops": f, "bf16_flops": b} for f, b in [(1e11, 3e11), (2e11, 4e11)]]


@pytest.fixture
def measured() -> Measured:
    trained = {name: [run(rate), run(0.9 * rate), run(1.2 * rate)] for name, rate in RATES.items()}
    speeds = {"plain": (300, 4.0), "folder": (600, 2.0), "beton": (900, 1.0), "beton_half": (1200, 0.5)}
    loaded = {
        f"{name}@{resolution}": [{"images_per_s": rate * scale, "cpu_ms": ms}]
        for resolution, scale in ((160, 1.0), (224, 0.9))
        for name, (rate, ms) in speeds.items()
    }
    return Measured(
        setup=replace(TINY, data="/somewhere/private"),
        steps=step_rows(trained, FLOOR),
        floor=FLOOR[1],
        at_once={1: 100.0, 2: 150.0},
        loaders=loader_rows(loaded),
        decode_ms=1.5,
        file_bytes=110_000.0,
        loader_images=64,
        repeats=3,
    )


def test_the_operations_are_those_of_the_layers() -> None:
    """By hand: two per multiplication, forward and twice that backward, no gradient for the images."""
    stem = 32 * 32 * 64 * 3 * 9
    counted = stem + 4 * 32 * 32 * 64 * 64 * 9  # the first stage: four 3x3 convolutions of 64 channels
    for side, width in ((16, 128), (8, 256), (4, 512)):
        half = width // 2
        counted += (
            side * side * width * (half * 9 + 3 * width * 9 + half)
        )  # stride 2, three more, 1x1 shortcut
    counted += 512 * 10
    assert flops_per_image(TINY) == 2 * (3 * counted - stem)


def test_a_matmul_rate_is_operations_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "best_time", lambda *_: 2.0)
    assert rates.matmul_rate(8, 8, 8) == 2 * 8**3 / 2.0


def test_only_the_timed_steps_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(train_throughput_steps.time, "perf_counter", lambda: now)
    told = []
    clock = Clock(Setup("cpu", 1, batch=10, steps=3, warmup=2), CPU, lambda: told.append(now))
    for step, seconds in enumerate([100.0, 50.0, 1.0, 2.0, 3.0, 1000.0], start=1):
        now += seconds
        clock.step(step)
    assert clock.figures() == {"images_per_s": 3 * 10 / 6.0, "first_step_s": 100.0}
    assert told == [150.0]


def test_every_variant_adds_one_thing() -> None:
    added = []
    names = list(VARIANTS)[1:]
    assert not VARIANTS["plain"].method
    for before, after in itertools.pairwise(names):
        old, new = ({"method": VARIANTS[n].method, **VARIANTS[n].settings} for n in (before, after))
        added.append([key for key in new if new[key] != old[key]])
    assert added == [["channels_last"], ["precision"], ["method"], ["compile"]]
    assert VARIANTS["resident"].method == VARIANTS["dense"].method == "magnitude"
    fast = CifarConfig()  # what `rewa train cifar10` uses
    for key in ("precision", "channels_last", "compile"):
        assert VARIANTS["rewa"].settings[key] == getattr(fast, key)


def test_the_plain_loop_trains_the_same_network_on_such_images() -> None:
    ours = workload_of(VARIANTS["rewa"], TINY, 20).build_model()
    theirs = plain_model()
    shapes = [[(name, p.shape) for name, p in model.named_parameters()] for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    batches = plain_batches(TINY, CPU)
    drawn = [next(batches) for _ in range(2 * TINY.images // TINY.batch)]  # goes on after an epoch
    images, labels = drawn[0]
    assert (images.shape, images.dtype, labels.dtype) == ((4, 3, 32, 32), torch.float32, torch.int64)
    inner = torch.cat([x for x, _ in drawn])[:, :, 8:24, 8:24]  # random bytes: mean 1/2, variance 1/12
    expected = (torch.tensor([0.5, 0.5, 0.5]) - torch.tensor([0.4914, 0.4822, 0.4465])) / torch.tensor(
        [0.2470, 0.2435, 0.2616]
    )
    torch.testing.assert_close(inner.mean((0, 2, 3)), expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("name", ["plain", "rewa"])
def test_measuring_takes_the_steps_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    told = Clock.step
    monkeypatch.setattr(Clock, "step", lambda self, n, total=0: (steps.append(n), told(self, n))[1])
    found = measure_steps(name, TINY)
    assert steps == [1, 2, 3]
    assert found["images_per_s"] > 0
    assert found["first_step_s"] > 0
    assert 0 < found["optimizer_share"] < 1
    assert 0 < found["data_share"] < 1
    assert found["optimizer_share"] + found["data_share"] < 1


def test_each_turn_starts_elsewhere() -> None:
    turns = [rotated(["a", "b", "c"], turn) for turn in range(4)]
    assert [turn[0] for turn in turns] == ["a", "b", "c", "a"]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)


def test_files_are_like_imagenets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_throughput_loaders, "has_ffcv", lambda: False)
    monkeypatch.setattr(train_throughput_loaders, "DISTINCT", 12)
    size = write_files(tmp_path, 30)
    files = sorted((tmp_path / "tree" / "train").rglob("*.jpg"))
    assert len(files) == 30
    assert len({file.read_bytes() for file in files}) == 12
    with Image.open(files[0]) as image:
        assert (image.size, image.mode, image.format) == ((500, 375), "RGB", "JPEG")
    assert 90_000 < size < 130_000  # ImageNet's mean is 110 kB
    setup = LoaderSetup(str(tmp_path), "cpu", threads=1, workers=0, batch=5)
    for name in ("plain", "folder"):
        found = measure_loader(name, 32, setup)
        assert found["images_per_s"] > 0
        assert 0.1 < found["cpu_ms"] < 1000


def test_a_photographs_spectrum_falls_as_one_over_frequency() -> None:
    drawn = np.random.default_rng(1)
    grey = np.mean([np.abs(np.fft.fft2(photo_like(drawn)[:300, :300, 0])) for _ in range(4)], axis=0)
    low, high = grey[0, 10:20].mean(), grey[0, 40:80].mean()
    assert 2.5 < low / high < 7  # 4 for frequencies four times as high; clipping and edges blur it


def test_rows_hold_medians_ratios_and_shares(measured: Measured) -> None:
    at = {row["variant"]: row for row in measured.steps}
    assert [row["variant"] for row in measured.steps] == list(VARIANTS)
    assert (at["dense"]["images_per_s"], at["dense"]["min"], at["dense"]["max"]) == (120, 108, 144)
    assert at["dense"]["over_plain"] == 120 / 50
    assert at["dense"]["over_previous"] == pytest.approx(120 / 66, abs=1e-3)
    assert at["channels_last"]["share_of_rate"] == 66 * 2e9 / 2e11  # float32, the best of the two
    assert at["rewa"]["share_of_rate"] == 100 * 2e9 / 4e11
    by_key = {(row["loader"], row["resolution"]): row for row in measured.loaders}
    assert by_key["beton", 224]["images_per_s"] == 810
    assert by_key["beton", 224]["over_plain"] == 3


def test_a_projection_is_of_whole_trainings() -> None:
    assert projection(5_000_000 / 3600, 1) == {
        "images_per_s": 1388.9,
        "hours_each": 1.0,
        "trials_per_hour": 1.0,
    }
    assert projection(5_000_000 / 3600, 4)["hours_each"] == 4.0
    assert projection(5_000_000 / 3600, 4)["trials_per_hour"] == 1.0


def test_the_page_says_what_was_measured(measured: Measured) -> None:
    text = page(measured, Provenance("benchmarks.train_throughput"), "full", gpu_here=False)
    assert verdict(measured) in text
    assert "2.00 and 2.40 times a plain DataLoader" in verdict(measured)
    assert "50 % of the rate of large bf16 matrix products" in verdict(measured)
    assert "loads ImageNet-like images 1.50 times as fast as rewa's image folder" in verdict(measured)
    assert "not run: no GPU" in text
    assert "toy size" not in text
    assert "does not pay here" in text  # 101 against 100
    assert "| 2 | 150.0 |" in text
    figures = json.dumps(measured.figures())
    assert "private" not in text + figures
    assert "toy size" in page(measured, Provenance("x"), "smoke", gpu_here=True)
    assert "--device cuda uses it" in page(measured, Provenance("x"), "full", gpu_here=True)


def test_compilation_that_pays_is_said_to(measured: Measured) -> None:
    rows = [{**row, "over_previous": 1.4} if row["variant"] == "compile" else row for row in measured.steps]
    text = page(replace(measured, steps=rows), Provenance("x"), "full", gpu_here=False)
    assert "1.40 times as fast" in text
    assert "does not pay" not in text


def test_without_ffcv_the_page_says_so(measured: Measured) -> None:
    without = replace(measured, loaders=[r for r in measured.loaders if r["loader"] in ("plain", "folder")])
    assert "FFCV is not installed here" in verdict(without)
    text = page(without, Provenance("x"), "full", gpu_here=False)
    assert "| beton files | | not run: FFCV is not installed here" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "0"], "--batch 0: must be at least 1"),
        (["--data", "nowhere"], "--data nowhere: is no folder with train/ and test/"),
    ],
)
def test_bad_options_are_named(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train_throughput", *words])
    with pytest.raises(UserError, match=message):
        train_throughput.main()


@pytest.mark.slow
@pytest.mark.benchmark_command
@pytest.mark.timeout(900)
def test_the_command_at_toy_size(tmp_path: Path) -> None:
    words = ["--scale", "smoke", "--output", str(tmp_path), "--json", str(tmp_path / "copy.json")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_throughput", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "copy.json").read_text())["figures"]
    assert [row["variant"] for row in figures["steps"]] == list(VARIANTS)
    assert all(row["images_per_s"] > 0 for row in figures["steps"] + figures["loaders"])
    assert set(figures["at_once"]) == {"1", "2"}
    assert (tmp_path / "README.md").read_text() in done.stdout
