"""Example 3.12 by brute force: over a ball tangent to the axes l_1 is dense, l_p sparse for p <= 1/2."""

from __future__ import annotations

import numpy as np
import pytest

ANGLES = np.linspace(0, 2 * np.pi, 400_001)
CIRCLE = np.stack([1 - np.cos(ANGLES), 1 - np.sin(ANGLES)])  # centre (1, 1), radius 1; angle 0 is (0, 1)


def best(points: np.ndarray, p: float) -> np.ndarray:
    return points[:, (np.abs(points) ** p).sum(axis=0).argmin()]


def sphere() -> np.ndarray:
    """Ball around (1, 1, 1) tangent to the three axes, radius sqrt(2): its surface on a grid."""
    polar = np.linspace(0, np.pi, 900)[:, None]
    around = np.linspace(0, 2 * np.pi, 1800)[None, :]
    unit = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around]
    )
    tangent = np.eye(3)
    return np.concatenate([1 + np.sqrt(2) * unit.reshape(3, -1), tangent], axis=1)


def test_zero_is_outside_and_the_sparsest_point_touches() -> None:
    for dimension, radius in ((2, 1.0), (3, np.sqrt(2.0))):
        centre = np.ones(dimension)
        assert np.linalg.norm(centre) > radius
        unit = np.eye(dimension)[0]
        assert np.linalg.norm(unit - centre) == pytest.approx(radius)
        for along in np.linspace(-1, 3, 401):  # tangent: no other point of the axis is inside
            assert np.linalg.norm(along * unit - centre) >= radius - 1e-12


def test_l1_is_dense() -> None:
    """The point of the circle nearest to the origin along the diagonal."""
    np.testing.assert_allclose(best(CIRCLE, 1.0), 1 - 1 / np.sqrt(2), atol=1e-4)


@pytest.mark.parametrize("p", [0.5, 0.4, 1 / 3, 2 / 9, 0.1])
def test_lp_is_sparse_up_to_one_half(p: float) -> None:
    point = np.sort(best(CIRCLE, p))
    np.testing.assert_allclose(point, [0, 1], atol=1e-9)


@pytest.mark.parametrize("p", [0.53, 0.55, 2 / 3, 0.9])
def test_lp_is_not_sparse_above_one_half(p: float) -> None:
    """Beside Example 3.12, "p < 1" is not enough: near (0, 1) the sum is 1 - p t + (t^2/2)^p < 1."""
    point = np.sort(best(CIRCLE, p))
    assert point[0] > 1e-12
    assert (np.abs(point) ** p).sum() < 1


def test_between_one_half_and_one_sparse_beats_the_diagonal_first() -> None:
    """2 (1 - 1/sqrt 2)^p = 1 at p = 0.5645: below, the diagonal loses to the axes."""
    diagonal = 1 - 1 / np.sqrt(2)
    crossing = np.log(2) / -np.log(diagonal)
    assert crossing == pytest.approx(0.5645, abs=1e-4)
    assert best(CIRCLE, crossing - 0.01).min() < 0.05
    assert best(CIRCLE, 0.9).min() > 0.25


def test_three_dimensions() -> None:
    points = sphere()
    np.testing.assert_allclose(best(points, 1.0), 1 - np.sqrt(2 / 3), atol=3e-3)
    for p in (0.5, 2 / 5):
        np.testing.assert_allclose(np.sort(best(points, p)), [0, 0, 1], atol=1e-9)
