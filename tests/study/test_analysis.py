from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from recnas.study import analysis
from recnas.study.analysis import TOP, Bootstrap, judge, noise_ceiling, random_regret

# Few values, so that there are ties.
PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=12)
LOSSES = st.lists(st.floats(0.1, 1.0), min_size=2, max_size=9)


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "RESAMPLES", 200)
        yield


def same(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.filterwarnings("ignore:An input array is constant")
@given(PAIRS)
def test_tau_and_rho_are_scipys_ties_included(pairs):
    ours, truth = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    bootstrap = Bootstrap(len(pairs), seed=0)
    assert same(bootstrap.tau(ours, truth).value, kendalltau(ours, truth).statistic)
    assert same(bootstrap.rho(ours, truth).value, spearmanr(ours, truth).statistic)


@settings(max_examples=10)
@given(PAIRS)
def test_a_samples_tau_is_that_of_its_distinct_pairs_as_often_as_it_has_them(pairs):
    ours, truth = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    bootstrap = Bootstrap(len(pairs), seed=1)
    _, samples = bootstrap.taus(ours, truth)
    drawn = bootstrap.samples[0]
    agreeing = ours_untied = truth_untied = 0.0
    for a, b in combinations(drawn, 2):
        x, y = np.sign(ours[a] - ours[b]), np.sign(truth[a] - truth[b])
        agreeing, ours_untied, truth_untied = agreeing + x * y, ours_untied + x * x, truth_untied + y * y
    expected = agreeing / math.sqrt(ours_untied * truth_untied) if ours_untied * truth_untied else math.nan
    assert same(float(samples[0]), expected)


def test_the_same_seed_draws_the_same_intervals_and_another_seed_others():
    rng = np.random.default_rng(0)
    ours, truth = rng.normal(size=(2, 30))
    first, again, other = (Bootstrap(30, seed).tau(ours, truth) for seed in (1, 1, 2))
    assert first == again
    assert (first.value, first.low) != (other.value, other.low)


def test_an_interval_holds_its_value_and_narrows_with_more_candidates():
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 200):
        truth = rng.normal(size=count)
        ours = truth + rng.normal(size=count)
        bootstrap = Bootstrap(count, seed=0)
        for estimate in (bootstrap.tau(ours, truth), bootstrap.rho(ours, truth)):
            assert estimate.low < estimate.value < estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 2


def test_a_perfect_ranking_has_tau_1_and_no_regret_and_its_opposite_the_most():
    losses = [0.5, 0.7, 0.6, 0.9, 0.8, 0.55]
    bootstrap = Bootstrap(len(losses), seed=0)
    perfect = judge([-loss for loss in losses], losses, bootstrap)
    assert vars(perfect.tau) == {"value": 1, "low": 1, "high": 1}
    assert perfect.rho.value == pytest.approx(1)
    assert perfect.regret == (0, 0, None)
    opposite = judge(losses, losses, bootstrap)
    assert opposite.tau.value == -1
    assert opposite.regret[:2] == (pytest.approx(0.4), pytest.approx(0.05))


def test_what_has_no_finite_score_is_ranked_last_and_tied():
    losses = [0.5, 0.6, 0.7, 0.8, 0.9]
    bootstrap = Bootstrap(5, seed=0)
    # However large scores are: a number less 1 may be the same number.
    scores = [3e20, 2e20, 1e20, math.nan, math.inf]
    agreement = judge(scores, losses, bootstrap)
    assert agreement.ranked == 3
    assert agreement.tau.value == pytest.approx(kendalltau([4, 3, 2, 1, 1], [-loss for loss in losses]).statistic)
    assert agreement.regret[0] == 0


def test_a_ranking_without_any_order_has_no_tau():
    bootstrap = Bootstrap(6, seed=0)
    nothing = judge([math.nan] * 6, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0], bootstrap)
    assert (nothing.ranked, nothing.regret) == (0, (None, None, None))
    assert math.isnan(nothing.tau.value)
    assert math.isnan(nothing.rho.value)
    assert math.isnan(nothing.tau.low)
    tied = judge([1.0] * 6, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0], bootstrap)
    assert tied.ranked == 6
    assert math.isnan(tied.tau.value)


@given(LOSSES)
def test_the_regret_of_a_blind_choice_is_the_mean_over_all_choices(losses):
    for top, regret in zip(TOP, random_regret(losses), strict=True):
        if top >= len(losses):
            assert regret is None
            continue
        lowest = [min(chosen) for chosen in combinations(losses, top)]
        assert regret == pytest.approx(np.mean(lowest) - min(losses), abs=1e-12)


def test_the_noise_ceiling_is_the_mean_tau_of_two_seeds():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=10) + 0.5 * rng.normal(size=(3, 10))
    bootstrap = Bootstrap(10, seed=0)
    expected = np.mean([kendalltau(losses[a], losses[b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))])
    ceiling = noise_ceiling(losses, bootstrap)
    assert ceiling.value == pytest.approx(expected)
    assert ceiling.low < ceiling.value < ceiling.high
    assert noise_ceiling(losses[:1], bootstrap) is None
