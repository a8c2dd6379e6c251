"""Every setting of a search, in one value: read from presets and flags, written to a run's `config.yaml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeVar

from recnas.candidates.limits import LimitSettings
from recnas.candidates.recipe import Optimization
from recnas.nn.baselines import TITLES
from recnas.nn.sharding import Sharding
from recnas.proxies.expression import USUAL, Ranking
from recnas.space import SearchSpace
from recnas.strategies.evolution import EvolutionSettings
from recnas.train.amount import Amount
from recnas.util.errors import InputError
from recnas.util.plain_values import from_plain, known_only, to_plain

MOST_WORKERS = 10_000


@dataclass(frozen=True)
class WarmupSettings:
    """The supernet's training before the search.

    Attributes:
        amount: Share of the training rows up to 1, number of epochs above; 0 for none. None for what the ranking asks
            for: none where it looks at no trained weights, otherwise the published 1 %.
        optimization: How it learns.
        full_path_steps: Steps over which the chance of training the full path falls from 1 to 0.
        paths: Random candidates within the limits whose mean gradient makes a step.
        max_rows_per_table: Cap on embedding tables during the search.
        probe_candidates: Random candidates whose inherited quality is measured at 0, 1, 10 and 100 %; 0 for none.
        probe_rows: Validation rows they are measured on.
    """

    amount: float | None = None
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
    full_path_steps: int = 0
    paths: int = 1
    max_rows_per_table: int = 500_000
    probe_candidates: int = 100
    probe_rows: int = 2_000

    def __post_init__(self) -> None:
        if self.amount is not None:
            Amount(self.amount)
        at_least(self, full_path_steps=0, paths=1, max_rows_per_table=2, probe_candidates=0, probe_rows=2)


@dataclass(frozen=True)
class ProxySettings:
    """How a candidate is scored.

    Attributes:
        score: What it is ranked by: `sigeo`, a proxy's name, or a weighted sum such as `zico + 0.5*fr - loss`; after
            `|`, what the best of them are ranked by once more. See `Ranking.parse`.
        shortlist: How many of the best are looked at once more.
        batches: N, the training batches that gradients are taken on.
        batch_size: Rows of each.
        tune_steps: Of fine-tuning the last layer, for `one_shot`.
        tune_batch_size: Rows of each.
        tune_validation_rows: Rows that `one_shot` measures the log loss on.
        short_training_rows: Training rows of the short training from scratch, for `short_training`.
        short_training_batch_size: Rows of a step of it.
    """

    score: str = USUAL
    shortlist: int = 64
    batches: int = 4
    batch_size: int = 512
    tune_steps: int = 500
    tune_batch_size: int = 512
    tune_validation_rows: int = 10_000
    short_training_rows: int = 8_192
    short_training_batch_size: int = 64

    def __post_init__(self) -> None:
        Ranking.parse(self.score)
        at_least(self, shortlist=1, batches=2, batch_size=1, tune_steps=0, tune_batch_size=1, tune_validation_rows=1)
        at_least(self, short_training_rows=1, short_training_batch_size=1)


Kind = TypeVar("Kind", bound="Settings")

FINALISTS = ("full", "halving")
"""How the finalists may be trained."""
STRATEGIES = ("evolution", "random")
"""How candidates may be proposed."""


@dataclass(frozen=True)
class FinalSettings:
    """Training from scratch of the finalists and the hand-made models.

    Attributes:
        top_k: Best distinct candidates of the whole search that are trained; 0 for hand-made models without a search.
        strategy: `full` trains every finalist to the end; `halving` drops the worse half of them at growing shares of
            the training.
        first_share: With `halving`, the share of the training after which the first are dropped; it doubles from then
            on.
        epochs: Passes over the training rows; the epoch that is best on validation counts.
        optimization: How models learn.
        other_learning_rates: The best finalist and every hand-made model are trained with these too, and the best on
            validation counts.
        baselines: Hand-made models to train beside the finalists, by their names in `recnas.nn.baselines`.
    """

    top_k: int = 15
    strategy: str = "full"
    first_share: float = 0.25
    epochs: int = 1
    optimization: Optimization = field(
        default_factory=lambda: Optimization(
            learning_rate=0.1,
            batch_size=256,
            eps=1e-2,
            embedding_rate=1.0,
            embedding_eps=1e-4,
        )
    )
    other_learning_rates: tuple[float, ...] = ()
    baselines: tuple[str, ...] = ("dlrm",)

    def __post_init__(self) -> None:
        at_least(self, top_k=0, epochs=1)
        if self.top_k == 0 and not self.baselines:
            raise InputError("neither candidates (top_k) nor baselines are to be trained")
        if self.strategy not in FINALISTS:
            raise InputError(f"strategy is {self.strategy!r}; --finalists takes {' or '.join(FINALISTS)}")
        if not 0 < self.first_share < 1:
            raise InputError(f"first_share is {self.first_share:g}; it must be above 0 and below 1")
        if any(not rate > 0 for rate in self.other_learning_rates):
            raise InputError(f"other_learning_rates are {list(self.other_learning_rates)}; they must be above 0")
        if unknown := [name for name in self.baselines if name not in TITLES]:
            raise InputError(f"no baseline is named {unknown[0]!r}; known are {', '.join(TITLES)}")


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

    Attributes:
        command: What it is the settings of.
        code_flags: Settings that may name code of a user's own, as dotted names; see `confirmation`.
        data: The data set's folder.
        run: The run's folder.
        space: `nasrec-small`, `nasrec-full` or `nasrec-cross`.
        strategy: `evolution`, or `random` for as many random candidates. None for evolution where there is one look and
            random where a second one follows: by the first look alone, evolution ends at extremes (docs/ranking.md).
        seed: Where all random choices start.
        workers: Processes that score candidates and train finalists; with 1, which is the default here, as many
            candidates are scored side by side in this one as there are cores. The history does not depend on it.
        ray: The Ray cluster that does the work instead, `local` for one on this machine; `workers` is then the number
            of its actors, none for one a CPU. See docs/cluster.md.
        checkpoint_seconds: Between two writes of a training's state, to go on from with `--resume`.
        sharding: How tables may be split among the processes that `torchrun` starts; see `Sharding`.
        warmup: See `WarmupSettings`.
        proxy: See `ProxySettings`.
        evolution: See `EvolutionSettings`.
        limits: See `LimitSettings`.
        final: See `FinalSettings`.
    """

    command: ClassVar[str] = "search"
    code_flags: ClassVar[Mapping[str, CodeFlag]] = {
        "space": CodeFlag("--space", "search space"),
        "proxy.score": CodeFlag("--proxy", "ranking"),
        "final.baselines": CodeFlag("--baselines", "baseline"),
    }

    data: str = ""
    run: str = ""
    space: str = "nasrec-small"
    strategy: str | None = None
    seed: int = 0
    workers: int | None = None
    ray: str | None = None
    checkpoint_seconds: float = 120.0
    sharding: Sharding = field(default_factory=Sharding)
    warmup: WarmupSettings = field(default_factory=WarmupSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    final: FinalSettings = field(default_factory=FinalSettings)

    def __post_init__(self) -> None:
        SearchSpace.named(self.space)
        if self.strategy not in (None, *STRATEGIES):
            raise InputError(f"strategy is {self.strategy!r}; --strategy takes {' or '.join(STRATEGIES)}")
        at_least(self, seed=0, checkpoint_seconds=0)
        if self.workers is not None:
            at_least(self, workers=1)
            if self.workers > MOST_WORKERS:
                raise InputError(f"workers is {self.workers}; it must be {MOST_WORKERS} or less")
        if self.command == "search" and self.searches and self.evolves:
            # What nobody asks for in a random search need not fit.
            self.evolution.check_rounds()
        if self.command == "search" and self.ranking.second is not None and self.proxy.shortlist < self.final.top_k:
            raise InputError(
                f"a shortlist of {self.proxy.shortlist} cannot give {self.final.top_k} finalists; raise --shortlist or "
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
        """What candidates are ranked by."""
        return Ranking.parse(self.proxy.score, self.warmup_amount)

    @property
    def evolves(self) -> bool:
        """Whether candidates are proposed by evolution."""
        return self.ranking.second is None if self.strategy is None else self.strategy == "evolution"

    @property
    def warmup_amount(self) -> float:
        """The amount of warm-up: the one given, or what the ranking asks for."""
        given = self.warmup.amount
        return Ranking.parse(self.proxy.score).warmup if given is None else given

    @property
    def warms_up(self) -> bool:
        """Whether a supernet is trained before the search."""
        return self.searches and self.ranking.inherits and self.warmup_amount > 0

    @property
    def searches(self) -> bool:
        """Whether the run searches at all, or trains hand-made models alone."""
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
        return from_plain(cls, known_only(cls, values), source)


def at_least(settings: Any, **least: int) -> None:
    """Checks lower bounds of settings, by their names.

    Raises:
        InputError: One is below its bound.
    """
    for name, bound in least.items():
        # What is not a number is not above either.
        if not getattr(settings, name) >= bound:
            raise InputError(f"{name} is {getattr(settings, name)}; it must be {bound} or more")
