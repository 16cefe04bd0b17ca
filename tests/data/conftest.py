"""What the tests of the beton files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from rewa.errors import UserError

if TYPE_CHECKING:
    from rewa.data.beton import BetonLoader
    from rewa.data.loader import Transform

MakeTree = Callable[..., Path]


@pytest.fixture(scope="session")
def ffcv() -> None:
    """Skips where ffcv is not installed, unless REWA_REQUIRE_FFCV says that it must be, as in CI."""
    from rewa.data.ffcv_package import require_ffcv

    try:
        require_ffcv("This test")
    except UserError as error:
        if os.environ.get("REWA_REQUIRE_FFCV"):
            raise
        pytest.skip(str(error))


def smooth(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """An image like a photograph: few frequencies, full range."""
    coarse = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def make_tree() -> MakeTree:
    """Write a tree of three classes: ``make(root, size, count, suffix, splits)``.

    A size of (0, 0) stands for sizes that differ from image to image.
    """

    def make(
        root: Path,
        size: tuple[int, int] = (32, 32),
        count: int = 6,
        suffix: str = "png",
        splits: tuple[str, ...] = ("train", "test"),
    ) -> Path:
        generator = np.random.default_rng(len(suffix) + count)
        for split in splits:
            for name in ("ant", "bee", "cat"):
                (root / split / name).mkdir(parents=True)
                for number in range(count):
                    height, width = size if size[0] else generator.integers(70, 130, 2)
                    image = Image.fromarray(smooth(generator, height, width))
                    options = {"quality": 92} if suffix == "jpg" else {}
                    image.save(root / split / name / f"{number:03}.{suffix}", **options)
        return root

    return make


@pytest.fixture(scope="session")
def raw(make_tree: MakeTree, tmp_path_factory: pytest.TempPathFactory, ffcv: None) -> tuple[Path, Path]:
    """A tree of 32 px images and its files, stored as pixels: 90 for training and validation, 90 to test."""
    from rewa.data.write_beton import StoreSettings, write_beton

    folder = tmp_path_factory.mktemp("raw")
    source = make_tree(folder / "tree", (32, 32), 30)
    write_beton(source, folder / "out", StoreSettings(), 2)
    return source, folder / "out"


@pytest.fixture(scope="session")
def jpeg(make_tree: MakeTree, tmp_path_factory: pytest.TempPathFactory, ffcv: None) -> tuple[Path, Path]:
    """The same for JPEGs of many sizes, with a validation folder."""
    from rewa.data.write_beton import StoreSettings, write_beton

    folder = tmp_path_factory.mktemp("jpeg")
    source = make_tree(folder / "tree", (0, 0), 10, "jpg", ("train", "val", "test"))
    write_beton(source, folder / "out", StoreSettings(), 2)
    return source, folder / "out"


@pytest.fixture
def opened() -> Iterator[Callable[..., BetonLoader]]:
    """Makes loaders and closes them."""
    import torch

    from rewa.data.beton import BetonLoader

    made: list[BetonLoader] = []

    def make(root: Path, transform: Transform, batch_size: int = 16, **settings: Any) -> BetonLoader:
        made.append(BetonLoader(root, transform, batch_size, torch.device("cpu"), **settings))
        return made[-1]

    yield make
    for loader in made:
        loader.close()
