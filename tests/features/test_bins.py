"""Bins of a number: how many, who is alone, who shares, and where unseen numbers go."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recnas.features.bins import Bins, greedy_bins

numbers = st.floats(allow_nan=False, allow_infinity=False)
counted = st.dictionaries(numbers | st.integers(-20, 20).map(float), st.integers(1, 10**6), min_size=1, max_size=60)


def bins_of(counts: dict[float, int], most: int) -> Bins:
    values = np.array(sorted(counts))
    return greedy_bins(values, np.array([counts[value] for value in values.tolist()]), most)


def bin_of(bins: Bins, numbers: Sequence[float]) -> list[int]:
    return np.searchsorted(bins.edges, numbers, side="right").tolist()


@given(counted, st.integers(2, 80))
def test_there_are_as_many_bins_as_there_may_be_and_each_has_a_value(counts, most):
    bins = bins_of(counts, most)
    assert len(bins.starts) == len(bins.edges) + 1 == min(most, len(counts))
    assert np.all(np.diff(bins.edges) > 0)
    assert set(bin_of(bins, bins.values)) == set(range(len(bins.starts)))


@given(counted, st.integers(2, 80))
def test_what_is_frequent_and_fits_is_alone(counts, most):
    bins = bins_of(counts, most)
    of = dict(zip(bins.values.tolist(), bin_of(bins, bins.values), strict=True))
    if len(counts) <= most:
        assert len(set(of.values())) == len(counts)
        return
    frequent = [value for value, count in counts.items() if count * most >= sum(counts.values())]
    # Half of them, as between each two there may be others.
    if 2 * len(frequent) + 1 <= most:
        for value in frequent:
            assert [other for other, place in of.items() if place == of[value]] == [value]


@given(counted, st.integers(2, 40), st.lists(numbers, max_size=20))
def test_an_unseen_number_is_in_the_bin_of_a_seen_one_beside_it(counts, most, unseen):
    bins = bins_of(counts, most)
    values = bins.values.tolist()
    places = bin_of(bins, values)
    for number, place in zip(unseen, bin_of(bins, unseen), strict=True):
        below = [other for value, other in zip(values, places, strict=True) if value <= number]
        above = [other for value, other in zip(values, places, strict=True) if value >= number]
        assert place in (below[-1:] + above[:1])


def test_of_few_values_the_nearer_one_decides_and_halfway_the_greater():
    bins = bins_of({0: 5, 1: 1, 4: 9}, 16)
    assert bin_of(bins, [-9, 0, 0.4999, 0.5, 1, 2.4, 2.5, 99]) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_what_is_alone_stays_so_among_unseen_numbers():
    counts = {0.0: 900} | {float(value): 1 for value in range(1, 101)} | {50.0: 500}
    bins = bins_of(counts, 16)
    zero, beside, fifty = bin_of(bins, [0, 0.001, 50])
    assert (zero, beside) == (0, 1)
    assert bin_of(bins, [49.999, 50.001]) == [fifty - 1, fifty + 1]
    # Nothing lies below it.
    assert bin_of(bins, [-1]) == [zero]


def test_two_that_are_alone_part_what_is_between_them():
    counts = {float(value): 1 for value in range(100)} | {1000.0: 900, 1001.0: 900}
    bins = bins_of(counts, 16)
    first, second = bin_of(bins, [1000, 1001])
    assert bin_of(bins, [1000.4, 1000.6]) == [first, second]


def test_the_rest_shares_by_quantile():
    counts = {float(value): 1 for value in range(10_000)} | {-1.0: 5_000}
    bins = bins_of(counts, 101)
    sizes = np.bincount(bin_of(bins, np.arange(10_000)))
    assert sizes[0] == 0
    assert set(sizes[1:]) == {100}


def test_knots_are_the_first_values_of_bins_and_the_last_of_all():
    counts = {float(value): 1 for value in range(100)}
    assert bins_of(counts, 4).knots.tolist() == [0, 25, 50, 75, 99]
    assert bins_of({0: 1, 3: 1, 7: 2}, 4).knots.tolist() == [0, 3, 7]
    assert bins_of({5: 3}, 4).knots.tolist() == [5]


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308], [0.0, 5e-324], [1.0, math.nextafter(1.0, 2)], [1e300, 1e301]])
def test_neighbours_are_told_apart_whatever_their_distance(values):
    for most in (2, 16):
        assert bin_of(bins_of(dict.fromkeys(values, 3), most), values) == [0, 1]


def test_no_number_at_all_is_one_bin():
    bins = greedy_bins(np.empty(0), np.empty(0, dtype=np.int64), 16)
    assert (bins.edges.tolist(), bins.knots.tolist()) == ([], [])
