"""Scoring candidates: a supernet, warm or fresh, and the proxy's batches, made once a process."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from recnas.data import Dataset
from recnas.execution.executor import Executor
from recnas.features.schema import Schema
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet, default_device, sizes
from recnas.nn.network import EMBEDDING_DIM
from recnas.nn.processes import Processes
from recnas.proxies.context import ScoringContext
from recnas.proxies.expression import Expression
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.short_training import ShortTraining
from recnas.proxies.statistics import ProxyBatches
from recnas.proxies.tuning import LastLayerTuning
from recnas.runs.settings import Settings
from recnas.space import Architecture, SearchSpace, cost
from recnas.train.checkpoint import load_model_tensors, load_tensors
from recnas.train.warmup import PathLearner
from recnas.util.errors import InputError

SUPERNET_WEIGHTS = Path("supernet") / "weights.safetensors"
"""Where a run keeps its warm supernet."""


@dataclass(frozen=True)
class Scored:
    """What proxies give a candidate.

    Attributes:
        values: By name.
        score: What they make; None in a second look, where that depends on the other candidates.
        seconds: The time they took.
    """

    values: dict[str, float]
    score: float | None
    seconds: float


class Scorer:
    """Scores candidates.

    Args:
        context: What they are measured with.
        expression: What they are ranked by.
    """

    def __init__(self, context: ScoringContext, expression: Expression) -> None:
        self.context, self.expression = context, expression
        self._proxies = expression.proxies

    def __call__(self, arch: Architecture) -> Scored:
        start = time.perf_counter()
        inputs = ProxyInputs(self.context, arch)
        values = {name: float(proxy(inputs)) for name, proxy in self._proxies.items()}
        return Scored(values, self.expression.score(values), time.perf_counter() - start)


def build_supernet(settings: Settings, dataset: Dataset, processes: Processes | None = None) -> Supernet:
    """A supernet with fresh weights, the same for the same seed.

    Args:
        settings: The run's.
        dataset: Its data.
        processes: Which processes hold its tables; None for this one alone.
    """
    torch.manual_seed(stage_seed(settings, "supernet"))
    optimization = settings.warmup.optimization
    schema = dataset.schema.capped(settings.warmup.max_rows_per_table)
    device = default_device()
    embeddings = ShardedEmbeddings(
        schema,
        EMBEDDING_DIM,
        optimization.of_tables,
        device,
        processes=processes,
        sharding=settings.sharding if processes else None,
        batch_size=optimization.batch_size if processes else None,
    )
    return Supernet(schema, embeddings, SearchSpace.named(settings.space)).to(device)


def build_learner(settings: Settings, supernet: Supernet) -> PathLearner:
    """The supernet with its optimiser, and its paths: candidates within the run's limits on what is counted.

    A latency is not looked at: to measure it takes longer than to learn a path.
    """
    rng, warmup, space = random.Random(f"{settings.seed}/warmup"), settings.warmup, supernet.network.space
    smallest = space.smallest(partial(_macs, supernet.schema))

    def draw(rng: random.Random) -> Architecture:
        return space.sample_within(rng, lambda arch: settings.limits.admits(arch, *sizes(supernet.schema)), smallest)

    return PathLearner(supernet, warmup.optimization, rng, warmup.full_path_steps, warmup.paths, draw)


def build_scoring_context(settings: Settings, dataset: Dataset, warm: bool) -> ScoringContext:
    """What a run's candidates are measured with: its supernet, and training rows in orders of their own.

    Args:
        settings: The run's.
        dataset: Its data.
        warm: Whether the supernet has the weights that the run's warm-up left, or fresh ones.
    """
    proxy = settings.proxy

    def make_supernet() -> Supernet:
        supernet, weights = build_supernet(settings, dataset), Path(settings.run) / SUPERNET_WEIGHTS
        if warm:
            load_model_tensors(supernet, load_tensors(weights), weights)
        return supernet

    tuning = LastLayerTuning(
        dataset,
        proxy.tune_steps,
        proxy.tune_batch_size,
        proxy.tune_validation_rows,
        settings.warmup.optimization,
        stage_seed(settings, "tuning"),
        default_device(),
    )
    short_training = replace(settings.final.optimization, batch_size=proxy.short_training_batch_size)
    training = ShortTraining(
        dataset,
        proxy.short_training_rows,
        short_training,
        stage_seed(settings, "brief"),
        settings.warmup.max_rows_per_table,
        default_device(),
    )
    schema = dataset.schema.capped(settings.warmup.max_rows_per_table)
    return ScoringContext(schema, make_supernet, partial(read_proxy_batches, settings, dataset), tuning, training)


def read_proxy_batches(settings: Settings, dataset: Dataset, supernet: Supernet) -> ProxyBatches:
    """The training rows that a run's candidates are measured on, looked up in a supernet's tables."""
    proxy = settings.proxy
    loader = dataset.batches(
        "train",
        proxy.batch_size,
        seed=stage_seed(settings, "proxy"),
        rows=proxy.batches * proxy.batch_size,
        max_rows_per_table=settings.warmup.max_rows_per_table,
    )
    return ProxyBatches(supernet, [batch.to(default_device()) for batch in islice(loader, proxy.batches)])


def check_proxy_rows(settings: Settings, dataset: Dataset) -> None:
    """Looks ahead to the scoring of candidates by what they inherit.

    Raises:
        InputError: Fewer training rows than the proxy's batches need.
    """
    proxy, rows = settings.proxy, dataset.rows("train")
    if rows < (needed := proxy.batches * proxy.batch_size):
        raise InputError(
            f"{proxy.batches} proxy batches of {proxy.batch_size} need {needed} training rows, {dataset.path} has "
            f"{rows}; make them smaller with --proxy-batch-size"
        )


def stage_seed(settings: Settings, stage: str) -> int:
    """A seed of a stage's own, from the run's."""
    return random.Random(f"{settings.seed}/{stage}").getrandbits(31)


def _macs(schema: Schema, arch: Architecture) -> int:
    """Multiply–accumulates a row of a candidate on these features."""
    return cost.macs(arch, *sizes(schema))


_settings: Settings | None = None
_scorers: list[Scorer] | None = None
_building = threading.Lock()


def start_scoring(settings: Settings) -> None:
    """Prepares this process to `score` candidates of a run."""
    global _settings, _scorers
    _settings, _scorers = settings, None


def score(arch: Architecture, look: int = 0) -> Scored:
    """Scores a candidate; for the first one whose weights are inherited, the run's supernet is loaded.

    Without a ranking all candidates are alike.

    Args:
        arch: The candidate.
        look: 0 for the first look of the run's ranking, 1 for the second.
    """
    global _scorers
    assert _settings is not None, "start_scoring has not run in this process"
    ranking = _settings.ranking
    if not ranking.looks[look].names:
        return Scored({}, 0.0, 0.0)
    with _building:
        if _scorers is None:
            context = build_scoring_context(_settings, Dataset(_settings.data), warm=_settings.warms_up)
            context.prepare(ranking.proxies.values())
            _scorers = [Scorer(context, expression) for expression in ranking.looks]
        scorer = _scorers[look]
    scored = scorer(arch)
    return scored if look == 0 else replace(scored, score=None)


def scored_by(
    executor: Executor, schema: Schema, archs: Sequence[Architecture], look: int = 0
) -> Generator[Scored, None, None]:
    """Scores candidates with all processes.

    Args:
        executor: Of processes that `start_scoring` has prepared.
        schema: The data's features.
        archs: The candidates.
        look: See `score`.

    Yields:
        What each scored, in their order, as it comes.

    Raises:
        RunError: A worker process died.
    """
    on_cpu = default_device().type == "cpu"
    with closing(
        executor.map(partial(score, look=look), archs, partial(_macs, schema), single_threaded=on_cpu)
    ) as found:
        yield from found


def stop_scoring() -> None:
    """Gives the memory of this process's supernet back."""
    global _scorers
    if _scorers is not None:
        _scorers = None
        gc.collect()  # TorchRec's modules refer to one another in circles
