"""The settings of a run's end: how finalists and baselines are trained, and how much baselines are tuned."""

from __future__ import annotations

from dataclasses import dataclass, field

from recnas.candidates.defaults import DEFAULT_RECIPE
from recnas.candidates.families import FAMILIES, TREES, check_family_name
from recnas.candidates.recipe import Optimization, Recipe
from recnas.strategies.registry import TRAINING, strategies
from recnas.util.durations import seconds_of
from recnas.util.errors import InputError
from recnas.util.setting import at_least, setting

OWN, LIKE_FINALISTS = "own", "like-finalists"
"""How baselines may be trained."""


@dataclass(frozen=True)
class TuningSettings:
    """How much baselines are tuned: each family is searched over its choices, inputs and recipe.

    Without trials and without a budget there is no tuning: each is trained as `FinalSettings.baseline_recipes` says.
    """

    trials: int | None = setting(
        None, flag="--tune", help="trainings of each baseline, of which the best on validation counts; none: no tuning"
    )
    budget: str | None = setting(
        None,
        flag="--tune-budget",
        help="time for tuning all baselines, such as 10m or 1h30m, after which no trial begins; none: no bound",
    )

    def __post_init__(self) -> None:
        if self.trials is not None:
            at_least(self, trials=1)
        _ = self.seconds  # checks it

    @property
    def wanted(self) -> bool:
        """Whether there is any."""
        return self.trials is not None or self.budget is not None

    @property
    def seconds(self) -> float | None:
        """The budget; None for no bound."""
        return None if self.budget is None else seconds_of(self.budget)


@dataclass(frozen=True)
class FinalSettings:
    """Training from scratch of the finalists and the baselines; without finalists there is no search.

    With `halving`, the share of the training after which candidates are dropped doubles from `first_share` on.
    """

    top_k: int = setting(15, help="best distinct candidates of the whole search that are trained from scratch")
    strategy: str = setting(
        "full",
        flag="--finalists",
        help="full: train each to the end; halving: drop the worse half at growing shares of the training",
    )
    first_share: float = setting(0.25, help="share of the training after which halving drops the first half")
    epochs: int = setting(
        DEFAULT_RECIPE.epochs, help="passes over the training rows, at most; what is best on validation counts"
    )
    optimization: Optimization = field(default_factory=lambda: DEFAULT_RECIPE.optimization)
    evaluations: int = setting(
        DEFAULT_RECIPE.evaluations, help="measurements on validation a pass, of which the best one's weights are kept"
    )
    patience: int | None = setting(
        DEFAULT_RECIPE.patience,
        help="measurements in succession no better than the best after which a training ends; none: never",
    )
    dropout: float | None = setting(
        DEFAULT_RECIPE.dropout, help="share of a layer's outputs left out at a step; none: the network's own"
    )
    embedding_dim: int = setting(DEFAULT_RECIPE.embedding_dim, help="columns of the embeddings, a multiple of four")
    embedding_std: float | None = setting(
        DEFAULT_RECIPE.embedding_std, help="standard deviation of embeddings at the start; none: Xavier's"
    )
    other_learning_rates: tuple[float, ...] = setting(
        (),
        help="learning rates that are tried too for the best finalist and each baseline; the best on validation counts",
    )
    baselines: tuple[str, ...] = setting(
        (),
        help=f"baselines to train beside the finalists: {', '.join(FAMILIES)}; {' and '.join(TREES)} (CatBoost "
        "needs the extra recnas[catboost]); module:Class is one of your own",
    )
    tuning: TuningSettings = field(default_factory=TuningSettings)
    ensemble: int = setting(
        8,
        help="members, at most, of the ensemble that is selected of all trained models by validation rows; 1: none",
    )
    baseline_learning_rates: tuple[float, ...] = setting(
        (), help="learning rates that each baseline is trained with in the place of its own recipe's; the best counts"
    )
    baseline_recipes: str = setting(
        OWN,
        help=f"how baselines are trained: {OWN}, each by its family's own recipe and inputs but for what flags say, or "
        f"{LIKE_FINALISTS}",
    )

    def __post_init__(self) -> None:
        at_least(self, top_k=0, ensemble=1)
        _ = self.recipe  # checks its own
        if self.baseline_recipes not in (OWN, LIKE_FINALISTS):
            raise InputError(f"baseline_recipes is {self.baseline_recipes!r}; it is {OWN} or {LIKE_FINALISTS}")
        if self.tuning.wanted and len(self.baseline_learning_rates) > 1:
            raise InputError("tuning chooses learning rates; give one to begin with in --learning-rates, or none")
        if self.top_k == 0 and not self.baselines:
            raise InputError("neither candidates (top_k) nor baselines are to be trained")
        if self.strategy not in (names := strategies(TRAINING)):
            raise InputError(f"strategy is {self.strategy!r}; --finalists takes {' or '.join(names)}")
        if not 0 < self.first_share < 1:
            raise InputError(f"first_share is {self.first_share:g}; it must be above 0 and below 1")
        if any(not rate > 0 for rate in self.other_learning_rates):
            raise InputError(f"other_learning_rates are {list(self.other_learning_rates)}; they must be above 0")
        for name in self.baselines:
            check_family_name(name)

    @property
    def recipe(self) -> Recipe:
        """How models are trained, unless something else is said of one."""
        return Recipe(
            self.optimization,
            self.epochs,
            self.evaluations,
            self.patience,
            self.dropout,
            self.embedding_dim,
            self.embedding_std,
        )
