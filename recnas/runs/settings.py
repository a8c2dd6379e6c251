"""Every setting of a search, in one value: read from presets and flags, written to a run's `config.yaml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

from recnas.candidates.defaults import DEFAULT_INPUTS
from recnas.candidates.families import FAMILIES, TREES, USUAL_FAMILIES, USUAL_TREES, find_family
from recnas.candidates.limits import COSTS, LimitSettings
from recnas.candidates.recipe import Optimization
from recnas.features.inputs import Inputs
from recnas.nn.sharding import Sharding
from recnas.proxies.expression import NONE, USUAL, USUAL_WARMUP, Ranking
from recnas.proxies.precision import PRECISIONS
from recnas.runs.final_settings import FinalSettings
from recnas.space import SPACES, check_space_name
from recnas.strategies.evolution import EvolutionSettings
from recnas.strategies.registry import check_strategy_name, strategies
from recnas.train.amount import Amount
from recnas.util.durations import Limit, limit_of
from recnas.util.errors import InputError
from recnas.util.plain_values import from_plain, known_only, to_plain, with_present_names
from recnas.util.setting import at_least, group, setting
from recnas.util.user_code import is_user_code

MOST_WORKERS, MOST_USUAL_WORKERS = 10_000, 16
"""Processes on a machine, at most: of those that are asked for, and where nothing is said of them."""


@dataclass(frozen=True)
class WarmupSettings:
    """The supernet's training before the search.

    The inherited quality of the probe's random candidates shows what the warm-up is good for.
    """

    amount: float | None = setting(
        None,
        flag="--warmup",
        help="supernet warm-up: share of the training rows up to 1, above it epochs; none: as the ranking asks, "
        f"{USUAL_WARMUP} where it uses trained weights, otherwise 0",
    )
    optimization: Optimization = field(
        default_factory=lambda: Optimization(
            learning_rate=0.2,
            batch_size=128,
            eps=1e-8,
            embedding_rate=1.0,
            embedding_eps=1e-8,
            fan_in_scale=16,
            clip=0.3,
        )
    )
    full_path_steps: int = setting(
        0,
        flag="--full-path-steps",
        help="steps over which the chance of training the full path falls from 1 to 0",
    )
    paths: int = setting(1, help="random candidates within the limits whose mean gradient makes a step")
    max_rows_per_table: int = setting(
        500_000, flag="--max-rows-per-table", help="cap on embedding tables during the search"
    )
    probe_candidates: int = setting(
        100,
        flag="--probe-candidates",
        help="random candidates measured at 0, 1, 10 and 100 % of the warm-up; 0: none",
    )
    probe_rows: int = setting(2_000, flag="--probe-rows", help="validation rows they are measured on")

    def __post_init__(self) -> None:
        if self.amount is not None:
            Amount(self.amount)
        at_least(self, full_path_steps=0, paths=1, max_rows_per_table=2, probe_candidates=0, probe_rows=2)
        if self.optimization.optimizer != "adagrad":
            raise InputError(f"optimizer is {self.optimization.optimizer}; a supernet's slices learn by adagrad")


@dataclass(frozen=True)
class ProxySettings:
    """How a candidate is scored; for `score`, see `Ranking.parse`."""

    score: str = setting(
        USUAL,
        flag="--proxy",
        help="what candidates are ranked by: sigeo, a proxy's name, or a weighted sum such as 'zico + 0.5*fr - loss'; "
        "after | what the best of them are ranked by once more; module:function is a proxy of your own, none is no "
        "ranking",
    )
    rerank: int = setting(
        64, flag="--rerank", former_name="shortlist", help="best candidates that are ranked once more"
    )
    batches: int = setting(4, help="training batches that a candidate's gradients are taken on")
    batch_size: int = setting(512, help="rows of each")
    precision: str = setting(
        "fp32",
        help=f"what these gradients are computed in, of {', '.join(PRECISIONS)}; bf16 is less exact, and faster on "
        "processors that multiply bfloat16",
    )
    tune_steps: int = setting(
        500, flag="--tune-steps", help="steps of fine-tuning the last layer, for the proxy one_shot"
    )
    tune_batch_size: int = setting(512, flag="--tune-batch-size", help="rows of each")
    tune_validation_rows: int = setting(
        10_000, flag="--tune-validation-rows", help="validation rows that one_shot measures on"
    )
    short_training_rows: int = setting(
        8_192,
        flag="--short-training-rows",
        help="training rows of the short training from scratch, for the proxy short_training",
        former_name="brief_rows",
    )
    short_training_batch_size: int = setting(
        64, flag="--short-training-batch-size", help="rows of a step of it", former_name="brief_batch_size"
    )

    def __post_init__(self) -> None:
        Ranking.parse(self.score)
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is {self.precision!r}; it must be one of {', '.join(PRECISIONS)}")
        at_least(self, rerank=1, batches=2, batch_size=1, tune_steps=0, tune_batch_size=1, tune_validation_rows=1)
        at_least(self, short_training_rows=1, short_training_batch_size=1)


Kind = TypeVar("Kind", bound="Settings")

RANKED_SPACE, TRAINED_SPACE = "nasrec-small", "nasrec-cross"
"""The search spaces of blocks that are taken where none is named: where candidates are ranked, and where trained."""
EVOLUTION, RANDOM, PORTFOLIO = "evolution", "random", "portfolio"
"""The strategies that are taken where none is named."""
USUAL_BUDGET = "10m"
"""Of a search that trains its candidates."""


@dataclass(frozen=True)
class CodeFlag:
    """Of a setting that may name code of a user's own.

    Attributes:
        flag: Gives it on the command line.
        what: Runs that code, for messages.
    """

    flag: str
    what: str


@dataclass(frozen=True)
class Settings:
    """Every setting of a search.

    Where nothing is said of a ranking, candidates are trained: see `recnas.strategies.portfolio`. By a cheap ranking
    alone, evolution ends at extremes (docs/ranking.md), so candidates are random by default where a second stage
    follows. With a budget in evaluations the history does not depend on `workers`.

    Attributes:
        command: What it is the settings of.
        code_flags: Settings that may name code of a user's own, as dotted names; see `confirmation`.
        free_to_change: Settings that a run may be resumed with other values of.
        data: The data set's folder.
        run: The run's folder.
        strategy_trains: Of a strategy of the user's own, whether it trains candidates, as its class says; None: it was
            not asked yet. It is written down when a run begins, so that the run is looked at without its code.
    """

    command: ClassVar[str] = "search"
    code_flags: ClassVar[Mapping[str, CodeFlag]] = {
        "space": CodeFlag("--space", "search space"),
        "strategy": CodeFlag("--strategy", "strategy"),
        "proxy.score": CodeFlag("--proxy", "ranking"),
        "evolution.objectives": CodeFlag("--objectives", "objective"),
        "final.baselines": CodeFlag("--baselines", "baseline"),
    }
    # A resumed run may have more workers, write more often, or be somewhere else.
    free_to_change: ClassVar[frozenset[str]] = frozenset(
        ("data", "run", "workers", "ray", "checkpoint_seconds", "sharding")
    )

    data: str = ""
    run: str = ""
    strategy_trains: bool | None = None
    budget: str | None = setting(
        None,
        help="how much a search that trains candidates may take: time, such as 10m or 1h30m, or so many candidates, "
        f"such as 40c; none: {USUAL_BUDGET}",
    )
    space: str | None = setting(
        None,
        help=f"search space: {', '.join(SPACES)}; module:function gives one of your own; a search that trains its "
        f"candidates takes families of baselines, too, several with commas: {', '.join((*FAMILIES, *TREES))}; none: "
        f"{RANKED_SPACE}, or all families of networks and {TRAINED_SPACE}",
    )
    with_trees: bool | None = setting(
        None,
        help=f"whether {USUAL_TREES} is among the candidates of a search that trains them; none: where no space is "
        "named, no limit on latency or parameters, which of trees are known too late, and no cost among the objectives",
    )
    strategy: str | None = setting(
        None,
        help=f"what proposes candidates: {', '.join(strategies())}, or module:Class for one of your own; none: "
        f"{PORTFOLIO}, which trains candidates from a portfolio of good ones on; or, where flags of ranking, warm-up, "
        "evolution or finalists say that candidates are to be ranked, random if a second stage of the ranking follows, "
        "else evolution",
    )
    portfolio: str | None = setting(
        None, help="the candidates that a search begins with, a file of `recnas portfolio`; none: those of recnas"
    )
    seed: int = setting(0, help="where all random choices start")
    workers: int | None = setting(
        None,
        help="processes that score and train candidates; 1: this one, which scores one a core; none: one a core, up to "
        f"{MOST_USUAL_WORKERS}, where the command line begins a search that trains its candidates, one a core in a "
        "study, one for each CPU of the cluster with --ray, otherwise this one",
    )
    ray: str | None = setting(
        None,
        help="a Ray cluster that does the work: local for one on this machine, auto for the one that this machine is "
        "part of, or HOST:PORT of its head; none: no cluster",
    )
    train_rows: int | None = setting(
        None,
        flag="--train-rows",
        help="training rows that are learned from, about, drawn at random in groups of 65,536; none: all, but of a log "
        "that is too large for a budget in time as many as it has time for",
    )
    checkpoint_seconds: float = setting(
        120.0, help="seconds between two writes of a training's state, for --resume; more where that takes long"
    )
    inputs: Inputs = field(default_factory=lambda: DEFAULT_INPUTS, metadata=group("inputs"))
    sharding: Sharding = field(default_factory=Sharding, metadata=group("embedding tables on several processes"))
    warmup: WarmupSettings = field(default_factory=WarmupSettings, metadata=group("warm-up of the supernet", "warmup-"))
    proxy: ProxySettings = field(default_factory=ProxySettings, metadata=group("ranking without training", "proxy-"))
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings, metadata=group("candidates by evolution"))
    limits: LimitSettings = field(default_factory=LimitSettings, metadata=group("limits"))
    final: FinalSettings = field(default_factory=FinalSettings, metadata=group("final training"))

    def __post_init__(self) -> None:
        may_train = self.trains or self.is_undecided
        for name in self.spaces:
            if not (may_train and find_family(name)):
                check_space_name(name)
        blocks = [name for name in self.spaces if not find_family(name)]
        if len(blocks) > 1 or (len(self.spaces) > 1 and not may_train):
            raise InputError(f"space is {self.space}; one of blocks is searched, not {' and '.join(blocks)}")
        if self.strategy is not None:
            check_strategy_name(self.strategy)
        if self.strategy is not None and self._explorer_trains and self._is_ranking(several_objectives=False):
            raise InputError(
                f"{self.strategy} trains its candidates: leave what is said of ranking, warm-up, evolution and "
                "finalists out, or choose another --strategy"
            )
        self._check_objectives(may_train)
        if self.with_trees and not may_train:
            raise InputError(f"--with-trees is of a search that trains its candidates; {self.explorer} ranks them")
        if self.budget is not None and not may_train:
            raise InputError(f"--budget is of a search that trains its candidates; {self.explorer} ranks them")
        _ = self.limit  # checks it
        at_least(self, seed=0, checkpoint_seconds=0)
        if self.train_rows is not None:
            at_least(self, train_rows=1)
        if self.workers is not None:
            at_least(self, workers=1)
            if self.workers > MOST_WORKERS:
                raise InputError(f"workers is {self.workers}; it must be {MOST_WORKERS} or less")
        if self.command == "search" and self.searches and self.explorer == EVOLUTION:
            # What nobody asks for in a random search need not fit.
            self.evolution.check_rounds()
        if self.command == "search" and self.ranking.second is not None and self.proxy.rerank < self.final.top_k:
            raise InputError(
                f"{self.proxy.rerank} re-ranked candidates cannot give {self.final.top_k} finalists; raise --rerank or "
                "lower --top-k"
            )

    @property
    def processes(self) -> int:
        """Processes that do the work on this machine; 1: this one."""
        return self.workers or 1

    @property
    def as_seen_by_workers(self) -> Self:
        """These settings where workers may have another working directory: with `ray`, folders have absolute paths."""
        if self.ray is None:
            return self
        return replace(self, data=os.path.abspath(self.data), run=os.path.abspath(self.run))

    @property
    def ranking(self) -> Ranking:
        """What candidates are ranked by; nothing where they are trained."""
        given = self.warmup.amount
        return Ranking.parse(NONE if self.trains else self.proxy.score, USUAL_WARMUP if given is None else given)

    @property
    def explorer(self) -> str:
        """The name of the strategy that proposes candidates."""
        if self.strategy is not None:
            return self.strategy
        if not self.ranks:
            return PORTFOLIO
        return EVOLUTION if Ranking.parse(self.proxy.score).second is None else RANDOM

    @property
    def ranks(self) -> bool:
        """Whether something is said of ranking candidates: of proxies, warm-up, evolution or finalists.

        Several objectives are those of evolution where no strategy is named.
        """
        return self._is_ranking(several_objectives=True)

    def _is_ranking(self, several_objectives: bool) -> bool:
        """See `ranks`.

        Args:
            several_objectives: Whether these count.
        """
        said, usual = self.final, FinalSettings()
        evolution = self.evolution
        if not several_objectives:
            evolution = replace(evolution, objectives=EvolutionSettings().objectives)
        finalists = ("top_k", "strategy", "first_share", "other_learning_rates")
        return (
            self.warmup != WarmupSettings()
            or self.proxy != ProxySettings()
            or evolution != EvolutionSettings()
            or any(getattr(said, name) != getattr(usual, name) for name in finalists)
        )

    def _check_objectives(self, may_train: bool) -> None:
        """Raises InputError if the strategy does not look at the objectives, or its candidates do not have them."""
        said = ",".join(self.evolution.objectives)
        if own := [] if may_train else self.evolution.own_objectives:
            raise InputError(f"the objective {own[0]} is of trained candidates, and {self.explorer} ranks them")
        if len(self.evolution.objectives) == 1 or not may_train:
            return
        known = strategies().get(self.explorer)
        if known is not None and not known.weighs_objectives:
            several = " or ".join(name for name, cls in strategies().items() if cls.trains and cls.weighs_objectives)
            raise InputError(f"--objectives {said} is not what {self.explorer} looks for; --strategy {several} does")
        if self._costs_of_networks and (trees := [name for name in self.families if name in TREES]):
            raise InputError(
                f"--objectives {said} is of networks, and {trees[0]} is trees, which multiply nothing; leave it out"
            )

    @property
    def _costs_of_networks(self) -> set[str]:
        """The costs among the objectives, which trees do not have, or not before they are grown."""
        return set(COSTS).intersection(self.evolution.objectives)

    @property
    def trains(self) -> bool:
        """Whether candidates are trained by the strategy itself, not ranked."""
        return self._proposes and self._explorer_trains

    @property
    def is_undecided(self) -> bool:
        """Whether a strategy of the user's own was not asked yet whether it trains."""
        return self._proposes and is_user_code(self.explorer) and self.strategy_trains is None

    @property
    def _proposes(self) -> bool:
        """Whether a strategy proposes candidates."""
        return self.command == Settings.command and self.searches

    @property
    def _explorer_trains(self) -> bool:
        known = strategies().get(self.explorer)
        return bool(self.strategy_trains) if known is None else known.trains

    @property
    def counts_candidates(self) -> bool:
        """Whether a search trains its candidates and has a budget of so many."""
        return self.trains and self.limit.candidates is not None

    @property
    def limit(self) -> Limit:
        """The budget of a search that trains its candidates."""
        return limit_of(budget_of(self.budget))

    @property
    def spaces(self) -> tuple[str, ...]:
        """What is named as the space: of blocks, or families."""
        return () if self.space is None else tuple(dict.fromkeys(name.strip() for name in self.space.split(",")))

    @property
    def families(self) -> tuple[str, ...]:
        """The families of baselines that are searched: where no space is named, the usual ones."""
        if not self.trains:
            return ()
        named = [name for name in self.spaces if find_family(name)] if self.spaces else list(USUAL_FAMILIES)
        known_late = self._costs_of_networks.union({"latency", "parameters"}.intersection(self.limits.bounds))
        if self.with_trees or (self.with_trees is None and not self.spaces and not known_late):
            named.append(USUAL_TREES)
        return tuple(dict.fromkeys(named))

    @property
    def block_space(self) -> str | None:
        """The name of the search space of blocks; None where families alone are searched."""
        if not self.spaces:
            return TRAINED_SPACE if self.trains else RANKED_SPACE
        return next((name for name in self.spaces if not find_family(name)), None)

    @property
    def warmup_amount(self) -> float:
        """The amount of warm-up: the one given, or what the ranking asks for, whose proxies are then imported."""
        given = self.warmup.amount
        return self.ranking.warmup if given is None else given

    @property
    def warms_up(self) -> bool:
        """Whether a supernet is trained before the search; the ranking's proxies are imported."""
        return self.searches and self.ranking.inherits and self.warmup_amount > 0

    @property
    def searches(self) -> bool:
        """Whether the run searches at all, or trains baselines alone."""
        return self.final.top_k > 0

    def to_mapping(self) -> dict[str, Any]:
        """Nested plain values, as written to `config.yaml`."""
        return to_plain(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], source: str = "settings") -> Self:
        """Reads nested plain values; what is missing keeps its default.

        Raises:
            InputError: A key is unknown, or a value has the wrong type or range.
        """
        return from_plain(cls, values, source)

    @classmethod
    def known_in(cls, values: Mapping[str, Any], source: str) -> Self:
        """Reads those nested plain values that this version knows, as a run of another version may have others.

        Raises:
            InputError: A value has the wrong type or range.
        """
        return from_plain(cls, known_only(cls, with_present_names(cls, values, source)), source)


def budget_of(said: str | None) -> str:
    """The budget of a search that trains its candidates: what is said, or the usual one."""
    return said or USUAL_BUDGET
