"""What a step of embedding tables costs: lookup, gradient and update, by every optimiser, beside plain torch.

    python -m benchmarks.tables                                    tables of 1,000 and of 400,000 rows, one thread
    python -m benchmarks.tables --rows 1000000 --threads 2 --batch-size 4096

For each it prints milliseconds of the forward pass, the backward pass (which updates the rows) and both, as medians and
quartiles over many steps on ids drawn uniformly: processor time with one thread, which other work on the machine
touches little, wall time with several. Adagrads without a penalty are FBGEMM's kernels; all else is recnas' own. Plain
torch is `nn.Embedding(sparse=True)` with `SparseAdam`, which has no penalty. Tables of a million rows take 6 GB.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torchrec import KeyedJaggedTensor

from recnas.candidates.embedding_optimizer import EmbeddingOptimizer
from recnas.features.feature import SparseFeature
from recnas.features.schema import SPLITS, Schema
from recnas.nn.embeddings import ShardedEmbeddings

RATE, PENALTY = 1e-3, 1e-4
OPTIMIZERS = [
    EmbeddingOptimizer("rowwise-adagrad"),
    EmbeddingOptimizer("adagrad"),
    EmbeddingOptimizer("rowwise-adam"),
    EmbeddingOptimizer("adam", beta1=0.0),
    EmbeddingOptimizer("adam"),
]

Step = Callable[[Tensor], tuple[float, float]]


def own(schema: Schema, dim: int, optimizer: EmbeddingOptimizer, at_fields: Tensor, clock: Callable[[], float]) -> Step:
    """A step of recnas' tables on ids `[features, B]`; gives the seconds of its two passes."""
    embeddings = ShardedEmbeddings(schema, dim, optimizer)
    lengths = torch.ones(at_fields.shape[0] * at_fields.shape[1], dtype=torch.int32)

    def step(ids: Tensor) -> tuple[float, float]:
        sparse = KeyedJaggedTensor(embeddings.features, ids.flatten(), lengths=lengths)
        start = clock()
        embeddings.set_learning_rate(RATE)
        fields = embeddings(sparse)
        middle = clock()
        fields.backward(at_fields)
        return middle - start, clock() - middle

    return step


def plain(schema: Schema, dim: int, at_fields: Tensor, clock: Callable[[], float]) -> Step:
    """The same of plain torch."""
    tables = [nn.Embedding(feature.rows, dim, sparse=True) for feature in schema.sparse]
    optimizer = torch.optim.SparseAdam([table.weight for table in tables], lr=RATE)

    def step(ids: Tensor) -> tuple[float, float]:
        start = clock()
        fields = torch.stack([table(column) for table, column in zip(tables, ids, strict=True)], dim=1)
        middle = clock()
        fields.backward(at_fields)
        optimizer.step()
        optimizer.zero_grad()
        return middle - start, clock() - middle

    return step


def kinds(
    schema: Schema, dim: int, at_fields: Tensor, clock: Callable[[], float]
) -> Iterator[tuple[str, Callable[[], Step]]]:
    for optimizer in OPTIMIZERS:
        for penalty in (0.0, PENALTY):
            name = optimizer.name + (", beta1 0" if optimizer.beta1 == 0 else "") + (", penalty" if penalty else "")
            how = replace(optimizer, penalty=penalty)
            yield name, lambda how=how: own(schema, dim, how, at_fields, clock)
    yield "torch SparseAdam", lambda: plain(schema, dim, at_fields, clock)


def shown(seconds: list[float]) -> str:
    """Median and quartiles, in milliseconds."""
    low, middle, high = (1e3 * value for value in statistics.quantiles(seconds, n=4))
    return f"{middle:7.2f} ({low:.2f}-{high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 400_000], help="of each table")
    parser.add_argument("--features", type=int, default=26)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100, help="that count, after a fifth as many that do not")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.thread_time if arguments.threads == 1 else time.perf_counter
    generator = torch.Generator().manual_seed(0)
    size = (arguments.batch_size, arguments.features, arguments.dim)
    at_fields = torch.randn(size, generator=generator) / arguments.batch_size
    for rows in arguments.rows:
        schema = Schema(
            label="click",
            dense=(),
            sparse=tuple(SparseFeature(f"f{place}", rows) for place in range(arguments.features)),
            splits={split: {"rows": 10, "positives": 3} for split in SPLITS},
        )
        print(f"{arguments.features} tables of {rows:,} rows: forward, backward, both (ms)")
        for name, make in kinds(schema, arguments.dim, at_fields, clock):
            step = make()
            taken = [
                step(torch.randint(rows, (arguments.features, arguments.batch_size), generator=generator))
                for _ in range(arguments.steps + arguments.steps // 5)
            ][arguments.steps // 5 :]
            both = [sum(passes) for passes in taken]
            print(f"  {name:24}", *(shown(list(column)) for column in (*zip(*taken, strict=True), both)), flush=True)
            # TorchRec's modules refer to one another in circles.
            del step
            gc.collect()


if __name__ == "__main__":
    main()
