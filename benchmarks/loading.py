"""Speed of loading a data set, and how long a training waits for it.

    recnas prepare criteo --input train.txt --output data/criteo
    python benchmarks/loading.py data/criteo                       batches of 4,096 rows, 5 passes of each kind
    python benchmarks/loading.py data/criteo --batch-size 512 --repeat 9 --rows 200000
    python benchmarks/loading.py data/criteo --numbers columns bins --cross C1:C2 --from-disk

Of the training rows it prints, as medians over several passes with the smallest and the largest: rows a second of
loading alone, shuffled and in file order; the time of a training step of DLRM with row-wise Adagrad, on tables capped
as in a search; the share of that training in which it waits for a batch. The first batch of a pass has to wait until
the first rows are read; the others are read ahead. Small splits stay in memory after the first pass, which does not
count, unless `--from-disk` says that no split does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from recnas.candidates.recipe import Optimization
from recnas.data import Batch, Dataset, fit_inputs, in_memory
from recnas.data.batches import Batches
from recnas.features.inputs import NUMBERS, Inputs
from recnas.nn.baselines.registry import find_baseline
from recnas.nn.embeddings import ShardedEmbeddings
from recnas.nn.model import CTRModel
from recnas.nn.network import EMBEDDING_DIM
from recnas.train.loop import ModelLearner, train

LEARNING_RATE = 0.01


@dataclass
class Pass:
    """Seconds of one pass: in all, of all threads' computing, waiting for the first batch, for the later ones."""

    seconds: float = 0.0
    processor: float = 0.0
    first: float = 0.0
    later: float = 0.0

    def waiting(self, batches: Batches) -> Iterator[Batch]:
        """The same batches, while the time is summed that getting them takes."""
        start = time.perf_counter()
        iterator = iter(batches)
        batch = next(iterator, None)
        self.first = time.perf_counter() - start
        while batch is not None:
            yield batch
            start = time.perf_counter()
            batch = next(iterator, None)
            self.later += time.perf_counter() - start


def measure(batches: Batches, learner: ModelLearner | None = None) -> Pass:
    """Times a pass over batches, with a training step on each if there is a learner."""
    result = Pass()
    start, processor = time.perf_counter(), time.process_time()
    if learner is None:
        for _ in result.waiting(batches):
            pass
    else:
        train(learner, result.waiting(batches), steps=len(batches))
    result.seconds, result.processor = time.perf_counter() - start, time.process_time() - processor
    return result


def dlrm(dataset: Dataset, max_rows: int, batch_size: int) -> ModelLearner:
    """DLRM on a data set's features, as final training makes it."""
    schema = dataset.schema.capped(max_rows)
    optimization = Optimization(LEARNING_RATE, batch_size)
    optimizer = optimization.of_tables
    embeddings = ShardedEmbeddings(schema, EMBEDDING_DIM, optimizer)
    network = find_baseline("dlrm").network(schema)
    return ModelLearner(CTRModel(schema, embeddings, network), optimization)


def show(name: str, values: list[float], form: str) -> None:
    """One line of the table."""
    cells = [f"{value:{form}}" for value in (statistics.median(values), min(values), max(values))]
    print(f"{name:<24} " + " ".join(f"{cell:>12}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="a prepared data set")
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--repeat", type=int, default=5, help="passes of each kind")
    parser.add_argument("--rows", type=int, help="training rows of a pass (default: all)")
    parser.add_argument("--max-rows-per-table", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--numbers", nargs="*", choices=NUMBERS, default=["columns"], help="how numbers are fed")
    parser.add_argument("--cross", nargs="*", default=[], metavar="A:B", help="features that have a joint id")
    parser.add_argument("--from-disk", action="store_true", help="keep no split in memory")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.from_disk:
        in_memory.LIMIT = 0
    dataset = Dataset(arguments.data)
    start = time.perf_counter()
    schema = fit_inputs(dataset, Inputs(tuple(arguments.numbers), crosses=tuple(arguments.cross)))
    dataset = dataset.fed(schema)
    print(f"{time.perf_counter() - start:.2f} s until it is known what is fed")
    learner = dlrm(dataset, arguments.max_rows_per_table, arguments.batch_size)

    def batches(seed: int | None, epoch: int) -> Batches:
        return dataset.batches(
            "train",
            arguments.batch_size,
            seed=seed,
            epoch=epoch,
            rows=arguments.rows,
            max_rows_per_table=arguments.max_rows_per_table,
        )

    rows, steps = batches(0, 0).rows, len(batches(0, 0))
    print(f"{rows:,} rows in {steps:,} batches of {arguments.batch_size:,}, {arguments.threads} threads")
    loading: dict[str, list[Pass]] = {"shuffled": [], "file order": []}
    training: list[Pass] = []
    # In turns, so that whatever else the machine does falls on all of them; the first turn warms up and does not count.
    for turn in range(arguments.repeat + 1):
        timed = [measure(batches(seed, turn)) for seed in (0, None)]
        trained = measure(batches(0, turn), learner)
        if turn:
            for results, one in zip((*loading.values(), training), (*timed, trained), strict=True):
                results.append(one)
    print(f"{'':<24} {'median':>12} {'smallest':>12} {'largest':>12}")
    for name, passes in loading.items():
        show(f"{name}: rows a second", [rows / one.seconds for one in passes], ",.0f")
        show("  ms a batch", [1000 * one.seconds / steps for one in passes], ".2f")
        show("  ms to the first", [1000 * one.first for one in passes], ".1f")
        show("  processor seconds", [one.processor for one in passes], ".2f")
    show("training: ms a step", [1000 * (one.seconds - one.first - one.later) / steps for one in training], ".2f")
    show("  rows a second", [rows / one.seconds for one in training], ",.0f")
    show("  waiting for data", [(one.first + one.later) / one.seconds for one in training], ".2%")
    show("  after the first batch", [one.later / one.seconds for one in training], ".2%")


if __name__ == "__main__":
    main()
