"""Choices of candidates as parameters of Optuna's trials, for every strategy that asks one of its samplers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from recnas.candidates.recipe_choices import Options, Span, rounded
from recnas.space.choices import Choice, Subset

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler


def new_study(sampler: Callable[[], BaseSampler]) -> Study:
    """A study in memory that minimises, and logs nothing.

    Args:
        sampler: Makes its sampler; that what it uses is experimental is not told.
    """
    # Loaded here: it takes a second, and most commands never need it.
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.create_study(sampler=sampler())


def tpe_sampler(seed: int, random_trials: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011) of choices together, by groups that trials share.

    Args:
        seed: Where its choices start.
        random_trials: Trials before its model of what is good has a say.
    """
    import optuna

    return optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=random_trials
    )


def suggested(trial: Any, name: str, choice: Span | Options | Choice) -> Any:
    """A value of a choice, as an Optuna trial proposes it.

    Of a subset each that may be in it is a parameter: as words subsets would be many, and none like another. Where
    there are too few the first ones join them, and of too many the first ones stay.
    """
    if isinstance(choice, Span):
        return rounded(trial.suggest_float(name, choice.least, choice.most, log=True))
    if isinstance(choice, Subset):
        chosen = [item for item in choice.pool if trial.suggest_categorical(f"{name}.{item}", [False, True])]
        others = [item for item in choice.pool if item not in chosen]
        missing = max(0, choice.counts[0] - len(chosen))
        return tuple(sorted([*chosen, *others[:missing]][: choice.counts[-1]]))
    by_word = _by_word(choice)
    return by_word[trial.suggest_categorical(name, list(by_word))]


def optuna_value(choice: Span | Options, value: Any) -> Any:
    """A value as Optuna knows it; of one that is not in the table the nearest."""
    if isinstance(choice, Span):
        return min(max(value or choice.least, choice.least), choice.most)
    if value in choice.values:
        return json.dumps(value)
    numbers = [item for item in choice.values if isinstance(item, int | float) and isinstance(value, int | float)]
    return json.dumps(min(numbers, key=lambda item: abs(item - value)) if numbers else choice.values[0])


@lru_cache(maxsize=1000)
def _by_word(choice: Options | Choice) -> dict[str, Any]:
    """The options by what Optuna calls them: it takes words, and no tuples."""
    return {json.dumps(value): value for value in choice.options()}
