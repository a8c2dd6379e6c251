"""Kendall's τ within kinds, and the chance that is told of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from recnas.strategies.within_kinds import agreements

NETWORKS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12)


@given(NETWORKS)
def test_of_a_single_kind_it_is_kendall_s_tau_b_ties_included(networks: list[tuple[int, int]]) -> None:
    values, losses = zip(*networks, strict=True)
    found = agreements(["dnn"] * len(networks), losses, {"proxy": values})["proxy"]
    expected = kendalltau(values, [-loss for loss in losses]).statistic
    assert found.tau == pytest.approx(0 if math.isnan(expected) else expected)
    assert -1 <= found.low <= found.tau <= found.high <= 1


@given(NETWORKS, st.floats(-100, 100), st.floats(-100, 100))
def test_the_level_of_a_kind_says_nothing(networks: list[tuple[int, int]], level: float, loss: float) -> None:
    values, losses = (np.array(item, dtype=float) for item in zip(*networks, strict=True))
    kinds = ["dnn" if place % 2 else "dcnv2" for place in range(len(networks))]
    is_dnn = np.array([kind == "dnn" for kind in kinds])
    found = agreements(kinds, losses, {"proxy": values})
    # Multiples of a half are added without rounding.
    shifted = agreements(kinds, losses + round(loss) * is_dnn, {"proxy": values + round(level) * is_dnn})
    assert shifted == found


def test_an_order_that_chance_gives_seldom_is_told_from_one_that_it_gives() -> None:
    rng = np.random.default_rng(0)
    kinds = ["a"] * 12 + ["b"] * 8
    losses = rng.normal(size=20)
    figures = {"telling": -losses + 0.3 * rng.normal(size=20), "backwards": losses, "noise": rng.normal(size=20)}
    found = agreements(kinds, losses, figures)
    assert found["telling"].tau > 0.5
    assert found["backwards"].tau == -1
    assert found["telling"].chance < 0.005
    assert found["backwards"].chance < 0.005
    assert found["noise"].chance > 0.05
    assert found["noise"].low < 0 < found["noise"].high
    assert (found["noise"].networks, found["noise"].pairs) == (20, 12 * 11 // 2 + 8 * 7 // 2)


def test_of_figures_that_say_nothing_the_best_seldom_looks_as_if_it_did() -> None:
    rng = np.random.default_rng(1)
    kinds = ["a"] * 7 + ["b"] * 5
    fooled = 0
    for _ in range(200):
        noise = rng.normal(size=(6, 12))
        # Two of them are alike, as SiGeo and ZiCo are.
        figures = {str(place): row for place, row in enumerate([*noise, noise[0] + 0.01 * noise[1]])}
        fooled += min(item.chance for item in agreements(kinds, rng.normal(size=12), figures).values()) <= 0.05
    assert 2 <= fooled <= 20


def test_what_is_unknown_is_left_out_and_what_is_constant_orders_nothing() -> None:
    losses = [0.4, 0.5, 0.6, 0.7, math.inf]
    figures = {"some": [4, math.nan, 3, 2, 1], "same": [1] * 5, "none": [math.nan] * 5}
    found = agreements(["a"] * 5, losses, figures)
    assert (found["some"].tau, found["some"].networks, found["some"].pairs) == (1.0, 4, 6)
    assert (found["same"].tau, found["same"].chance, found["same"].pairs) == (0.0, 1.0, 0)
    assert (found["none"].tau, found["none"].chance, found["none"].networks) == (0.0, 1.0, 0)
    # Nothing is of a kind here.
    assert agreements(["a", "b"], [0.4, 0.5], {"some": [1, 2]})["some"].tau == 0
