"""Tuning of families: the own candidate first, nothing twice, the same for the same results."""

from __future__ import annotations

import math
from dataclasses import replace

from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Epoch, Evaluation, Quality, Result, Training
from recnas.candidates.network import Baseline
from recnas.candidates.recipe_choices import RECIPE_CHOICES, Span, value_at
from recnas.strategies.tuning import FamilyTuning


def loss_of(candidate: Candidate) -> float:
    """Lowest at a rate of 1e-3 and a penalty of 1e-4."""
    optimization = candidate.recipe.optimization
    penalty = optimization.embedding_penalty or 1e-9
    return (abs(math.log(optimization.learning_rate / 1e-3)) + abs(math.log(penalty / 1e-4))) / 100


def result_of(evaluation: Evaluation, diverged: bool = False) -> Result:
    quality = Quality(loss_of(evaluation.candidate), 0.5)
    epochs = () if diverged else (Epoch(0.1, 1, 10, 0.5, quality, 1.0),)
    return Result.of_training(evaluation, Training(epochs, not diverged, "nan" if diverged else None, 1.0, 10))


def tuned(seed: int, trials: int, fails: int = 0) -> list[Evaluation]:
    strategy = FamilyTuning([own_candidate("deepfm"), own_candidate("dcnv2")], trials, seed)
    asked: list[Evaluation] = []
    while evaluations := strategy.ask():
        strategy.tell([result_of(item, diverged=len(asked) + place < fails) for place, item in enumerate(evaluations)])
        asked += evaluations
    return asked


def test_each_family_has_its_trials_and_begins_with_its_own_candidate() -> None:
    asked = [item.candidate for item in tuned(0, trials=9)]
    assert asked[:2] == [own_candidate("deepfm"), own_candidate("dcnv2")]
    for name in ("deepfm", "dcnv2"):
        assert sum(item.network_id == name for item in asked) == 9
    assert len({item.id for item in asked}) == len(asked)


def test_what_is_chosen_is_in_the_table() -> None:
    for evaluation in tuned(1, trials=8)[2:]:
        for place, choice in RECIPE_CHOICES.items():
            value = value_at(evaluation.candidate, place)
            if isinstance(choice, Span):
                assert choice.least * 0.99 <= value <= choice.most * 1.01
            else:
                assert value in choice.values


def test_the_same_results_give_the_same_questions() -> None:
    assert tuned(3, trials=8) == tuned(3, trials=8)
    assert tuned(3, trials=8) != tuned(4, trials=8)


def test_it_learns_where_losses_are_low() -> None:
    asked = [loss_of(item.candidate) for item in tuned(5, trials=40)]
    assert sum(asked[-20:]) / 20 < sum(asked[2:22]) / 20


def test_trials_that_diverge_are_trials() -> None:
    assert len(tuned(6, trials=6, fails=9)) == 12


def test_it_ends_when_time_is_up() -> None:
    strategy = FamilyTuning([own_candidate("deepfm")], None, 0, lambda results: len(results) < 5)
    count = 0
    while evaluations := strategy.ask():
        strategy.tell([result_of(item) for item in evaluations])
        count += len(evaluations)
    assert count == 5


def test_what_is_fixed_stays_as_the_own_candidate_has_it() -> None:
    own = own_candidate("deepfm")
    strategy = FamilyTuning([own], 12, 0, fixed=["inputs.numbers"])
    while evaluations := strategy.ask():
        assert all(item.candidate.inputs.numbers == own.inputs.numbers for item in evaluations)
        strategy.tell([result_of(item) for item in evaluations])


def test_choices_of_a_users_own_family_are_tuned_as_others_are() -> None:
    name, usual, other = "rivals:Wide", (64,), (128, 64)
    own = replace(own_candidate("deepfm"), network=Baseline(name))
    strategy = FamilyTuning([own], 12, 0, choices={name: {"hidden": (usual, other)}})
    found = []
    while evaluations := strategy.ask():
        found += [item.candidate.network.choices for item in evaluations]
        strategy.tell([result_of(item) for item in evaluations])
    # What is usual is not told, as of any family.
    assert found[0] == ()
    assert set(found) == {(), (("hidden", other),)}


def test_a_candidate_off_the_table_is_trained_as_it_is() -> None:
    own = own_candidate("deepfm")
    own = replace(own, recipe=replace(own.recipe, dropout=0.17))
    assert FamilyTuning([own], 3, 0).ask() == [Evaluation(own, 1.0)]
