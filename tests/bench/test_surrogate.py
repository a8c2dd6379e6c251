"""What guesses the outcome of candidates that were not trained."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.stats import kendalltau

from recnas.bench.curves import GRID, curve_of
from recnas.bench.forest import Forest
from recnas.bench.surrogate import Surrogate
from recnas.util.errors import InputError
from tests.bench.tables import made_up, space_of

RECIPES = space_of(("deepfm", "dcnv2"), None)


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    return Surrogate(made_up(250, RECIPES))


def test_it_orders_candidates_that_it_has_not_seen(surrogate: Surrogate) -> None:
    others = made_up(400, RECIPES, noise=0.0)
    unseen = [candidate for candidate in others if candidate.id not in surrogate]
    guessed = [surrogate.mean(candidate).test for candidate in unseen]
    true = [others.query(candidate).test.log_loss for candidate in unseen]
    found = float(kendalltau(guessed, true).statistic)
    assert found > 0.6
    assert surrogate.fit.tau == pytest.approx(found, abs=0.12)


def test_of_a_trained_candidate_it_says_what_it_came_to() -> None:
    table = made_up(100, RECIPES, noise=0.0)
    surrogate = Surrogate(table)
    for candidate in table:
        assert surrogate.mean(candidate).test == pytest.approx(table.query(candidate).test.log_loss)


def test_its_noise_is_that_between_seeds(surrogate: Surrogate) -> None:
    candidate, rng = surrogate.space.draw(random.Random(5)), random.Random(0)
    drawn = [surrogate.draw(candidate, rng).validation for _ in range(3000)]
    assert np.std(drawn) == pytest.approx(0.001, rel=0.25)
    assert np.mean(drawn) == pytest.approx(surrogate.mean(candidate).validation, abs=1e-4)


def test_what_is_nothing_but_noise_is_refused() -> None:
    with pytest.raises(InputError, match="judges no search"):
        Surrogate(made_up(60, space_of(), noise=1.0))
    with pytest.raises(InputError, match="too few"):
        Surrogate(made_up(20, space_of()))


def test_a_curve_falls_to_what_the_training_came_to() -> None:
    line = made_up(1, space_of()).frame.iloc[0]
    curve = curve_of(line)
    assert curve.behind == pytest.approx(0.02 * (1 - np.maximum(GRID, 0.05)), abs=1e-6)
    candidate = next(iter(made_up(1, space_of())))
    paused, whole = (curve.training(candidate, fidelity, 1000) for fidelity in (0.2, 1.0))
    assert paused.paused
    assert whole.finished
    assert paused.seconds == pytest.approx(0.2 * whole.seconds)
    assert [epoch.rows for epoch in paused.epochs] == [125, 250, 500, 1000]


def test_a_forest_says_what_its_boosters_say() -> None:
    import lightgbm

    source = np.random.default_rng(0)
    points, targets = source.normal(size=(200, 7)).astype(np.float32), source.normal(size=(3, 200))
    settings = {"num_leaves": 6, "min_data_in_leaf": 3, "verbosity": -1}
    boosters = [lightgbm.train(settings, lightgbm.Dataset(points, target), 20) for target in targets]
    forest = Forest.of(boosters)
    for point in source.normal(size=(50, 7)).astype(np.float32):
        assert forest.predict(point) == pytest.approx([booster.predict(point[None])[0] for booster in boosters])
