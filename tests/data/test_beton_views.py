from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torchvision.transforms.v2 import RandomResizedCrop, functional

from rewa.data.beton_views import (
    COLUMNS,
    DOWN,
    HEIGHT,
    INDEX,
    LEFT,
    MIRRORED,
    RIGHT,
    TOP,
    WIDTH,
    Stored,
    evaluation_views,
    training_views,
)
from rewa.data.loader import Transform


def stored(sizes: list[tuple[int, int]]) -> Stored:
    heights, widths = np.array(sizes).T
    return Stored(np.arange(len(sizes)) + 7, heights, widths)


def transform(augmentation: str = "none", size: int = 32, flip: bool = False) -> Transform:
    return Transform(size, size, size, augmentation, flip)  # type: ignore[arg-type]


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_whole_central_square_lies_where_torchvision_crops_it(height: int, width: int) -> None:
    row = evaluation_views(stored([(height, width)]), transform())[0]
    side = min(height, width)
    image = torch.arange(height * width).view(1, height, width)
    top, left = row[TOP], row[LEFT]
    ours = image[:, top : top + row[HEIGHT], left : left + row[WIDTH]]
    assert torch.equal(ours, functional.center_crop(image, [side, side]))


@given(st.integers(8, 300), st.integers(8, 300), st.integers(8, 64), st.integers(0, 30))
def test_the_evaluation_view_sees_the_centre_in_proportion(h: int, w: int, size: int, more: int) -> None:
    row = evaluation_views(stored([(h, w)]), Transform(size, size, size + more, "none", False))[0]
    exact = min(h, w) * size / (size + more)
    assert abs(row[HEIGHT] - exact) <= 0.5
    assert row[HEIGHT] == row[WIDTH]
    assert abs(row[TOP] + row[HEIGHT] / 2 - h / 2) <= 0.5
    assert abs(row[LEFT] + row[WIDTH] / 2 - w / 2) <= 0.5
    assert row[INDEX] == 7
    assert not row[[DOWN, RIGHT, MIRRORED]].any()


def test_resized_crops_are_those_of_torchvision_in_distribution() -> None:
    for height, width in ((100, 75), (40, 200)):
        table = training_views(stored([(height, width)] * 4000), transform("resized_crop"), 3)
        torch.manual_seed(0)
        theirs = RandomResizedCrop(32)
        boxes = [theirs.make_params([torch.empty(3, height, width)]) for _ in range(4000)]
        for column, name in ((TOP, "top"), (LEFT, "left"), (HEIGHT, "height"), (WIDTH, "width")):
            assert ks_2samp(table[:, column], [box[name] for box in boxes]).pvalue > 1e-3, name


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**31))
def test_resized_crops_lie_inside_the_image(height: int, width: int, seed: int) -> None:
    table = training_views(stored([(height, width)] * 20), transform("resized_crop"), seed)
    assert (table[:, [TOP, LEFT]] >= 0).all()
    assert (table[:, [HEIGHT, WIDTH]] >= 1).all()
    assert (table[:, TOP] + table[:, HEIGHT] <= height).all()
    assert (table[:, LEFT] + table[:, WIDTH] <= width).all()


def test_shifts_and_mirroring_are_uniform() -> None:
    table = training_views(stored([(40, 40)] * 9000), transform("crop", flip=True), 1)
    for column in (DOWN, RIGHT):
        values, counts = np.unique(table[:, column], return_counts=True)
        assert values.tolist() == list(range(-4, 5))
        assert counts.min() > 850  # expected 1000, standard deviation 30
    assert abs(table[:, MIRRORED].mean() - 0.5) < 0.03
    assert abs(np.corrcoef(table[:, [DOWN, RIGHT, MIRRORED]].T) - np.eye(3)).max() < 0.05
    assert not training_views(stored([(40, 40)] * 99), transform("crop"), 1)[:, MIRRORED].any()


@pytest.mark.parametrize("augmentation", ["crop", "resized_crop"])
def test_draws_depend_on_the_epoch_and_the_place_only(augmentation: str) -> None:
    many = stored([(50, 60)] * 70_000)  # more than are drawn at a time
    first, again, other = (training_views(many, transform(augmentation, flip=True), s) for s in (1, 1, 2))
    assert first.shape == (70_000, COLUMNS)
    assert (first == again).all()
    drawn = [TOP, LEFT, HEIGHT, WIDTH, DOWN, RIGHT, MIRRORED]
    assert (first[:, drawn] != other[:, drawn]).any(axis=1).mean() > 0.9
    # The second part of the draws does not repeat the first.
    assert (first[:4000, drawn] != first[65536:69536, drawn]).any(axis=1).mean() > 0.9


def test_without_augmentation_training_sees_what_evaluation_sees_at_its_own_resolution() -> None:
    images = stored([(90, 120), (64, 48)])
    views = training_views(images, Transform(16, 32, 40, "none", False), 5)
    assert (views == evaluation_views(images, Transform(16, 16, 20, "none", False))).all()
