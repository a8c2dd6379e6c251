"""Networks as a user has them without a search: many seeds of one, or Optuna over the best families."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import optuna

from benchmarks.outcome.models import Trained, best_and_ensemble, drop, labels_of, mixed, predict, settings_of, train
from benchmarks.outcome.results import ENSEMBLE, SINGLE, Clock, Outcome, Task
from recnas.candidates.candidate import Candidate
from recnas.candidates.defaults import own_candidate
from recnas.candidates.evaluation import Training
from recnas.candidates.families import FAMILIES
from recnas.candidates.network import Baseline
from recnas.candidates.recipe_choices import NUMBERS, RECIPE_CHOICES, Options, value_at, with_choices
from recnas.data import Dataset
from recnas.strategies.tuning import optuna_value, suggested

MANY = "dcnv2"
"""The family of which there are many seeds."""
TUNED = ("dcnv2", "deepfm", "finalnet")
"""The families that are tuned: the best ones of the project's own comparisons."""
RANDOM_TRIALS = 8
"""Trials before TPE has a say, each family's own candidate among them."""
FIRST_SHARE = 0.4
"""Of a training, after which it is compared with others at the same place."""
FAMILY, FAILED = "family", optuna.trial.TrialState.FAIL
LATE = 1.05
"""By when a training must end to count, in parts of the time."""


def seeds(task: Task) -> Outcome:
    """The mean of default DCN-V2 with as many seeds as there is time for; the first one alone."""
    clock, found = Clock(task.seconds), []
    candidate = own_candidate(MANY)
    while not found or clock.spent / len(found) <= clock.left:
        settings = settings_of(task, f"seed-{len(found)}", 1000 * task.seed + len(found))
        train(settings, candidate)
        found.append(predict(settings, candidate))
        drop(settings, candidate)
    mean = mixed([(item, 1 / len(found)) for item in found])
    return Outcome({SINGLE: found[0], ENSEMBLE: mean}, clock.spent, {"seeds": len(found)})


def tpe(task: Task) -> Outcome:
    """One study over three families, their choices, inputs and recipes, with the ensemble that a search selects.

    A training that is worse after its first part than the median of the others ends there. Where one would end too
    late, the study ends.
    """
    clock, settings = Clock(task.seconds), settings_of(task, "run", task.seed)
    study = _Study(task)
    found: list[Trained] = []
    log: list[dict[str, Any]] = []
    while not found or clock.left > 0:
        trial, candidate = study.ask()
        begun = clock.spent
        training = train(settings, candidate, FIRST_SHARE)
        taken = clock.spent - begun
        ends = clock.spent + taken * (1 - FIRST_SHARE) / FIRST_SHARE
        if found and training.paused and ends > LATE * task.seconds:
            break
        if training.paused and not study.is_hopeless(trial, training.lowest.validation.log_loss):
            training = train(settings, candidate)
        study.tell(trial, training)
        if training.finished:
            predictions = predict(settings, candidate)
            found.append(Trained(predictions.validation, partial(np.asarray, predictions.test)))
        drop(settings, candidate)
        loss = training.lowest.validation.log_loss if training.lowest else None
        log.append({"candidate": candidate.to_json(), "log_loss": loss, "finished": training.finished})
    models = best_and_ensemble(found, labels_of(task.data)["validation"], task.seed)
    return Outcome(models, clock.spent, {"trials": log})


class _Study:
    """Optuna's, over candidates of several families.

    Args:
        task: Its data set and seed.
    """

    def __init__(self, task: Task) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=task.seed, multivariate=True, group=True, n_startup_trials=RANDOM_TRIALS
            )
        # A family's own candidate is compared with those of the others before it, but none ends early.
        pruner = optuna.pruners.MedianPruner(n_startup_trials=len(TUNED))
        self._study = optuna.create_study(sampler=sampler, pruner=pruner)
        has_numbers = bool(Dataset(task.data).own_schema.dense)
        self._shared = {place: item for place, item in RECIPE_CHOICES.items() if has_numbers or place != NUMBERS}
        for name in TUNED:
            own = own_candidate(name)
            values = {place: optuna_value(item, value_at(own, place)) for place, item in self._shared.items()}
            chosen = own.network.all_choices
            own_values = {f"{name}.{key}": optuna_value(item, chosen[key]) for key, item in _choices(name).items()}
            self._study.enqueue_trial({FAMILY: name} | values | own_values)

    def ask(self) -> tuple[optuna.Trial, Candidate]:
        """A trial, and what it trains."""
        trial = self._study.ask()
        name = trial.suggest_categorical(FAMILY, TUNED)
        shared = {place: suggested(trial, place, item) for place, item in self._shared.items()}
        chosen = {key: suggested(trial, f"{name}.{key}", item) for key, item in _choices(name).items()}
        own = own_candidate(name)
        return trial, with_choices(Candidate(Baseline(name, chosen), own.recipe, own.inputs), shared)

    def is_hopeless(self, trial: optuna.Trial, log_loss: float) -> bool:
        """Whether a trial is worse after its first part than others were."""
        trial.report(log_loss, step=1)
        return trial.should_prune()

    def tell(self, trial: optuna.Trial, training: Training) -> None:
        """What a trial came to."""
        if training.finished:
            self._study.tell(trial, training.best.validation.log_loss)
        else:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED if training.paused else FAILED)


def _choices(name: str) -> dict[str, Options]:
    """Those of a family's own."""
    return {key: Options(values) for key, values in FAMILIES[name].choices.items()}
