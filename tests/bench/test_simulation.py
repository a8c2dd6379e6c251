"""Searches whose trainings are looked up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recnas.bench.comparison import critical_difference, standings
from recnas.bench.simulation import Simulation, loss_at
from recnas.bench.surrogate import Surrogate
from recnas.candidates.evaluation import Result
from recnas.strategies.portfolio import UNIFORM, Portfolio
from tests.bench.tables import made_up, space_of


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    table = made_up(200, space_of(("deepfm", "dcnv2"), None))
    return Simulation(table, Surrogate(table))


def uniform() -> Portfolio:
    return Portfolio([], [UNIFORM], refines=False, with_proxies=False)


def test_simulated_seconds_are_those_of_the_trainings(simulation: Simulation) -> None:
    moments = simulation.search(uniform(), 300.0, seed=1)
    seconds = [moment.seconds for moment in moments]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < 20
    assert seconds[-1] <= 300
    # At ten seconds each, of which the worse are stopped before their end.
    assert moments[-1].trainings <= 40
    assert loss_at(moments, 0.0, 9.0) == 9.0
    assert loss_at(moments, 300.0, 9.0) == moments[-1].loss


def test_the_same_seed_gives_the_same_search_and_another_gives_another(simulation: Simulation) -> None:
    first, again, other = (simulation.search(uniform(), 200.0, seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_four_workers_find_as_much_in_less_time(simulation: Simulation) -> None:
    alone, together = (simulation.search(uniform(), 200.0, 2, workers) for workers in (1, 4))
    assert loss_at(together, 100.0, 9.0) <= loss_at(alone, 200.0, 9.0)
    assert together[0].seconds <= alone[0].seconds


def test_ranks_and_differences_are_those_of_the_textbook() -> None:
    # Demšar 2006, section 3.2.2: four classifiers on fourteen data sets have a critical difference of 1.25.
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), rel=1e-3)
    regrets = np.array([[0.1, 0.2, 0.3, 0.1], [0.3, 0.4, 0.5, 0.3], [0.1, 0.1, 0.1, 0.1]])
    best, middle, worst = standings(["a", "b", "c"], regrets, "b")
    assert (best.strategy, middle.strategy, worst.strategy) == ("c", "a", "b")
    assert best.rank == pytest.approx((1.5 + 1 + 1 + 1.5) / 4)
    assert worst.p is None
    assert best.of_random == pytest.approx(0.1 / 0.375)


def test_a_training_that_goes_on_counts_what_it_took_until_it_paused(simulation: Simulation) -> None:
    told: dict[str, list[Result]] = {}

    class Listening(Portfolio):
        def tell(self, results: Sequence[Result]) -> None:
            for result in results:
                told.setdefault(result.candidate.id, []).append(result)
            super().tell(results)

    simulation.search(Listening([], [UNIFORM], refines=False, with_proxies=False), 200.0, seed=1)
    resumed = [results for results in told.values() if len(results) > 1]
    assert resumed
    for results in resumed:
        assert all(result.seconds == result.training.seconds for result in results)
        assert [result.seconds for result in results] == sorted({result.seconds for result in results})
