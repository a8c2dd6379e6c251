"""What scoring a candidate costs, where its time goes, and what the same costs full-width and masked.

    python benchmarks/scoring.py                  # all spaces, 13 dense and 26 sparse features, 4 batches of 512 rows
    python benchmarks/scoring.py --space nasrec-small --candidates 100 --warmup-steps 0
    python benchmarks/scoring.py --macs 7000000 --candidates 10 --masked 0 --warmup-steps 0   # as large as evolved ones

For random candidates, in single precision and in bfloat16 where the processor multiplies it, in turns, all scored one
after the other on one thread and then side by side on all, it prints: seconds a candidate, multiply-accumulates a row
of the live part, the share of this machine's matrix rate in single precision that they reach (measured between the
candidates of the same run), where a thread's time goes, the ratio to full-width masked scoring with dense gradients
(benchmarks/masked.py) in the same process, and the same ratio for a step of the warm-up.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from masked import MaskedSupernet
from masked import score as masked_score
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile, record_function
from torchrec import KeyedJaggedTensor

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation
from recnas.candidates.recipe import Optimization, Recipe
from recnas.data import Batch
from recnas.execution.executor import ThisProcess
from recnas.features.feature import DenseFeature, SparseFeature
from recnas.features.schema import Schema
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet
from recnas.proxies import statistics as proxy_statistics
from recnas.proxies.batches import ProxyBatches
from recnas.proxies.context import ScoringContext
from recnas.proxies.expression import SIGEO, Expression
from recnas.proxies.precision import PRECISIONS, multiplies_bfloat16
from recnas.search.scoring import Scorer
from recnas.space import SPACES, Architecture, SearchSpace, cost
from recnas.train.warmup import PathLearner

DENSE, SPARSE, ROWS, EMBEDDING_DIM = 13, 26, 10_000, 16


def schema() -> Schema:
    """Criteo's features, with tables of 10,000 rows."""
    return Schema(
        "label",
        tuple(DenseFeature(f"I{index}", {"name": "log1p"}) for index in range(1, DENSE + 1)),
        tuple(SparseFeature(f"C{index}", ROWS) for index in range(1, SPARSE + 1)),
        {name: {"rows": 1, "positives": 0} for name in ("train", "validation", "test")},
    )


def batch(rows: int, generator: torch.Generator) -> Batch:
    """Random rows, with Zipf-like ids."""
    ids = (torch.rand(SPARSE * rows, generator=generator).pow(3) * ROWS).long()
    sparse = KeyedJaggedTensor(
        keys=[f"C{index}" for index in range(1, SPARSE + 1)],
        values=ids,
        lengths=torch.ones(SPARSE * rows, dtype=torch.int64),
    )
    dense = torch.rand(rows, DENSE, generator=generator).mul(8)
    return Batch(dense, sparse, (torch.rand(rows, generator=generator) < 0.25).float())


DRAWN = 1_000
"""Random candidates of which the nearest to a size are taken."""
KINDS = {
    "matrix products": ("aten::mm", "aten::bmm", "aten::addmm", "aten::addmm_"),
    "attention": ("_Attention", "_AttentionBackward"),
    "norms and ReLU": ("_CPUNorm", "_CPUNormBackward"),
    "statistics": ("statistics",),
}
"""Whose own time counts as what; all other operators of torch are the rest, and what no operator takes is Python."""


def matrix_rate(dtype: torch.dtype = torch.float32) -> float:
    """Multiply-accumulates a second of one thread at products of the size that candidates have most."""
    x, weight = torch.randn(512, 512).to(dtype), torch.randn(512, 512).to(dtype)
    torch.mm(x, weight)
    start = time.thread_time()
    for _ in range(4):
        torch.mm(x, weight)
    return 4 * 512**3 / (time.thread_time() - start)


def macs(arch: Architecture, rows: int) -> int:
    """Multiply-accumulates of a candidate's forward and backward pass; the latter takes two products for each."""
    return 3 * rows * cost.macs(arch, DENSE, SPARSE, EMBEDDING_DIM)


def evaluation_of(arch: Architecture) -> Evaluation:
    """What a scorer is asked; it does not look at the recipe."""
    return Evaluation(Candidate(arch, Recipe(Optimization(learning_rate=0.1, batch_size=512))))


def time_goes(scorer: Scorer, candidates: Sequence[Architecture]) -> dict[str, float]:
    """Shares of a thread's time by kind of work; the profiler's own work counts as Python's."""
    measure = proxy_statistics._measure

    def marked(*arguments: Any) -> None:
        with record_function("statistics"):
            measure(*arguments)

    proxy_statistics._measure = marked
    try:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            # The profiler's times are those of a clock, which goes on while others have the core.
            start = time.perf_counter()
            for arch in candidates:
                scorer(evaluation_of(arch))
            seconds = time.perf_counter() - start
    finally:
        proxy_statistics._measure = measure
    own = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
    shares = {kind: sum(own.get(name, 0.0) for name in names) / seconds for kind, names in KINDS.items()}
    known = {name for names in KINDS.values() for name in names}
    shares["other operators"] = sum(t for name, t in own.items() if name.startswith("aten::") and name not in known)
    shares["other operators"] /= seconds
    return shares | {"Python": 1 - sum(shares.values())}


def effort(evaluation: Evaluation) -> float:
    """How long scoring takes, in some unit."""
    return macs(evaluation.candidate.network, 1)


def timed(work: Callable[[], object]) -> float:
    """Seconds of this thread."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def warm_up_speed(space: SearchSpace, batches: Sequence[Batch], steps: int) -> tuple[float, float]:
    """Rows a second of warm-up steps on one thread: sliced, and masked with a dense optimiser; the same paths."""
    optimization = Optimization(learning_rate=0.1, batch_size=len(batches[0]), eps=1e-2)
    supernet = Supernet(schema(), ShardedEmbeddings(schema(), EMBEDDING_DIM), space)
    learner = PathLearner(supernet, optimization, random.Random(1))
    learner.set_learning_rate(0.01)
    rival = MaskedSupernet(schema(), space)
    optimizer = torch.optim.Adagrad(rival.parameters(), lr=0.01)
    rng = random.Random(1)

    def sliced(batch: Batch) -> None:
        learner.loss(batch).backward()
        learner.step()

    def masked(batch: Batch) -> None:
        loss = F.binary_cross_entropy_with_logits(rival(batch, space.sample(rng)), batch.label)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()

    seconds: tuple[list[float], list[float]] = ([], [])
    for step in range(-2, steps):
        batch = batches[step % len(batches)]
        for kept, work in zip(seconds, (sliced, masked), strict=True):
            taken = timed(partial(work, batch))
            if step >= 0:
                kept.append(taken)
    rows = steps * len(batches[0])
    return rows / sum(seconds[0]), rows / sum(seconds[1])


def quartiles(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} - {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=list(SPACES), nargs="*", default=list(SPACES))
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--macs", type=int, help="take the random candidates nearest to so many multiply-accumulates")
    parser.add_argument("--masked", type=int, default=10, help="candidates that are scored masked too")
    parser.add_argument("--warmup-steps", type=int, default=20, help="warm-up steps to time; 0: none")
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="for scoring side by side")
    arguments = parser.parse_args()
    print(f"{arguments.batches} batches of {arguments.batch_size} rows, {DENSE} dense and {SPARSE} sparse features")
    for name in arguments.space:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        space, generator, rng = SearchSpace.named(name), torch.Generator().manual_seed(0), random.Random(0)
        supernet = Supernet(schema(), ShardedEmbeddings(schema(), EMBEDDING_DIM), space)
        batches = [batch(arguments.batch_size, generator) for _ in range(arguments.batches)]
        looked_up, sigeo = ProxyBatches(supernet, batches), Expression.parse(SIGEO)
        contexts = {each: ScoringContext.of(supernet, looked_up, precision=each) for each in PRECISIONS}
        if not multiplies_bfloat16():
            del contexts["bf16"]
            print("  this processor multiplies no bfloat16: single precision alone")
        scorers = {each: Scorer(context, sigeo) for each, context in contexts.items()}
        measures = contexts["fp32"], sigeo
        candidates = [space.sample(rng) for _ in range(arguments.candidates if arguments.macs is None else DRAWN)]
        if arguments.macs is not None:
            candidates.sort(key=lambda arch: abs(macs(arch, 1) / 3 - arguments.macs))
            candidates = candidates[: arguments.candidates]
        rows = arguments.batches * arguments.batch_size
        for each in scorers.values():
            for arch in candidates[:3]:
                each(evaluation_of(arch))
        of_precision: dict[str, list[float]] = {each: [] for each in scorers}
        rates, half_rates = [], []
        for arch in candidates:
            rates.append(matrix_rate())
            if len(scorers) > 1:
                half_rates.append(matrix_rate(torch.bfloat16))
            for each, own in scorers.items():
                of_precision[each].append(timed(partial(own, evaluation_of(arch))))
        rate, seconds = statistics.median(rates), of_precision["fp32"]
        print(f"\n{name}: {len(candidates)} random candidates, median (quartiles)")
        millions = [macs(arch, 1) / 3 / 1e6 for arch in candidates]
        print(f"  million multiply-accumulates a row, live part   {quartiles(millions)}")
        for each, own in of_precision.items():
            print(f"  {each}: seconds of a candidate, one thread        {quartiles(own)}")
            shares = [macs(arch, rows) / second / rate for arch, second in zip(candidates, own, strict=True)]
            print(f"    times fp32's matrix rate, {rate / 1e9:.0f} G/s a thread      {quartiles(shares)}")
        if half_rates:
            print(f"  bf16's matrix rate                              {statistics.median(half_rates) / 1e9:.0f} G/s")
            ratios = [one / other for one, other in zip(*of_precision.values(), strict=True)]
            print(f"  fp32's seconds / bf16's                         {quartiles(ratios)}")
        torch.set_num_threads(arguments.threads)
        with ThisProcess(Scorer, measures) as executor:
            start = time.perf_counter()
            evaluations = [evaluation_of(arch) for arch in candidates]
            for _ in executor.map(Scorer.__call__, evaluations, effort, single_threaded=True):
                pass
            aside = (time.perf_counter() - start) / len(candidates)
        print(f"  seconds a candidate, {arguments.threads} side by side (mean)     {aside:.3f}")
        torch.set_num_threads(1)
        some = candidates[: max(3, len(candidates) // 4)]
        for each, own in scorers.items():
            shares = ", ".join(f"{kind} {share:.0%}" for kind, share in time_goes(own, some).items())
            print(f"  {each}, a thread's time: {shares}")
        if arguments.masked:
            rival = MaskedSupernet(schema(), space)
            masked_score(rival, candidates[0], batches)
            ratios = [
                timed(partial(masked_score, rival, arch, batches)) / second
                for arch, second in zip(candidates[: arguments.masked], seconds, strict=False)
            ]
            print(f"  times of full-width masked scoring over these   {quartiles(ratios)}")
        if arguments.warmup_steps:
            sliced, masked = warm_up_speed(space, batches, arguments.warmup_steps)
            print(
                f"  warm-up, rows a second of one thread: {sliced:,.0f}, full-width masked with a dense optimiser "
                f"{masked:,.0f}: {sliced / masked:.1f} times"
            )


if __name__ == "__main__":
    main()
