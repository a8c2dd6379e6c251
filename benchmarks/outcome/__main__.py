"""Is anything that a user would pick instead better than recnas' search in the same time?

    python -m benchmarks.datasets data
    python -m benchmarks.outcome data/flights data/insteval --output runs/outcome       # 2 and 10 minutes, 5 seeds
    python -m benchmarks.outcome data/* --output runs/outcome --minutes 2 --seeds 1 --methods lightgbm catboost
    python -m benchmarks.outcome data/* --output runs/outcome --table                   # of what has ended

Each method has the same processor time of one core on each data set with each seed, and whatever it chooses it chooses
by the validation rows; the test rows are looked at once. What has ended is not done again: a killed benchmark goes on
when the command is given again. A method that fails is said in one line, and the others go on.

The table has the mean test log loss over the seeds, and how much better the search's ensemble is: the mean difference,
its 95 % interval by a bootstrap over seeds and test rows, and its p-value.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

# Before anything is imported that computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

from benchmarks.outcome.methods import METHODS, USUAL, outcome_of
from benchmarks.outcome.results import Task, begin, folder_of, read_outcome
from benchmarks.outcome.table import table
from recnas.util.errors import InputError, RunError
from recnas.util.files import write_text


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA")
    parser.add_argument("--output", type=Path, default=Path("runs/outcome"), metavar="DIR")
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 10], metavar="T", help="of one core")
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(USUAL), metavar="METHOD")
    parser.add_argument(
        "--with", dest="more", nargs="+", choices=METHODS, default=[], metavar="METHOD", help="besides: autogluon"
    )
    parser.add_argument("--table", action="store_true", help="train nothing")
    given = parser.parse_args(argv)
    methods = list(dict.fromkeys([*given.methods, *given.more]))
    if not given.table:
        for seed in range(given.seeds):
            for minutes in given.minutes:
                for data in given.data:
                    for method in methods:
                        _train(given.output, data, seed, minutes, method)
    text = table(given.output, given.data, given.minutes, given.seeds)
    write_text(given.output / "table.md", text)
    print(text)


def _train(output: Path, data: Path, seed: int, minutes: float, method: str) -> None:
    """Has a method do its work in a process of its own, if it has not."""
    folder = folder_of(output, data, seed, minutes, method)
    if read_outcome(folder) is not None:
        return
    begin(folder)
    task = Task(data, 60 * minutes, seed, folder)
    name = f"{data.name}, seed {seed}, {minutes:g} minutes, {method}"
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            result = pool.submit(outcome_of, method, task).result()
    except (InputError, RunError, BrokenProcessPool) as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return
    losses = ", ".join(f"{model} {figures['test']['log_loss']:.4f}" for model, figures in result["models"].items())
    print(f"{name}: {losses}, {result['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
