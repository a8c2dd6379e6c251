"""Rankings of a study's candidates against plain computations."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from recnas.proxies.registry import PROXIES
from recnas.study.rankings import fitted, normal_scores, scores

DECLARED = {name: proxy.declaration for name, proxy in PROXIES.items()}


def rows(**values: list[float | None]) -> list[dict]:
    count = len(next(iter(values.values())))
    return [
        {"loss": float(place), "values": {"0.1": {name: column[place] for name, column in values.items()}}}
        for place in range(count)
    ]


def test_a_proxy_is_ranked_as_published_and_a_sum_as_it_is_written() -> None:
    candidates = rows(zico=[1.0, 2.0, None], loss=[0.5, 0.25, 0.75])
    assert scores("loss", "0.1", candidates, DECLARED) == [-0.5, -0.25, -0.75]
    assert scores("zico - 2*loss", "0.1", candidates, DECLARED) == [0.0, 1.5, -math.inf]


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=20, unique=True), st.floats(0.001, 1000))
def test_standardised_terms_do_not_depend_on_their_scale(values: list[float], scale: float) -> None:
    # The sum as it is would follow whichever of its terms has the larger numbers.
    others = [float(-place) for place in range(len(values))]
    ours, scaled = (
        scores("standardised zico + fr", "0.1", rows(zico=column, fr=others), DECLARED)
        for column in (values, list(np.argsort(np.argsort(values)) * scale))
    )
    assert ours == pytest.approx(scaled)


def test_normal_scores_are_a_standard_normal_distribution_with_what_is_not_finite_lowest() -> None:
    values = np.array([3.0, math.nan, 1.0, 2.0, math.inf])
    found = normal_scores(values)
    assert list(np.argsort(-found)[:3]) == [0, 3, 2]
    assert found[1] == found[4] == found.min()
    many = normal_scores(np.random.default_rng(0).random(999))
    assert many.mean() == pytest.approx(0, abs=1e-9)
    assert many.std() == pytest.approx(1, abs=0.01)


def test_a_fitted_ranker_finds_what_a_sum_of_proxies_tells_and_nothing_in_noise() -> None:
    rng = random.Random(0)
    hidden = [[rng.gauss(0, 1) for _ in range(80)] for _ in range(2)]
    candidates = rows(zico=hidden[0], fr=hidden[1])
    for place, row in enumerate(candidates):
        row["loss"] = hidden[0][place] - hidden[1][place]
    losses = [row["loss"] for row in candidates]
    assert kendalltau(fitted("0.1", candidates, DECLARED), losses).statistic < -0.8
    assert fitted("0.1", candidates, DECLARED).tolist() == scores("fitted", "0.1", candidates, DECLARED)
    for row in candidates:
        row["loss"] = rng.random()
    assert abs(kendalltau(fitted("0.1", candidates, DECLARED), [row["loss"] for row in candidates]).statistic) < 0.3


def test_no_candidate_is_judged_by_a_ranker_that_knows_its_loss() -> None:
    rng = random.Random(1)
    candidates = rows(zico=[rng.random() for _ in range(20)], fr=[rng.random() for _ in range(20)])
    before = fitted("0.1", candidates, DECLARED)
    # From the worst to the best of all; its fold stays, and the ranker that judges it sees the same others.
    candidates[19]["loss"] = -1.0
    after = fitted("0.1", candidates, DECLARED)
    assert after[19] == before[19]
    assert (after != before).any()


def test_what_has_no_value_is_last_whichever_way_its_term_counts() -> None:
    candidates = rows(jacov=[1.0, 1.0, 1.0, 1.0], short_training=[None, 0.1, 0.2, 0.3])
    found = scores("standardised jacov - short_training", "0.1", candidates, DECLARED)
    assert min(found) == found[0] < found[3] < found[2] < found[1]


def test_a_fitted_ranker_has_no_lean_in_pure_noise() -> None:
    rng = np.random.default_rng(0)
    taus = []
    for _ in range(40):
        candidates = rows(**{name: rng.random(48).tolist() for name in ("zico", "fr", "plain", "jacov", "zen")})
        losses = rng.random(48)
        for row, loss in zip(candidates, losses, strict=True):
            row["loss"] = loss
        taus.append(kendalltau(-fitted("0.1", candidates, DECLARED), losses).statistic)
    assert abs(np.mean(taus)) < 3 * np.std(taus) / 40**0.5
