"""Would other batches, no tables, or a warm-up of several paths a step make the published proxies rank better?

    python -m benchmarks.variants runs/rivals/flights/random-*      # as `python -m benchmarks.rivals` leaves them

The truth is the validation log loss of random candidates that were trained in full: those of `recnas search --strategy
random --proxy none` on one data set, with the same settings but for the seed. Their architectures are scored with what
they inherit

- after a warm-up of one random path a step, as `recnas search` does it; of four random paths a step, whose mean
  gradient makes one update (in the spirit of FairNAS, Chu et al. 2021); and by the sandwich rule (Yu et al. 2020): the
  full path, the smallest candidate and two random ones;
- on four batches of 512 rows, as published; on 16 of them; on four of 2,048; and on four of 512 without the tables.

Prints Kendall's τ of each proxy with that truth, with 95 % intervals over the candidates, as Markdown; and first, for
comparison, that of the looks that `recnas search` takes by default at fresh weights, and of the candidates' size.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from recnas.data import Batch, Dataset
from recnas.errors import InputError, RunError
from recnas.files import read_json, write_text
from recnas.nn.elastic import Slices, Taken
from recnas.nn.model import Supernet, default_device, sizes
from recnas.proxies import Candidate, Instruments, Proxy, ProxyBatches
from recnas.search.evolution import EvolutionSettings
from recnas.search.expression import SECOND_LOOK, SIGEO, Expression
from recnas.search.finalists import ARCHITECTURE, Entrant
from recnas.search.folder import RESULTS, holds_search, is_finished
from recnas.search.scoring import build_instruments, build_supernet, find_proxies, read_proxy_batches, stage_seed
from recnas.search.settings import Settings
from recnas.search.status import settings_in
from recnas.space import Architecture, cost
from recnas.study.analysis import Bootstrap, Estimate, judge
from recnas.study.text import interval, signed
from recnas.train.loop import clip_gradient
from recnas.train.settings import Amount, Optimization
from recnas.train.warmup import PathLearner, warm_up

RANKINGS = ("zico", "zico_mean", "fr", "loss", SIGEO)
FRESH = ("jacov", "brief", "parameters", "flops")
"""Rankings by fresh weights, and by size."""
HEADER = ("warm-up", "paths a step", "batches", "median loss", *RANKINGS, "seconds a candidate")
PUBLISHED = (4, 512)
"""Batches and their rows."""
OTHER_BATCHES = ((16, 512), (4, 2048))

Draw = Callable[[Supernet, random.Random], list[Architecture]]


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
        for model in read_json(run / RESULTS)["models"]:
            tried = {item["learning_rate"]: item["log_loss"] for item in model.get("learning_rates", ())}
            if model["kind"] == "found" and tried.get(rate) is not None:
                arch = Architecture.load(Entrant(model["id"], "found").folder(run) / ARCHITECTURE)
                losses.setdefault(arch, tried[rate])
    return Truth(first, losses)


def one_random(supernet: Supernet, rng: random.Random) -> list[Architecture]:
    """As `recnas search` warms up."""
    return [supernet.network.space.sample(rng)]


def four_random(supernet: Supernet, rng: random.Random) -> list[Architecture]:
    """Four random paths."""
    return [supernet.network.space.sample(rng) for _ in range(4)]


def sandwich(supernet: Supernet, rng: random.Random) -> list[Architecture]:
    """The full path, the smallest candidate and two random ones."""
    space = supernet.network.space
    smallest = space.smallest(lambda arch: cost.flops(arch, *sizes(supernet.schema)))
    return [space.full_path(), smallest, space.sample(rng), space.sample(rng)]


DRAWS: Mapping[str, Draw] = {"1 random": one_random, "4 random": four_random, "sandwich": sandwich}


class SeveralPaths(PathLearner):
    """Trains a supernet: the mean gradient of several paths at the same rows makes one update.

    Args:
        supernet: What learns.
        optimization: How.
        rng: Draws the paths.
        draw_paths: Gives those of a step.
    """

    def __init__(self, supernet: Supernet, optimization: Optimization, rng: random.Random, draw_paths: Draw) -> None:
        super().__init__(supernet, optimization, rng)
        self._draw_paths = draw_paths
        self._paths: list[Slices] = []

    def loss(self, batch: Batch) -> Tensor:
        fields = clip_gradient(self.supernet.embeddings(batch.sparse), self.optimization)
        archs = self._draw_paths(self.supernet, self.rng)
        self._paths = [Slices() for _ in archs]
        logits = [
            self.supernet.network(batch.dense, fields, arch, slices)
            for arch, slices in zip(archs, self._paths, strict=True)
        ]
        return F.binary_cross_entropy_with_logits(torch.stack(logits), batch.label.expand(len(archs), -1))

    def step(self) -> None:
        self._slices = self._together()
        super().step()

    def _together(self) -> Slices:
        """One slice for each parameter, as large as the largest of the paths', with the sum of their gradients."""
        by_parameter: dict[int, list[Taken]] = {}
        for slices in self._paths:
            for item in slices.taken:
                by_parameter.setdefault(id(item.parameter), []).append(item)
        together = Slices()
        for items in by_parameter.values():
            largest = tuple(map(max, zip(*(item.leaf.shape for item in items), strict=True)))
            leaf = together.take(items[0].layer, items[0].parameter, largest)
            leaf.grad = torch.zeros_like(leaf)
            for item in items:
                if item.leaf.grad is not None:
                    leaf.grad[tuple(map(slice, item.leaf.shape))] += item.leaf.grad
        return together


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
        batches: In words.
        median_loss: Of the candidates with what they inherit.
        taus: Kendall's τ of each of `RANKINGS`.
        seconds: Of a candidate, mean.
    """

    warmup: float
    paths: str
    batches: str
    median_loss: float
    taus: tuple[Estimate, ...]
    seconds: float

    def row(self) -> str:
        """Its line of the table."""
        taus = map(in_figures, self.taus)
        cells = (f"{self.warmup:g}", self.paths, self.batches, f"{self.median_loss:.4f}", *taus, f"{self.seconds:.2f}")
        return f"| {' | '.join(cells)} |"


def measure(truth: Truth, instruments: Instruments, proxies: Mapping[str, Proxy]) -> list[dict[str, float]]:
    """What proxies give each candidate."""
    candidates = (Candidate(instruments, arch) for arch in truth.losses)
    return [{name: float(proxy(candidate)) for name, proxy in proxies.items()} for candidate in candidates]


def judge_fresh(truth: Truth) -> list[str]:
    """How the looks by default and the size agree with the truth: lines of a table."""
    instruments = build_instruments(truth.settings, Dataset(truth.settings.data), warm=False)
    proxies = find_proxies(FRESH)
    values = measure(truth, instruments, proxies)
    losses, bootstrap = list(truth.losses.values()), Bootstrap(len(values), seed=0)
    scores = {name: [Expression.parse(name).score(own) for own in values] for name in FRESH}
    scores |= {f"{SECOND_LOOK}, terms standardised": Expression.parse(SECOND_LOOK).standardised_scores(values)}
    lines = ["| fresh weights | τ |", "| --- | --- |"]
    return lines + [f"| `{name}` | {in_figures(judge(own, losses, bootstrap).tau)} |" for name, own in scores.items()]


def judge_variant(truth: Truth, supernet: Supernet, batches: ProxyBatches, about: tuple[float, str, str]) -> Variant:
    """Scores every candidate with the proxies on these batches."""
    expressions = [Expression.parse(name, about[0]) for name in RANKINGS]
    proxies = find_proxies(dict.fromkeys(name for expression in expressions for name in expression.names))
    start = time.perf_counter()
    values = measure(truth, Instruments.of(supernet, batches), proxies)
    seconds = (time.perf_counter() - start) / len(values)
    losses, bootstrap = list(truth.losses.values()), Bootstrap(len(values), seed=0)
    scores = [[expression.score(own) for own in values] for expression in expressions]
    taus = tuple(judge(own, losses, bootstrap).tau for own in scores)
    return Variant(*about, statistics.median(own["loss"] for own in values), taus, seconds)


def variants(truth: Truth, warmups: Sequence[float]) -> Iterator[Variant]:
    """All ways, one after the other.

    Raises:
        Diverged: A warm-up did.
    """
    settings, device = truth.settings, default_device()
    dataset = Dataset(settings.data)
    for amount in warmups:
        for paths, draw in DRAWS.items():
            supernet = build_supernet(settings, dataset)
            rng = random.Random(f"{settings.seed}/warmup")
            learner = SeveralPaths(supernet, settings.warmup.optimization, rng, draw)
            optimization, seed = settings.warmup.optimization, stage_seed(settings, "warmup")
            warm_up(learner, dataset, Amount(amount), optimization, seed=seed, device=device)

            def read(count: int, rows: int, supernet: Supernet = supernet) -> ProxyBatches:
                proxy = replace(settings.proxy, batches=count, batch_size=rows)
                return read_proxy_batches(replace(settings, proxy=proxy), dataset, supernet)

            usual = read(*PUBLISHED)
            yield judge_variant(truth, supernet, usual, (amount, paths, in_words(*PUBLISHED)))
            if draw is one_random:
                about = (amount, paths, f"{in_words(*PUBLISHED)}, no tables")
                yield judge_variant(truth, supernet, without_tables(usual), about)
                for count, rows in OTHER_BATCHES:
                    yield judge_variant(truth, supernet, read(count, rows), (amount, paths, in_words(count, rows)))


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
        space = truth.settings.space
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
