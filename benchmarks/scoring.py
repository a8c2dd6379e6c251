"""Time and arithmetic of scoring candidates, on 13 dense and 26 sparse features as Criteo has them.

    python benchmarks/scoring.py                       both spaces, 4 batches of 512 rows
    python benchmarks/scoring.py --space nasrec-small --candidates 50 --batch-size 128

For random candidates it prints the median and spread of the seconds a candidate, their multiply–accumulates a row, and
the share of this machine's matrix rate that they reach, measured in the same run.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import torch
from torchrec import KeyedJaggedTensor

from recnas.data import Batch
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import Supernet
from recnas.proxies import ProxyBatches, SiGeo
from recnas.schema import DenseFeature, Schema, SparseFeature
from recnas.search.scoring import Scorer
from recnas.space import SPACES, SearchSpace, cost

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


def matrix_rate() -> float:
    """Multiply–accumulates a second of products of the size that candidates have most: the best of several."""
    x, weight = torch.randn(512, 512), torch.randn(512, 512)
    best = 0.0
    for _ in range(30):
        start = time.perf_counter()
        for _ in range(4):
            torch.mm(x, weight)
        best = max(best, 4 * 512**3 / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=list(SPACES), nargs="*", default=list(SPACES))
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rate = matrix_rate()
    print(f"{arguments.threads} threads, matrix rate {rate / 1e9:.1f} G multiply-accumulates a second")
    print(
        f"{'space':<13} {'s a candidate: median':>21} {'10 %':>7} {'90 %':>7} {'MACs a row':>11} {'of matrix rate':>14}"
    )
    for name in arguments.space:
        space, generator, rng = SearchSpace.named(name), torch.Generator().manual_seed(0), random.Random(0)
        supernet = Supernet(schema(), ShardedEmbeddings(schema(), EMBEDDING_DIM), space)
        batches = [batch(arguments.batch_size, generator) for _ in range(arguments.batches)]
        scorer = Scorer(supernet, ProxyBatches(supernet, batches), SiGeo())
        candidates = [space.sample(rng) for _ in range(arguments.candidates)]
        for arch in candidates[:3]:
            scorer(arch)
        seconds = [scorer(arch).seconds for arch in candidates]
        macs = [cost.flops(arch, DENSE, SPARSE, EMBEDDING_DIM) for arch in candidates]
        # A backward pass takes two products for each of the forward pass.
        shares = [
            3 * mac * arguments.batches * arguments.batch_size / second / rate
            for mac, second in zip(macs, seconds, strict=True)
        ]
        deciles = statistics.quantiles(seconds, n=10)
        print(
            f"{name:<13} {statistics.median(seconds):>21.3f} {deciles[0]:>7.3f} {deciles[-1]:>7.3f} "
            f"{statistics.median(macs):>11,.0f} {statistics.median(shares):>14.0%}"
        )


if __name__ == "__main__":
    main()
