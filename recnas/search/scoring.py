"""What candidates are scored with: a supernet, warm or fresh, and the proxy's batches, made once a process."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.data import Dataset
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet, default_device, sizes
from recnas.nn.processes import Processes
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.expression import Expression
from recnas.proxies.inputs import ProxyInputs
from recnas.proxies.precision import multiplies_bfloat16
from recnas.proxies.short_training import ShortTraining
from recnas.proxies.tuning import LastLayerTuning
from recnas.runs.settings import Settings
from recnas.space import Architecture, SearchSpace, cost
from recnas.train.checkpoint import load_model_tensors
from recnas.train.tensor_files import load_tensors
from recnas.train.warmup import PathLearner
from recnas.util.errors import InputError

SUPERNET_WEIGHTS = Path("supernet") / "weights.safetensors"
"""Where a run keeps its warm supernet."""


class Scorer:
    """Scores candidates.

    Args:
        context: What they are measured with.
        expression: What they are ranked by.
    """

    def __init__(self, context: ScoringContext, expression: Expression) -> None:
        self.context, self.expression = context, expression
        self._proxies = expression.proxies

    def __call__(self, evaluation: Evaluation) -> Result:
        """What the proxies give a candidate, and the score that they make."""
        start = time.perf_counter()
        inputs = ProxyInputs(self.context, evaluation.candidate.network)
        proxies = {name: float(proxy(inputs)) for name, proxy in self._proxies.items()}
        return Result(evaluation, self.expression.score(proxies), time.perf_counter() - start, proxies)


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
        settings.final.embedding_dim,
        optimization.of_tables,
        device,
        processes=processes,
        sharding=settings.sharding if processes else None,
        batch_size=optimization.batch_size if processes else None,
    )
    return Supernet(schema, embeddings, SearchSpace.named(settings.block_space)).to(device)


def build_learner(settings: Settings, supernet: Supernet) -> PathLearner:
    """The supernet with its optimiser, and its paths: candidates within the run's limits on what is counted.

    A latency is not looked at: to measure it takes longer than to learn a path.
    """
    rng, warmup, space = random.Random(f"{settings.seed}/warmup"), settings.warmup, supernet.network.space
    counted = sizes(supernet.schema, supernet.embeddings.dim)
    smallest = space.smallest(lambda arch: cost.macs(arch, *counted))

    def draw(rng: random.Random) -> Architecture:
        return space.sample_within(rng, lambda arch: settings.limits.admits(arch, *counted), smallest)

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
    recipe = settings.final.recipe
    optimization = replace(recipe.optimization, batch_size=proxy.short_training_batch_size)
    training = ShortTraining(
        dataset,
        proxy.short_training_rows,
        replace(recipe, optimization=optimization),
        stage_seed(settings, "brief"),
        settings.warmup.max_rows_per_table,
        default_device(),
    )
    schema = dataset.schema.capped(settings.warmup.max_rows_per_table)
    make_batches = partial(read_proxy_batches, settings, dataset)
    return ScoringContext(schema, recipe.embedding_dim, make_supernet, make_batches, tuning, training, proxy.precision)


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
    """Checks that there are rows enough to score candidates by what they inherit.

    Raises:
        InputError: Fewer training rows than the proxy's batches need.
    """
    proxy, rows = settings.proxy, dataset.rows("train")
    if rows < (needed := proxy.batches * proxy.batch_size):
        raise InputError(
            f"{proxy.batches} proxy batches of {proxy.batch_size} need {needed} training rows, {dataset.path} has "
            f"{rows}; make them smaller with --proxy-batch-size"
        )


def check_precision(settings: Settings) -> None:
    """Checks that this processor multiplies what candidates are to be scored in.

    Raises:
        InputError: It has no products of bfloat16.
    """
    if settings.proxy.precision == "bf16" and not multiplies_bfloat16():
        raise InputError("this processor multiplies no bfloat16; score candidates with --proxy-precision fp32")


def weights_seed(settings: Settings, candidate: Candidate) -> int:
    """That of the weights that a network begins with: its recipes begin with the same, but for their own seed."""
    return stage_seed(settings, f"train/{candidate.network.id}{again(candidate)}")


def again(candidate: Candidate) -> str:
    """What tells the seeds of alike trainings of a network from one another."""
    return f"/{candidate.recipe.seed}" if candidate.recipe.seed else ""


def stage_seed(settings: Settings, stage: str) -> int:
    """A seed of a stage's own, from the run's."""
    return random.Random(f"{settings.seed}/{stage}").getrandbits(31)
