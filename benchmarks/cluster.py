"""Scoring on Ray: two actors beside two processes and one, and what 16 and 256 workers would take, by simulation.

    python -m benchmarks.cluster --data data/movielens

Measured: candidates a second of a warm supernet, seconds of a candidate alone in one thread, seconds until the workers
have done a first candidate each (imports, supernet and batches included), and seconds of a message, an empty item that
goes to an actor and comes back. Simulated: a search of as many candidates as the published one, with the measured
seconds and messages. The process that proposes sends one message after the other; a round ends with its last candidate,
since parents are chosen by its scores. What proposing and writing the history take is left out.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation, Result
from recnas.execution.executor import Executor, LocalProcesses, ThisProcess, computing_with
from recnas.execution.ray_workers import RayWorkers
from recnas.nn.networks import count_macs
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.search.warmup_stage import warm_up_supernet
from recnas.search.worker import Worker
from recnas.space import SearchSpace
from recnas.util.console import Console

POPULATION, CANDIDATES = 128, 2_048
"""Of the published search: a first round, and all of them."""
WORKERS = (1, 2, 16, 256)
CHILDREN = (8, 32, 128)
MESSAGES = 200


def simulate(rounds: Sequence[int], workers: int, seconds: Sequence[float], message: float, seed: int = 0) -> float:
    """Seconds of a search whose rounds have so many candidates.

    Args:
        rounds: Candidates of each round.
        workers: How many.
        seconds: What a candidate takes: drawn from these.
        message: Seconds of a message; one after the other.
        seed: Of the drawing.
    """
    rng, total = random.Random(seed), 0.0
    for size in rounds:
        free, sent, end = [0.0] * min(workers, size), 0.0, 0.0
        for _ in range(size):
            sent = max(sent, heapq.heappop(free)) + message
            done = sent + rng.choice(seconds)
            heapq.heappush(free, done)
            end = max(end, done)
        total += end
    return total


def rounds_of(children: int | None) -> list[int]:
    """Candidates of each round; None for random search, which is one round."""
    return [CANDIDATES] if children is None else [POPULATION] + [children] * ((CANDIDATES - POPULATION) // children)


def answer(worker: Worker, message: int) -> int:
    """What a worker does with an empty item."""
    return message


def measure(
    make: Callable[[], Executor], effort: Callable[[Evaluation], float], evaluations: Sequence[Evaluation]
) -> tuple[float, float, list[Result], float]:
    """Seconds to start, candidates a second, their results, seconds of a message."""
    start = time.perf_counter()
    with make() as executor:
        list(executor.map(Worker.score, evaluations[: executor.workers], effort, single_threaded=True))
        started = time.perf_counter() - start
        start = time.perf_counter()
        results = list(executor.map(Worker.score, evaluations, effort, single_threaded=True))
        rate = len(evaluations) / (time.perf_counter() - start)
        times = []
        for _ in range(MESSAGES):
            start = time.perf_counter()
            list(executor.map(answer, [1], effort=float, single_threaded=True))
            times.append(time.perf_counter() - start)
    return started, rate, results, statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data set")
    parser.add_argument("--candidates", type=int, default=128, help="random candidates to score")
    parser.add_argument("--space", default="nasrec-small", help="search space")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space, rng = SearchSpace.named(arguments.space), random.Random(0)
    archs = [space.sample(rng) for _ in range(arguments.candidates)]
    with tempfile.TemporaryDirectory() as folder:
        values = {"data": str(arguments.data.absolute()), "run": folder, "space": arguments.space}
        settings = Settings.from_mapping(values | {"proxy": {"score": "sigeo"}, "warmup": {"probe_candidates": 0}})
        settings = replace(settings, warmup=replace(settings.warmup, amount=0.01))
        dataset = open_data(settings)

        def effort(evaluation: Evaluation) -> float:
            return count_macs(evaluation.candidate.network, dataset.schema)

        with computing_with(threads=1):
            warm_up_supernet(Path(folder), settings, dataset, lambda: None, Console(False))
        kinds: dict[str, Callable[[], Executor]] = {
            "this process": partial(ThisProcess, Worker, (settings,)),
            "2 processes": partial(LocalProcesses, 2, Worker, (settings,)),
            "2 Ray actors": partial(RayWorkers, "local", 2, print, Worker, (settings,)),
        }
        recipe = settings.final.recipe
        evaluations = [Evaluation(Candidate(arch, recipe, settings.inputs)) for arch in archs]
        print(f"{len(archs)} random candidates of {arguments.space} by SiGeo, one thread each")
        print(f"{'':<14} {'start':>7} {'candidates':>11} {'seconds of one':>15} {'message':>9}")
        print(f"{'':<14} {'s':>7} {'a second':>11} {'median':>15} {'ms':>9}")
        measured = {name: measure(make, effort, evaluations) for name, make in kinds.items()}
    for name, (started, rate, results, message) in measured.items():
        second = statistics.median(result.seconds for result in results)
        print(f"{name:<14} {started:>7.1f} {rate:>11.2f} {second:>15.3f} {1000 * message:>9.2f}")
    proxies = [[result.proxies for result in results] for _, _, results, _ in measured.values()]
    print(f"the scores have the same bits: {'yes' if proxies[0] == proxies[1] == proxies[2] else 'NO'}")
    seconds, message = [result.seconds for result in measured["this process"][2]], measured["2 Ray actors"][3]
    print(f"\n{CANDIDATES:,} candidates, simulated: minutes (share of the workers' time that is used)")
    ways = {f"--children {children}": rounds_of(children) for children in CHILDREN}
    ways["--strategy random"] = rounds_of(None)
    print(f"{'workers':<8}" + "".join(f"{name:>20}" for name in ways))
    for workers in WORKERS:
        cells = []
        for rounds in ways.values():
            taken = simulate(rounds, workers, seconds, message)
            used = CANDIDATES * statistics.mean(seconds) / workers / taken
            cells.append(f"{f'{taken / 60:.2f} ({used:.0%})':>20}")
        print(f"{workers:<8}" + "".join(cells))


if __name__ == "__main__":
    main()
