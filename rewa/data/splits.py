"""Stratified splits and subsets of labelled items, fixed by a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewa.errors import UserError

Labels = NDArray[np.integer]
Index = NDArray[np.int64]


def hold_out(labels: Labels, share: float, seed: int = 0) -> tuple[Index, Index]:
    """Split items into those kept and those held out, every class in proportion.

    A class of n items gives round(share * n), at least 1 and at most n - 1. Which ones depends on the seed,
    the class and n only, so adding a class does not move the others.

    Args:
        labels: Class of each item, non-negative, shape (n,).
        share: Part of every class to hold out, between 0 and 1, both excluded.
        seed: Of the choice, non-negative.

    Returns:
        Sorted positions of the kept items and of those held out; together every item once.

    Raises:
        UserError: If the share is out of range or a class has a single item.
    """
    if not 0.0 < share < 1.0:
        raise UserError(f"The share to hold out is {share:g}; it must be between 0 and 1, both excluded.")
    held = np.zeros(len(labels), dtype=bool)
    for label, places in _by_class(labels):
        if len(places) < 2:
            raise UserError(
                f"Class number {label} has one image; holding out a split needs two of every class."
            )
        count = min(max(round(share * len(places)), 1), len(places) - 1)
        held[_shuffled(places, label, seed)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def limit_per_split(labels: Labels, limit: int, seed: int = 0) -> Index:
    """Choose about ``limit`` items, every class in proportion and present.

    The choices are nested: a smaller limit's items are among those of a larger one.

    Args:
        labels: Class of each item, non-negative, shape (n,).
        limit: Number of items; 0 for all. Below the number of classes it is one item of every class.
        seed: Of the choice, non-negative.

    Returns:
        Sorted positions of the chosen items: ``limit``, or the number of classes or items where these bind.

    Raises:
        UserError: If the limit is negative.
    """
    if limit < 0:
        raise UserError(f"The limit of images is {limit}; it must be 0 (all) or more.")
    if limit == 0 or limit >= len(labels):
        return np.arange(len(labels))
    # Every item gets its place in the queue: first one of each class, then as the classes' shares fill up.
    turn = np.empty(len(labels))
    classes = 0
    for label, places in _by_class(labels):
        classes += 1
        turn[_shuffled(places, label, seed)] = (np.arange(len(places)) + 0.5) / len(places)
        turn[_shuffled(places, label, seed)[0]] = 0.0
    queue = np.argsort(turn, kind="stable")
    return np.sort(queue[: max(limit, classes)])


def _by_class(labels: Labels) -> list[tuple[int, Index]]:
    """Return each class that occurs, ascending, with the positions of its items, ascending."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    return list(zip(found.tolist(), np.split(order, starts[1:]), strict=True))


def _shuffled(places: Index, label: int, seed: int) -> Index:
    return np.random.default_rng([seed, label]).permutation(places)
