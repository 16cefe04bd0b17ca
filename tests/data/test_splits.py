from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewa.data.splits import hold_out, limit_per_split
from rewa.errors import UserError

CLASS_SIZES = st.lists(st.integers(2, 40), min_size=1, max_size=8)


def labels_of(sizes, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


@settings(max_examples=60, deadline=None)
@given(CLASS_SIZES, st.floats(0.001, 0.999), st.integers(0, 5))
def test_every_item_is_kept_or_held_out_and_every_class_is_in_both(sizes, share, seed):
    labels = labels_of(sizes)
    kept, held = hold_out(labels, share, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert list(kept) == sorted(kept)
    assert list(held) == sorted(held)
    for label, size in enumerate(sizes):
        count = int((labels[held] == label).sum())
        assert 1 <= count <= size - 1
        assert abs(count - share * size) <= 0.5 + 1e-9 or count in (1, size - 1)


def test_holding_out_depends_on_the_seed_only():
    labels = labels_of([50, 30, 20])
    first = hold_out(labels, 0.2, seed=3)
    np.random.seed(7)  # noqa: NPY002 - the global generator must not matter
    np.testing.assert_array_equal(first[1], hold_out(labels, 0.2, seed=3)[1])
    assert not np.array_equal(first[1], hold_out(labels, 0.2, seed=4)[1])


def test_one_more_class_leaves_the_choice_in_the_others_alone():
    labels = np.repeat([0, 1, 2], 20)
    np.testing.assert_array_equal(hold_out(labels[:40], 0.25)[1], hold_out(labels, 0.25)[1][:10])


def test_choices_in_two_classes_of_one_size_differ():
    held = hold_out(np.repeat([0, 1], 30), 0.5)[1]
    assert set(held[held < 30]) != set(held[held >= 30] - 30)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(UserError, match="between 0 and 1"):
        hold_out(np.repeat([0, 1], 5), share)


def test_a_class_of_one_cannot_be_split():
    with pytest.raises(UserError, match="Class number 1 has one image"):
        hold_out(np.array([0, 0, 1]), 0.5)


@settings(max_examples=60, deadline=None)
@given(CLASS_SIZES, st.integers(1, 200), st.integers(1, 200))
def test_limited_subsets_are_nested_stratified_and_as_large_as_asked(sizes, a, b):
    labels = labels_of(sizes)
    small, large = (limit_per_split(labels, limit) for limit in sorted((a, b)))
    assert set(small) <= set(large)
    assert len(small) == min(max(min(a, b), len(sizes)), len(labels))
    assert list(small) == sorted(set(small))
    counts = np.bincount(labels[small], minlength=len(sizes))
    assert counts.min() >= 1
    # One image of each class is sure; beyond these no class is more than an image or so from its share.
    shares = len(small) / len(labels) * np.array(sizes)
    assert np.all(counts >= np.floor(shares * (1 - len(sizes) / len(small))) - 1)
    assert np.all(counts <= np.ceil(shares) + 1)


def test_equal_classes_are_limited_equally():
    labels = labels_of([100] * 10)
    assert set(np.bincount(labels[limit_per_split(labels, 250)])) == {25}


def test_no_limit_is_all():
    np.testing.assert_array_equal(limit_per_split(np.array([1, 0, 1]), 0), [0, 1, 2])
    np.testing.assert_array_equal(limit_per_split(np.array([1, 0, 1]), 9), [0, 1, 2])
    with pytest.raises(UserError, match="0 \\(all\\) or more"):
        limit_per_split(np.array([1, 0, 1]), -1)
