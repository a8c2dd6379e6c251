"""How fast is training while other programs want the cores, by what OpenMP's threads do while they wait?

    python -m benchmarks.busy data/movielens                     two busy loops beside two threads, 20 seconds each
    python -m benchmarks.busy data/movielens --loops 0 2 --threads 1 2 --seconds 10 --repeat 5

Each training is DLRM in a process of its own, with the policy that recnas sets, with that of GNU's OpenMP, which spins,
and with the passive one. They take turns; figures are medians of rows a second. For loops 0 nothing else may run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BATCH, MAX_ROWS = 512, 100_000
POLICIES = {
    "recnas": {},
    # recnas leaves all alone where one of them is set; GNU's OpenMP does not look at this one.
    "OpenMP's own": {"KMP_BLOCKTIME": "200"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
"""By name what is in the environment."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="a prepared data set")
    parser.add_argument("--loops", type=int, nargs="+", default=[2], help="busy loops beside it")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each training")
    parser.add_argument("--repeat", type=int, default=3)
    # What a process of its own does; not for users.
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.train:
        print(_rows_a_second(given.data, given.seconds))
        return
    print("| busy loops | threads | policy | rows a second |\n| --- | --- | --- | --- |")
    for loops in given.loops:
        for threads in given.threads:
            found: dict[str, list[float]] = {name: [] for name in POLICIES}
            for _ in range(given.repeat):
                for name, environment in POLICIES.items():
                    with _busy(loops):
                        found[name].append(_trained(given.data, given.seconds, threads, environment))
            for name, rates in found.items():
                print(f"| {loops} | {threads} | {name} | {statistics.median(rates):,.0f} |", flush=True)


def _trained(data: Path, seconds: float, threads: int, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.busy", str(data), "--train", "--seconds", str(seconds)]
    unset = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        command,
        env=kept | environment | {"OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


@contextmanager
def _busy(loops: int) -> Iterator[None]:
    """Programs that do nothing, as fast as they can."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _rows_a_second(data: Path, seconds: float) -> float:
    """Trains for so long, after a pass that does not count."""
    # Before torch, which reads the policy once.
    import recnas  # noqa: F401
    from benchmarks.loading import dlrm
    from recnas.data import Dataset
    from recnas.train.loop import train

    dataset = Dataset(data)
    learner = dlrm(dataset, MAX_ROWS, BATCH)

    def batches(epoch: int):
        return dataset.batches("train", BATCH, seed=0, epoch=epoch, max_rows_per_table=MAX_ROWS)

    first = batches(0)
    steps = len(first)
    some = (batch for batch, _ in zip(first, range(10), strict=False))
    train(learner, some, steps=steps)
    start, rows, epoch = time.perf_counter(), 0, 1

    class Over(Exception):
        """The time is."""

    def count(step: int, tally) -> None:
        nonlocal rows
        rows += BATCH
        if time.perf_counter() - start >= seconds:
            raise Over

    while True:
        try:
            train(learner, batches(epoch), steps=steps, after_step=count)
        except Over:
            return rows / (time.perf_counter() - start)
        epoch += 1


if __name__ == "__main__":
    main()
