"""Times the predictions of LightGBM's trees, by the library and by recnas, on rows of a data set.

    recnas prepare criteo --input train.txt --output data/criteo
    python -m benchmarks.tree_prediction data/criteo                                 trees are grown of 400,000 rows
    python -m benchmarks.tree_prediction data/criteo --trees 600 --leaves 90 --rows 1000000 --threads 1 2

Rows are those of training, in parts as a search measures the test rows; the library predicts the first parts alone, as
`--library-rows` says. Reading the rows from the disk and making them a matrix are timed apart. The two logits must be
equal to the last bit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recnas.candidates.defaults import TREE_INPUTS
from recnas.candidates.families import TREES, with_defaults
from recnas.data import Dataset, fit_inputs
from recnas.trees.files import ENSEMBLES
from recnas.trees.model import TreeModel, load_trees
from recnas.trees.rows import CHUNK
from recnas.trees.training import grow

FAMILY = "lightgbm"
GROWN_OF = 400_000


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="a prepared data set")
    parser.add_argument("--trees", type=int, default=200, help="at most")
    parser.add_argument("--leaves", type=int, default=90, choices=TREES[FAMILY].choices["num_leaves"][1:])
    parser.add_argument("--rows", type=int, default=1_000_000, help="that are predicted")
    parser.add_argument("--library-rows", type=int, default=2 * CHUNK, help="that the library predicts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", type=Path, metavar="DIR", help="where trees are kept from one time to the next")
    given = parser.parse_args(argv)
    dataset = Dataset(given.data)
    dataset = dataset.fed(fit_inputs(dataset, TREE_INPUTS))
    model = _model(dataset, given)
    print(f"{model.ensemble.trees} trees of {model.ensemble.leaves / model.ensemble.trees:.0f} leaves on the mean")
    seconds = dict.fromkeys(("read", "matrix", *((of, n) for of in ("library", "recnas") for n in given.threads)), 0.0)
    rows = library_rows = 0
    start = time.perf_counter()
    for batch in dataset.batches("train", CHUNK, rows=min(given.rows, dataset.rows("train"))):
        read = time.perf_counter()
        matrix = model.columns.matrix(batch, dataset.schema)
        seconds["read"] += read - start
        seconds["matrix"] += time.perf_counter() - read
        rows += len(matrix)
        found = [_timed(seconds, ("recnas", n), model.ensemble.logits, matrix, n) for n in given.threads]
        if library_rows < given.library_rows:
            library_rows += len(matrix)
            found += [_timed(seconds, ("library", n), _library, model, matrix, n) for n in given.threads]
        if not all(np.array_equal(found[0], other) for other in found[1:]):
            raise SystemExit("the logits differ")
        start = time.perf_counter()
    print(f"{rows:,} rows, {library_rows:,} by the library: microseconds a row")
    print(f"reading {1e6 * seconds['read'] / rows:.1f}, matrix {1e6 * seconds['matrix'] / rows:.1f}")
    for threads in given.threads:
        library, own = seconds["library", threads] / library_rows, seconds["recnas", threads] / rows
        print(f"{threads} threads: LightGBM {1e6 * library:.1f}, recnas {1e6 * own:.1f}, {library / own:.1f} times")


def _model(dataset: Dataset, given: argparse.Namespace) -> TreeModel:
    if given.model is not None and (given.model / ENSEMBLES[FAMILY]).exists():
        return load_trees(given.model, FAMILY, dataset.schema)
    # What is found out costs more than what is asked here.
    choices = with_defaults(FAMILY, TREES[FAMILY].choices, {"num_leaves": given.leaves, "cat_smooth": 200})
    few = dataset.with_rows("train", GROWN_OF).with_rows("validation", GROWN_OF // 4)
    model = grow(few, FAMILY, choices, seed=0, threads=max(given.threads), most_trees=given.trees).model
    if given.model is not None:
        given.model.mkdir(parents=True, exist_ok=True)
        model.save(given.model)
    return model


def _timed(seconds: dict, name: object, function, *arguments) -> np.ndarray:
    start = time.perf_counter()
    found = function(*arguments)
    seconds[name] += time.perf_counter() - start
    return found


def _library(model: TreeModel, matrix: np.ndarray, threads: int) -> np.ndarray:
    booster, trees = model.ensemble.booster, model.ensemble.trees
    return booster.predict(matrix, num_iteration=trees, raw_score=True, num_threads=threads)


if __name__ == "__main__":
    main()
