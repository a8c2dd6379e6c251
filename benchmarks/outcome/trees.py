"""LightGBM and CatBoost as somebody uses them who knows them: tuned by Optuna, in a time.

Three fifths of the time are for trials: first settings that are known to be good, then those that TPE proposes. Trees
are added while they help on validation; a trial ends after a quarter of the time, or when its loss after so many
seconds is above the median of the earlier trials'. What is left of the time goes to the best setting once more, with
more trees, or, if it had all that are of use, with a smaller learning rate, which is almost always a little better; and
to more trials if these end early. All that was not given up may be in the ensemble.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import catboost
import lightgbm
import numpy as np
import optuna
import pandas as pd

from benchmarks.outcome.matrix import Matrices, read_matrices
from benchmarks.outcome.models import Trained, best_and_ensemble
from benchmarks.outcome.results import Clock, Outcome, Task
from recnas.features.schema import SPLITS

FOR_TRIALS, FOR_ONE = 0.6, 0.25
"""Shares of the time: for all trials before the best is grown once more, for one."""
ENOUGH = 0.97
"""Of the time, after which no trial begins."""
PATIENCE = 60
"""Trees after the best number of them that may be of no use."""
SLOWER = 4.0
"""How much smaller the learning rate is in the end, at most."""
MOST_TREES = 10_000
MOMENTS = 60
"""Into how many moments the time of a trial is divided, after each of which it is compared with others."""
RANDOM_TRIALS = 8
"""Trials before TPE has a say."""
PRUNER = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=MOMENTS // 6)
RARE = (1, 3, 10)
"""Below how many training rows categories are one."""

Settings = dict[str, Any]
AfterRound = Callable[[int, float], bool]
"""Given the number of trees and the validation log loss, says whether to go on."""
Grown = Callable[[str, int], np.ndarray]
"""Gives the logits of a split's rows by the first so many trees."""

LIGHTGBM: Settings = {
    "num_leaves": 255,
    "learning_rate": 0.1,
    "min_child_samples": 100,
    "feature_fraction": 0.4,
    "bagging_fraction": 1.0,
    "lambda_l2": 1.0,
    "cat_smooth": 10.0,
    "cat_l2": 50.0,
    "min_data_per_group": 100,
    "max_cat_threshold": 128,
    "rare": 1,
}
LIGHTGBM_COMMON: Settings = {
    "objective": "binary",
    "metric": "binary_logloss",
    "num_threads": 1,
    "force_col_wise": True,
    "bagging_freq": 1,
    # Bins are made once for all settings.
    "feature_pre_filter": False,
    "verbosity": -1,
}
CATBOOST: Settings = {
    "depth": 8,
    "learning_rate": 0.1,
    "l2_leaf_reg": 3.0,
    "max_ctr_complexity": 2,
    "one_hot_max_size": 32,
    "random_strength": 1.0,
    "bagging_temperature": 1.0,
}


class Library(Protocol):
    """A library of gradient-boosted trees.

    Attributes:
        known: Settings that are good on many tables, the best first.
    """

    known: Sequence[Settings]

    def suggest(self, trial: optuna.Trial) -> Settings:
        """The settings of a trial, as Optuna proposes them."""

    def grow(self, settings: Settings, seed: int, after_round: AfterRound) -> Grown:
        """Grows trees until `after_round` says no; it is called after every tree."""


@dataclass
class Growing:
    """Looks at a training as it grows.

    Attributes:
        clock: The training's own.
        is_hopeless: Told the best loss so far after each moment, says whether to give up.
        moment: Seconds of a moment.
        losses: Validation log loss by number of trees.
        seconds: By number of trees.
        is_given_up: Whether it ended so.
    """

    clock: Clock
    is_hopeless: Callable[[int, float], bool] = lambda moment, loss: False
    moment: float = math.inf
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    is_given_up: bool = False

    def after_round(self, trees: int, loss: float) -> bool:
        """Whether to go on."""
        before = self._moments
        self.losses.append(float(loss))
        self.seconds.append(self.clock.spent)
        if self.clock.left <= 0 or self.had_enough or not np.isfinite(loss):
            return False
        self.is_given_up = self._moments != before and self.is_hopeless(self._moments, self.loss)
        return not self.is_given_up

    @property
    def had_enough(self) -> bool:
        """Whether no more trees are of use."""
        return len(self.losses) - self.trees >= PATIENCE

    @property
    def _moments(self) -> int:
        return int(self.seconds[-1] / self.moment) if self.seconds else 0

    @property
    def trees(self) -> int:
        """The best number of them."""
        return int(np.argmin(self.losses)) + 1

    @property
    def loss(self) -> float:
        """The best."""
        return min(self.losses)


def tuned_lightgbm(task: Task) -> Outcome:
    """LightGBM."""
    return _tuned(LightGBM, task)


def tuned_catboost(task: Task) -> Outcome:
    """CatBoost."""
    return _tuned(CatBoost, task)


def _tuned(library: Callable[[Matrices], Library], task: Task) -> Outcome:
    """Tunes a library's trees in a time."""
    tuning = _Tuning(library, task)
    tuning.try_others(until=FOR_TRIALS * task.seconds)
    tuning.refine()
    tuning.try_others(until=ENOUGH * task.seconds)
    return tuning.outcome()


class _Tuning:
    """Tries settings.

    Args:
        library: What grows trees.
        task: On which data, and in which time, which begins now.
    """

    def __init__(self, library: Callable[[Matrices], Library], task: Task) -> None:
        self._task, self._clock = task, Clock(task.seconds)
        self._matrices = read_matrices(task.data)
        self._library = library(self._matrices)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=task.seed, multivariate=True, n_startup_trials=RANDOM_TRIALS)
        self._study = optuna.create_study(sampler=sampler, pruner=PRUNER)
        for settings in self._library.known:
            self._study.enqueue_trial(settings)
        self._found: list[Trained] = []
        self._log: list[dict[str, Any]] = []
        self._best: tuple[Settings, Growing] | None = None

    def try_others(self, until: float) -> None:
        """Makes trials until so many seconds are spent; the first one always."""
        while self._best is None or self._clock.spent < until:
            trial = self._study.ask()
            settings = self._library.suggest(trial)

            def is_hopeless(moment: int, loss: float, trial: optuna.Trial = trial) -> bool:
                trial.report(loss, moment)
                return trial.should_prune()

            most = FOR_ONE * self._task.seconds
            growing = Growing(Clock(min(most, until - self._clock.spent)), is_hopeless, most / MOMENTS)
            self._grow(settings, growing)
            if growing.is_given_up:
                self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                self._study.tell(trial, growing.loss)

    def refine(self) -> None:
        """Grows trees by the best settings once more, if there is time for more of them or for smaller steps."""
        settings, growing = self._best
        # Predictions take time, too.
        left = 0.9 * self._clock.left
        longer = left / growing.seconds[-1]
        if longer > 1:
            slower = min(SLOWER, longer) if growing.had_enough else 1
            settings = settings | {"learning_rate": settings["learning_rate"] / slower}
            self._grow(settings, Growing(Clock(left)))

    def outcome(self) -> Outcome:
        """What it came to."""
        models = best_and_ensemble(self._found, self._matrices.labels["validation"], self._task.seed)
        return Outcome(models, self._clock.spent, {"best": self._best[0], "trials": self._log})

    def _grow(self, settings: Settings, growing: Growing) -> None:
        grown = self._library.grow(settings, self._task.seed, growing.after_round)
        trees, loss = growing.trees, growing.loss
        if not growing.is_given_up:
            self._found.append(Trained(grown("validation", trees), partial(grown, "test", trees)))
        if self._best is None or loss < self._best[1].loss:
            self._best = settings, growing
        self._log.append({"settings": settings, "log_loss": loss, "trees": trees, "seconds": growing.seconds[-1]})


class LightGBM:
    """See `Library`. Ids are categories, which it splits itself.

    Args:
        matrices: What trees are grown of.
    """

    # What matters most hangs on the data: below how many rows of a leaf a category is not split.
    known = (
        LIGHTGBM,
        LIGHTGBM | {"cat_smooth": 200.0},
        LIGHTGBM | {"cat_smooth": 10.0, "num_leaves": 31},
        LIGHTGBM | {"cat_smooth": 200.0, "num_leaves": 31},
        LIGHTGBM | {"cat_smooth": 50.0, "num_leaves": 63},
    )

    def __init__(self, matrices: Matrices) -> None:
        self._matrices = matrices
        self._binned: dict[int, tuple[lightgbm.Dataset, lightgbm.Dataset]] = {}

    def suggest(self, trial: optuna.Trial) -> Settings:
        """See `Library`."""
        return {
            "num_leaves": trial.suggest_int("num_leaves", 7, 1023, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.05, 0.2, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 500, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 30.0, log=True),
            "cat_smooth": trial.suggest_float("cat_smooth", 1.0, 2000.0, log=True),
            "cat_l2": trial.suggest_float("cat_l2", 1.0, 200.0, log=True),
            "min_data_per_group": trial.suggest_int("min_data_per_group", 5, 500, log=True),
            "max_cat_threshold": trial.suggest_int("max_cat_threshold", 16, 512, log=True),
            "rare": trial.suggest_categorical("rare", RARE),
        }

    def grow(self, settings: Settings, seed: int, after_round: AfterRound) -> Grown:
        """See `Library`."""
        parameters = LIGHTGBM_COMMON | {"seed": seed} | settings
        least = parameters.pop("rare")
        train, validation = self._of(least)
        booster = lightgbm.Booster(parameters, train).add_valid(validation, "validation")
        has_ended = False
        for trees in range(1, MOST_TREES + 1):
            has_ended = booster.update()
            ((_, _, loss, _),) = booster.eval_valid()
            if not after_round(trees, loss) or has_ended:
                break

        def logits(split: str, trees: int) -> np.ndarray:
            rows = self._matrices.without_rare(least).rows[split]
            return booster.predict(rows, num_iteration=trees, raw_score=True, num_threads=1)

        return logits

    def _of(self, least: int) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
        """Rows in bins, without categories of fewer training rows than `least`."""
        if least not in self._binned:
            matrices = self._matrices.without_rare(least)
            train = lightgbm.Dataset(
                matrices.rows["train"],
                matrices.labels["train"],
                feature_name=matrices.names,
                categorical_feature=matrices.categories,
                params=LIGHTGBM_COMMON,
            ).construct()
            validation = lightgbm.Dataset(
                matrices.rows["validation"], matrices.labels["validation"], reference=train, params=LIGHTGBM_COMMON
            ).construct()
            self._binned[least] = train, validation
        return self._binned[least]


class CatBoost:
    """See `Library`. Ids, and combinations of them, become statistics of the rows before a row.

    Args:
        matrices: What trees are grown of.
    """

    known = (
        CATBOOST,
        CATBOOST | {"depth": 6, "max_ctr_complexity": 1},
        CATBOOST | {"max_ctr_complexity": 3, "l2_leaf_reg": 10.0},
    )

    def __init__(self, matrices: Matrices) -> None:
        self._pools = {
            split: catboost.Pool(
                _frame(matrices, split), matrices.labels[split], cat_features=matrices.categories, thread_count=1
            )
            for split in SPLITS
        }

    def suggest(self, trial: optuna.Trial) -> Settings:
        """See `Library`."""
        return {
            "depth": trial.suggest_int("depth", 4, 10),
            "learning_rate": trial.suggest_float("learning_rate", 0.05, 0.3, log=True),
            "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 1.0, 30.0, log=True),
            "max_ctr_complexity": trial.suggest_int("max_ctr_complexity", 1, 4),
            "one_hot_max_size": trial.suggest_categorical("one_hot_max_size", [2, 8, 32, 128]),
            "random_strength": trial.suggest_float("random_strength", 0.0, 3.0),
            "bagging_temperature": trial.suggest_float("bagging_temperature", 0.0, 3.0),
        }

    def grow(self, settings: Settings, seed: int, after_round: AfterRound) -> Grown:
        """See `Library`."""
        model = catboost.CatBoost(
            {
                "loss_function": "Logloss",
                "iterations": MOST_TREES,
                "use_best_model": False,
                "random_seed": seed,
                "thread_count": 1,
                "allow_writing_files": False,
                "logging_level": "Silent",
                **settings,
            }
        )
        model.fit(self._pools["train"], eval_set=self._pools["validation"], callbacks=[_AfterRound(after_round)])

        def logits(split: str, trees: int) -> np.ndarray:
            pool = self._pools[split]
            return model.predict(pool, prediction_type="RawFormulaVal", ntree_end=trees, thread_count=1)

        return logits


class _AfterRound:
    """What CatBoost calls after each tree."""

    def __init__(self, after_round: AfterRound) -> None:
        self._after_round = after_round

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on."""
        return self._after_round(info.iteration, info.metrics["validation"]["Logloss"][-1])


def _frame(matrices: Matrices, split: str) -> pd.DataFrame:
    """Rows as CatBoost takes them: categories are whole numbers."""
    frame = pd.DataFrame(matrices.rows[split], columns=matrices.names)
    return frame.astype({matrices.names[place]: np.int32 for place in matrices.categories})
