from __future__ import annotations

import random
from dataclasses import replace

import pytest

from recnas.candidates.evaluation import Evaluation, Result
from recnas.search import EvolutionSettings, RegularizedEvolution
from recnas.space import SPACES, Architecture, SearchSpace, cost
from recnas.strategies.random_search import RandomSearch
from recnas.util.errors import InputError
from tests.strategies.problems import problem_of

SMALL = EvolutionSettings(population=20, iterations=30, tournament=10, children=4)


def evolve(seed: int, settings: EvolutionSettings = SMALL, space: str = "nasrec-small") -> list[Evaluation]:
    evolution = RegularizedEvolution(settings)
    evolution.begin(problem_of(SearchSpace.named(space), random.Random(seed), settings.candidates))
    history: list[Evaluation] = []
    while asked := evolution.ask():
        history += asked
        evolution.tell([Result(item, float(cost.macs(item.candidate.network, 13, 26, 16)), 0.0) for item in asked])
    return history


def test_the_published_settings_score_2048_candidates() -> None:
    assert EvolutionSettings().candidates == 2048


def test_children_get_six_mutations_early_and_one_late() -> None:
    settings = EvolutionSettings()
    assert [settings.mutations(remaining) for remaining in (240, 239, 192, 191, 48, 47, 1)] == [6, 5, 5, 4, 2, 1, 1]


def test_few_iterations_divide_by_twenty() -> None:
    assert EvolutionSettings(iterations=40).mutations(40) == 3


@pytest.mark.parametrize("space", SPACES)
def test_no_candidate_is_proposed_twice_in_any_form(space: str) -> None:
    history = evolve(0, space=space)
    assert len(history) == SMALL.candidates
    assert len({proposal.candidate.network.canonical() for proposal in history}) == len(history)


def test_the_same_seed_gives_the_same_history_and_another_seed_another() -> None:
    assert evolve(1) == evolve(1)
    assert evolve(1) != evolve(2)


def test_every_candidate_is_in_the_space_and_names_its_parent() -> None:
    history = evolve(3)
    space, seen = SearchSpace.named("nasrec-small"), set()
    for proposal in history:
        assert proposal.candidate.network in space
        assert proposal.candidate.network_id == proposal.candidate.network.id
        assert (len(proposal.parents) == 0) == (proposal.iteration == 0)
        assert seen.issuperset(proposal.parents)
        seen.add(proposal.candidate.id)


def test_parents_are_the_best_of_a_tournament_among_the_youngest() -> None:
    history = evolve(4)
    place = {proposal.candidate.id: index for index, proposal in enumerate(history)}
    for index, proposal in enumerate(history):
        if proposal.iteration == 0:
            continue
        born = SMALL.population + (proposal.iteration - 1) * SMALL.children
        parent = place[proposal.parents[0]]
        assert born - SMALL.population <= parent < born <= index


def test_a_tournament_of_everyone_takes_the_best_alive_as_parent() -> None:
    settings = replace(SMALL, tournament=SMALL.population)
    history = evolve(5, settings)
    scores = [cost.macs(proposal.candidate.network, 13, 26, 16) for proposal in history]
    for proposal in history[settings.population :]:
        born = settings.population + (proposal.iteration - 1) * settings.children
        alive = range(born - settings.population, born)
        parent = next(index for index in alive if history[index].candidate.id == proposal.parents[0])
        assert scores[parent] == max(scores[index] for index in alive)


def test_evolution_finds_better_candidates_than_its_first_population() -> None:
    history = evolve(6)
    scores = [cost.macs(proposal.candidate.network, 13, 26, 16) for proposal in history]
    assert max(scores) > 1.3 * max(scores[: SMALL.population])


def test_a_space_with_too_few_candidates_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.strategies.problem.TRIES", 2)
    only = SearchSpace.only(Architecture((SearchSpace.named("nasrec-small").sample(random.Random(0)).blocks[0],)))
    evolution = RegularizedEvolution(replace(SMALL))
    evolution.begin(problem_of(only, random.Random(0), SMALL.candidates))
    with pytest.raises(InputError, match="found only 1 of the 20 distinct candidates"):
        evolution.ask()


def test_a_random_search_takes_as_many_candidates_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recnas.strategies.problem.TRIES", 2)
    only = SearchSpace.only(Architecture((SearchSpace.named("nasrec-small").sample(random.Random(0)).blocks[0],)))
    for search in (RegularizedEvolution(replace(SMALL, iterations=0)), RandomSearch()):
        search.begin(problem_of(only, random.Random(0), SMALL.population))
        (asked,) = search.ask()
        search.tell([Result(asked, 1.0, 0.0)])
        assert search.ask() == []


@pytest.mark.parametrize("values", [{"population": 0}, {"tournament": 200}, {"children": 200}, {"iterations": -1}])
def test_settings_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(InputError):
        EvolutionSettings(**values).check_rounds()


def test_a_tournament_that_nobody_gave_is_the_published_one_or_all_of_a_smaller_population() -> None:
    assert [EvolutionSettings(population=count).drawn for count in (1, 40, 64, 128)] == [1, 40, 64, 64]
