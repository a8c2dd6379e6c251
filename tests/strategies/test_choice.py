"""Which results are the best."""

from __future__ import annotations

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.recipe import Optimization, Recipe
from recnas.strategies.choice import best_of


def test_of_a_network_with_several_recipes_the_best_is_chosen_once(sample) -> None:
    first, second, third = sample("nasrec-small", 3)
    scored = [(first, 1, 0.5), (first, 2, 0.9), (second, 1, 0.7), (third, 1, 0.1), (first, 3, 0.8)]
    results = [
        Result(Evaluation(Candidate(arch, Recipe(Optimization(0.1, 100), epochs))), score, 0.0)
        for arch, epochs, score in scored
    ]
    chosen = best_of(results, 2, lambda result: (-result.score,))
    assert [(result.candidate.network, result.score) for result in chosen] == [(first, 0.9), (second, 0.7)]
