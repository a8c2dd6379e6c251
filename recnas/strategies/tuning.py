"""Tuning: each family of baselines is searched over its choices, inputs and recipe by the TPE of Optuna."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.candidates.families import Choice, find_family
from recnas.candidates.network import Baseline
from recnas.candidates.recipe_choices import (
    NETWORK,
    Options,
    Span,
    choices_of,
    value_at,
    with_choices,
)
from recnas.strategies.base import Strategy
from recnas.strategies.optuna_choices import new_study, optuna_value, suggested, tpe_sampler

AT_ONCE = 2
"""Trials of a family that are asked for together; the same whatever the number of workers."""
RANDOM_TRIALS = 6
"""Trials of a family before its model of what is good has a say, its own candidate among them."""
MOST_REPEATS = 20
"""Draws in a row of candidates that were tried before, after which a family has nothing more to try."""


class FamilyTuning(Strategy):
    """Tunes families side by side: each begins with its own candidate, then TPE (Bergstra et al. 2011) proposes.

    Args:
        families: The candidate that each family begins with.
        trials: Trainings of each family at most; None: as many as `goes_on` allows.
        seed: Where the samplers' choices start.
        goes_on: Asked before each round, with the results so far, whether there is time for one.
        fixed: Places of `RECIPE_CHOICES` that stay as each family's own candidate has them.
        choices: Those of families of a user's own, by their names, as in `Family`.
    """

    def __init__(
        self,
        families: Sequence[Candidate],
        trials: int | None,
        seed: int,
        goes_on: Callable[[Sequence[Result]], bool] = lambda results: True,
        fixed: Collection[str] = (),
        choices: Mapping[str, Mapping[str, tuple[Choice, ...]]] | None = None,
    ) -> None:
        self._families = [
            _Family(candidate, trials, seed + place, _table(candidate, fixed, choices or {}))
            for place, candidate in enumerate(families)
        ]
        self._goes_on = goes_on
        self._results: list[Result] = []
        self._asked: list[tuple[_Family, Any, Evaluation]] = []

    def ask(self) -> list[Evaluation]:
        """The next trials of every family that has some left; nothing when none has, or time is up."""
        if self._results and not self._goes_on(self._results):
            return []
        self._asked = [
            (family, trial, Evaluation(candidate, 1.0))
            for family in self._families
            for trial, candidate in family.ask()
        ]
        return [evaluation for _, _, evaluation in self._asked]

    def tell(self, results: Sequence[Result]) -> None:
        """What the trials came to."""
        for (family, trial, _), result in zip(self._asked, results, strict=True):
            family.tell(trial, result)
        self._results.extend(results)


class _Family:
    """One family's trials.

    Args:
        own: The candidate that it begins with.
        trials: At most so many; None for no bound.
        seed: The sampler's.
        table: What is chosen, by its place.
    """

    def __init__(self, own: Candidate, trials: int | None, seed: int, table: Mapping[str, Span | Options]) -> None:
        import optuna

        self._study = new_study(lambda: tpe_sampler(seed, RANDOM_TRIALS))
        self._failed = optuna.trial.TrialState.FAIL
        self._own, self._trials, self._table, self._tried = own, trials, table, set[str]()
        self._study.enqueue_trial({name: optuna_value(choice, self._value(name)) for name, choice in table.items()})

    def ask(self) -> list[tuple[Any, Candidate]]:
        """Trials with their candidates, none of which was tried before."""
        found: list[tuple[Any, Candidate]] = []
        # The own candidate comes alone, so that all others may learn from it.
        wanted = AT_ONCE if self._tried else 1
        repeats = 0
        while len(found) < wanted and repeats < MOST_REPEATS:
            if self._trials is not None and len(self._tried) >= self._trials:
                break
            trial = self._study.ask()
            candidate = self._candidate({name: suggested(trial, name, item) for name, item in self._table.items()})
            if candidate.id in self._tried:
                self._study.tell(trial, state=self._failed)
                repeats += 1
                continue
            self._tried.add(candidate.id)
            found.append((trial, candidate))
        return found

    def tell(self, trial: Any, result: Result) -> None:
        """What a trial came to."""
        if result.training.validation is None or result.training.diverged is not None:
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, result.training.validation.log_loss)

    def _candidate(self, chosen: Mapping[str, Any]) -> Candidate:
        if not self._tried:
            # As it is, though one of its values may lie between those of the table.
            return self._own
        network = self._own.network
        own = {name.removeprefix(NETWORK): value for name, value in chosen.items() if name.startswith(NETWORK)}
        if own:
            # Those of a user's own are not known to `Baseline`, which leaves out the usual ones of others.
            network = Baseline(network.name, {key: value for key, value in own.items() if value != self._usual(key)})
        others = {name: value for name, value in chosen.items() if not name.startswith(NETWORK)}
        return with_choices(Candidate(network, self._own.recipe, self._own.inputs), others)

    def _usual(self, key: str) -> Choice:
        """The default value of a choice of the family's own."""
        return self._table[NETWORK + key].values[0]

    def _value(self, place: str) -> Any:
        """What the own candidate has in a place."""
        if place.startswith(NETWORK):
            key = place.removeprefix(NETWORK)
            return dict(self._own.network.choices).get(key, self._usual(key))
        return value_at(self._own, place)


def _table(
    candidate: Candidate, fixed: Collection[str], choices: Mapping[str, Mapping[str, tuple[Choice, ...]]]
) -> dict[str, Span | Options]:
    """What tuning chooses of a family: its own choices, then those of the recipe and the inputs."""
    assert isinstance(candidate.network, Baseline), f"{candidate.id} is of no family"
    family = find_family(name := candidate.network.name)
    own = choices.get(name, {}) if family is None else family.choices
    table = choices_of(own, of_trees=candidate.recipe is None)
    return {place: item for place, item in table.items() if place not in fixed}
