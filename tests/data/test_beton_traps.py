"""FFCV's traps, each of which must not close: a hang fails by its timeout. FFCV compiles: slow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rewa.data.beton import BetonLoader
from rewa.data.loader import Transform
from rewa.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.usefixtures("ffcv")]

CPU = torch.device("cpu")
Opened = Callable[..., BetonLoader]


def transform(augmentation: str = "none", size: int = 32, flip: bool = False) -> Transform:
    return Transform(size, size, size, augmentation, flip)  # type: ignore[arg-type]


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if type(thread).__name__ == "Epoch"]


def test_nothing_follows_the_decoder(raw: tuple[Path, Path], opened: Opened) -> None:
    # FFCV never returns from planning a pipeline that normalises tensors on the CPU.
    loader = opened(raw[1], transform())
    images, _ = next(loader.train_batches(0))
    assert images.dtype == torch.uint8
    (made,) = loader._loaders.values()
    assert [type(node.decoder).__name__ for node in made.graph.nodes] == ["ViewDecoder"]


def test_batches_are_never_overwritten(raw: tuple[Path, Path], opened: Opened) -> None:
    loader = opened(raw[1], transform("crop"), 4)
    kept, copies = [], []
    for images, _ in loader.train_batches(1):
        kept.append(images)
        copies.append(images.clone())
    assert len(kept) == 20
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_the_process_is_left_as_it_was(raw: tuple[Path, Path], opened: Opened) -> None:
    import numba

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        loader = opened(raw[1], transform("resized_crop", 20), 4, workers=64)
        running = loader.train_batches(1)
        next(running)
        assert sum(len(labels) for _, labels in loader.eval_batches("test")) == 90  # while the other is open
        next(running)
        assert len(loader_threads()) == 1
        running.close()
        assert not loader_threads()
        for _ in loader.train_batches(2):
            break
        assert not loader_threads()
        left_open = loader.train_batches(2)
        next(left_open)
        loader.close()
        assert not loader_threads()
        assert torch.get_num_threads() == 3
        assert numba.uint8[::1].mutable
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("when", ["compiling", "running"])
def test_an_exception_in_the_pipeline_reaches_the_training(
    raw: tuple[Path, Path], opened: Opened, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    from rewa.data import beton_pipeline

    if when == "compiling":

        def uncompilable(self: object) -> Callable[..., Any]:
            return lambda table, memory, fields, storage: table.no_such_attribute

        monkeypatch.setattr(beton_pipeline.ViewDecoder, "generate_code", uncompilable)
        expected = "no_such_attribute"
    else:
        original = beton_pipeline.Epoch.run_pipeline

        def failing(self: Any, number: int, *rest: Any) -> Any:
            if number == 3:
                raise ZeroDivisionError("in batch 3")
            return original(self, number, *rest)

        monkeypatch.setattr(beton_pipeline.Epoch, "run_pipeline", failing)
        expected = "in batch 3"
    seen = []

    def train() -> None:
        for _, labels in opened(raw[1], transform("crop"), 8).train_batches(0):
            seen.append(len(labels))

    with pytest.raises(Exception, match=expected):
        train()
    assert seen == ([] if when == "compiling" else [8, 8, 8])
    assert not loader_threads()


def test_damaged_jpeg_data_is_named(jpeg: tuple[Path, Path], tmp_path: Path, opened: Opened) -> None:
    for path in jpeg[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "test.beton"
    data = bytearray(file.read_bytes())
    starts = [at for at in range(8 << 20, len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 30
    data[starts[17] : starts[17] + 600] = bytes(600)
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"test\.beton is damaged: .* of image 17 "):
        list(opened(tmp_path, transform(), eval_batch_size=8).eval_batches("test"))
    assert not loader_threads()


def test_a_shortened_file_is_refused_at_once(raw: tuple[Path, Path], tmp_path: Path) -> None:
    for path in raw[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "train.beton").read_bytes()
    (tmp_path / "train.beton").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"train\.beton has"):
        BetonLoader(tmp_path, transform(), 16, CPU)
    (tmp_path / "classes.json").unlink()
    with pytest.raises(UserError, match=r"train\.beton cannot be used"):
        BetonLoader(tmp_path, transform(), 16, CPU)
    (tmp_path / "train.beton").unlink()
    with pytest.raises(UserError, match=r"has test\.beton; it needs train\.beton"):
        BetonLoader(tmp_path, transform(), 16, CPU)


def test_numbas_threads_that_bear_no_company_are_not_used_at_once(raw: tuple[Path, Path]) -> None:
    script = """if True:
        import sys, threading, torch
        from pathlib import Path
        from rewa.data.beton import BetonLoader
        from rewa.data.loader import Transform
        views = Transform(32, 32, 32, "resized_crop", True)
        loaders = [BetonLoader(Path(sys.argv[1]), views, 2, torch.device("cpu"), 2) for _ in range(2)]
        for epoch in range(4):
            passes = [loaders[0].train_batches(epoch), loaders[1].train_batches(epoch)]
            for batches in zip(*passes, strict=True):
                assert torch.equal(batches[0][0], batches[1][0])
        import numba
        print(numba.threading_layer())
    """
    done = subprocess.run(
        [sys.executable, "-c", script, str(raw[1])],
        env={**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "workqueue"
