"""Do other batches, no tables, or a warm-up of several paths a step make proxies of inherited weights rank better?

    python -m benchmarks.variants runs/rivals/flights/random-*      # as `python -m benchmarks.rivals` leaves them

The truth is the validation log loss of random candidates that were trained in full: those of `recnas search --strategy
random --proxy none` on one data set, with the same settings but for the seed. Their architectures are scored with what
they inherit

- after a warm-up of one random path a step, of any size or within the limits that the candidates were drawn with; of
  four or eight such paths a step, whose mean gradient makes one update (in the spirit of FairNAS, Chu et al. 2021); and
  by the sandwich rule (Yu et al. 2020): the full path, the smallest candidate and two random ones;
- on four batches of 512 rows, as published; on 16 of them; on four of 2,048; and on four of 512 without the tables.

Prints the seconds of each warm-up and Kendall's τ of each proxy with that truth, with 95 % intervals over the
candidates, as Markdown; and first, for comparison, that of the stages that `recnas search` takes by default at fresh
weights, and of the candidates' size.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from recnas.candidates.network import SEARCHED
from recnas.nn.model import Supernet, default_device, sizes
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.declaration import Proxy
from recnas.proxies.expression import SECOND_STAGE, SIGEO, Expression
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.registry import PROXIES
from recnas.runs.folder import holds_search, is_finished
from recnas.runs.reader import read_run
from recnas.runs.results import read_results
from recnas.runs.settings import Settings
from recnas.runs.status import settings_in
from recnas.search.feeding import open_data
from recnas.search.scoring import (
    build_learner,
    build_scoring_context,
    build_supernet,
    read_proxy_batches,
    stage_seed,
)
from recnas.space import Architecture, cost
from recnas.strategies.evolution import EvolutionSettings
from recnas.study.analysis import Bootstrap, Estimate, judge
from recnas.study.text import interval, signed
from recnas.train.amount import Amount
from recnas.train.warmup import PathLearner, warm_up
from recnas.util.errors import InputError, RunError
from recnas.util.files import write_text

RANKINGS = ("zico", "zico_mean", "fr", "loss", SIGEO)
FRESH = ("jacov", "short_training", "parameters", "macs")
"""Rankings by fresh weights, and by size."""
HEADER = ("warm-up", "paths a step", "batches", "median loss", *RANKINGS, "seconds a candidate", "of the warm-up")
PUBLISHED = (4, 512)
"""Batches and their rows."""
OTHER_BATCHES = ((16, 512), (4, 2048))


@dataclass(frozen=True)
class Truth:
    """What is known of candidates that were trained in full.

    Attributes:
        settings: Of the first of their runs.
        losses: Validation log loss by architecture.
    """

    settings: Settings
    losses: Mapping[Architecture, float]


def read_truth(runs: Sequence[Path]) -> Truth:
    """Reads finished random searches.

    Raises:
        InputError: One has not ended, ranked its candidates, or differs from the first in more than its seed.
    """

    def alike(settings: Settings) -> Settings:
        final = replace(settings.final, top_k=1)
        return replace(settings, run="", seed=0, workers=1, evolution=EvolutionSettings(), final=final)

    if strange := [run for run in runs if not (holds_search(run) and is_finished(run))]:
        raise InputError(f"{strange[0]} is no search that has ended")
    losses: dict[Architecture, float] = {}
    first = settings_in(runs[0], Settings)
    rate = first.final.optimization.learning_rate
    for run in runs:
        settings = settings_in(run, Settings)
        if settings.ranking.names:
            raise InputError(f"{run} ranked its candidates; those that it trained are not random ones")
        if alike(settings) != alike(first):
            raise InputError(f"{run} differs from {runs[0]} in more than its seed")
        drawn = {item.id: item.architecture for item in read_run(run).history}
        for model in read_results(run)["models"]:
            tried = {item["learning_rate"]: item["log_loss"] for item in model.get("learning_rates", ())}
            if model["kind"] == SEARCHED and tried.get(rate) is not None:
                losses.setdefault(Architecture.from_json(drawn[model["id"]]), tried[rate])
    return Truth(first, losses)


class Sandwich(PathLearner):
    """Every step trains the full path and the smallest candidate beside the random ones."""

    @cached_property
    def extremes(self) -> list[Architecture]:
        """The full path and the smallest candidate."""
        space = self.supernet.network.space
        return [space.full_path(), space.smallest(lambda arch: cost.macs(arch, *sizes(self.supernet.schema)))]

    def next_paths(self) -> list[Architecture]:
        return self.extremes + super().next_paths()


@dataclass(frozen=True)
class Way:
    """How a supernet is warmed up.

    Attributes:
        words: For the table.
        paths: Random ones a step.
        limited: Whether they are within the candidates' limits.
        kind: What trains.
    """

    words: str
    paths: int
    limited: bool
    kind: type[PathLearner] = PathLearner

    def learner(self, settings: Settings, supernet: Supernet) -> PathLearner:
        """The supernet with its optimiser, as `recnas search` has it but for the paths."""
        usual = build_learner(settings, supernet)
        draw = usual.draw if self.limited else supernet.network.space.sample
        return self.kind(supernet, usual.optimization, usual.rng, usual.full_path_steps, self.paths, draw)


ONE = Way("1 random", 1, limited=False)
"""The published way."""
WAYS = (
    ONE,
    Way("4 random", 4, limited=False),
    Way("sandwich", 2, limited=False, kind=Sandwich),
    Way("1 within limits", 1, limited=True),
    Way("4 within limits", 4, limited=True),
    Way("8 within limits", 8, limited=True),
)


def without_tables(batches: ProxyBatches) -> ProxyBatches:
    """The same rows; the tables are no modules, and have no part in θᵀg."""
    bare = copy.copy(batches)
    bare.tables = []
    return bare


@dataclass(frozen=True)
class Variant:
    """How the proxies agree with the truth, done in one way.

    Attributes:
        warmup: Its amount.
        paths: Of a step.
        warmup_seconds: What it took.
        batches: In words.
        median_loss: Of the candidates with what they inherit.
        taus: Kendall's τ of each of `RANKINGS`.
        seconds: Of a candidate, mean.
    """

    warmup: float
    paths: str
    warmup_seconds: float
    batches: str
    median_loss: float
    taus: tuple[Estimate, ...]
    seconds: float

    def row(self) -> str:
        """Its line of the table."""
        taus, seconds = map(in_figures, self.taus), (f"{self.seconds:.2f}", f"{self.warmup_seconds:.0f}")
        cells = (f"{self.warmup:g}", self.paths, self.batches, f"{self.median_loss:.4f}", *taus, *seconds)
        return f"| {' | '.join(cells)} |"


def measure(truth: Truth, context: ScoringContext, proxies: Mapping[str, Proxy]) -> list[dict[str, float]]:
    """What proxies give each candidate."""
    measured = (ProxyInputs(context, arch) for arch in truth.losses)
    return [{name: float(proxy(inputs)) for name, proxy in proxies.items()} for inputs in measured]


def judge_fresh(truth: Truth) -> list[str]:
    """How the stages by default and the size agree with the truth: lines of a table."""
    context = build_scoring_context(truth.settings, open_data(truth.settings), warm=False)
    values = measure(truth, context, {name: PROXIES[name] for name in FRESH})
    losses, bootstrap = list(truth.losses.values()), Bootstrap(len(values), seed=0)
    scores = {name: [Expression.parse(name).score(own) for own in values] for name in FRESH}
    scores |= {f"{SECOND_STAGE}, terms standardised": Expression.parse(SECOND_STAGE).standardised_scores(values)}
    lines = ["| fresh weights | τ |", "| --- | --- |"]
    return lines + [f"| `{name}` | {in_figures(judge(own, losses, bootstrap).tau)} |" for name, own in scores.items()]


def judge_variant(
    truth: Truth, supernet: Supernet, batches: ProxyBatches, in_words: str, about: tuple[float, str, float]
) -> Variant:
    """Scores every candidate with the proxies on these batches."""
    expressions = [Expression.parse(name, about[0]) for name in RANKINGS]
    proxies = {name: proxy for expression in expressions for name, proxy in expression.proxies.items()}
    start = time.perf_counter()
    values = measure(truth, ScoringContext.of(supernet, batches), proxies)
    seconds = (time.perf_counter() - start) / len(values)
    losses, bootstrap = list(truth.losses.values()), Bootstrap(len(values), seed=0)
    scores = [[expression.score(own) for own in values] for expression in expressions]
    taus = tuple(judge(own, losses, bootstrap).tau for own in scores)
    return Variant(*about, in_words, statistics.median(own["loss"] for own in values), taus, seconds)


def variants(truth: Truth, warmups: Sequence[float]) -> Iterator[Variant]:
    """All ways, one after the other.

    Raises:
        Diverged: A warm-up did.
    """
    settings, device = truth.settings, default_device()
    dataset = open_data(settings)
    for amount in warmups:
        for way in WAYS:
            supernet = build_supernet(settings, dataset)
            optimization, seed = settings.warmup.optimization, stage_seed(settings, "warmup")
            start = time.perf_counter()
            warm_up(way.learner(settings, supernet), dataset, Amount(amount), optimization, seed=seed, device=device)
            about = amount, way.words, time.perf_counter() - start

            def read(count: int, rows: int, supernet: Supernet = supernet) -> ProxyBatches:
                proxy = replace(settings.proxy, batches=count, batch_size=rows)
                return read_proxy_batches(replace(settings, proxy=proxy), dataset, supernet)

            usual = read(*PUBLISHED)
            yield judge_variant(truth, supernet, usual, in_words(*PUBLISHED), about)
            if way is ONE:
                bare = without_tables(usual)
                yield judge_variant(truth, supernet, bare, f"{in_words(*PUBLISHED)}, no tables", about)
                for count, rows in OTHER_BATCHES:
                    yield judge_variant(truth, supernet, read(count, rows), in_words(count, rows), about)


def in_figures(tau: Estimate) -> str:
    """`+0.31 (+0.14 … +0.46)`."""
    return f"{signed(tau.value)} ({interval(vars(tau))})"


def in_words(batches: int, rows: int) -> str:
    """`4 × 512`."""
    return f"{batches} × {rows:,}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of random searches that have ended")
    parser.add_argument("--warmup", type=float, nargs="+", default=[0.01, 0.1], metavar="X", help="amounts of warm-up")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the table is written too")
    arguments = parser.parse_args(argv)
    try:
        truth = read_truth(arguments.runs)
        if len(truth.losses) < 2:
            raise InputError("fewer than two candidates were trained; there is nothing to rank")
        space = truth.settings.block_space
        lines = [
            f"{len(truth.losses)} random candidates of {space} on {truth.settings.data}\n",
            *judge_fresh(truth),
            "",
            f"| {' | '.join(HEADER)} |",
            "| --- " * len(HEADER) + "|",
        ]
        print("\n".join(lines), flush=True)
        for variant in variants(truth, arguments.warmup):
            lines.append(variant.row())
            print(lines[-1], flush=True)
    except (InputError, RunError) as error:
        raise SystemExit(f"benchmarks.variants: {error}") from None
    if arguments.output is not None:
        write_text(arguments.output, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
