"""What bfloat16 changes of a search that ranks by SiGeo: scores, the order of candidates, and what evolution chooses.

    recnas search --data data/synthetic --preset criteo --population 64 --iterations 40 --run runs/cut
    python benchmarks/precision.py runs/cut
    python benchmarks/precision.py runs/cut --candidates 200 --timed 40

Candidates of a run that scored in single precision are scored in bfloat16, with the run's own supernet and batches, on
one thread: the best ones, the parents and their nearest rivals in each round, and others drawn at random. It prints
Kendall's τ between the run's scores and these, how far they differ, whether the best and the finalists are the same,
and which rounds would have had another parent. Some are scored in both precisions in turns, to compare their seconds.

A round's parent is the best of its tournament, which is taken to be the whole population: in one of `--tournament` 64,
the members are the same if no more are alive.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.stats import kendalltau

from recnas.candidates.candidate import Candidate
from recnas.candidates.evaluation import Evaluation
from recnas.candidates.recipe import Optimization, Recipe
from recnas.proxies.context import ScoringContext
from recnas.proxies.precision import PRECISIONS
from recnas.runs.folder import read_config
from recnas.runs.reader import Candidate as Scored
from recnas.runs.reader import read_run
from recnas.runs.settings import Settings
from recnas.search.feeding import open_data
from recnas.search.scoring import Scorer, build_scoring_context
from recnas.space import Architecture, SearchSpace

NEAR = 2.0
"""Alive candidates whose scores are as near as this to the best one's are its rivals."""


Pair = tuple[float, float]
"""Of a candidate in single precision and in bfloat16."""


def tournaments(history: Sequence[Scored], population: int) -> list[list[int]]:
    """For each round the places in the history of those who are alive, one of whom becomes the parent."""
    rounds = sorted({item.iteration for item in history if item.iteration > 0})
    before = [sum(item.iteration < number for item in history) for number in rounds]
    return [list(range(max(0, end - population), end)) for end in before]


def rivals(history: Sequence[Scored], alive: Sequence[int]) -> list[int]:
    """The best of some, and who is near it."""
    top = max(history[place].score for place in alive)
    return [place for place in alive if history[place].score >= top - NEAR]


def seconds(scorer: Scorer, arch: Architecture) -> float:
    """How long this thread takes to score a candidate."""
    start = time.thread_time()
    scorer(evaluation_of(arch))
    return time.thread_time() - start


def evaluation_of(arch: Architecture) -> Evaluation:
    """What a scorer is asked; it does not look at the recipe."""
    return Evaluation(Candidate(arch, Recipe(Optimization(learning_rate=0.1, batch_size=512))))


def tau(pairs: Sequence[Pair]) -> str:
    """Kendall's rank correlation, and of how many."""
    return f"{kendalltau(*zip(*pairs, strict=True)).statistic:.4f} ({len(pairs)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of a search that ranks by SiGeo")
    parser.add_argument("--candidates", type=int, default=300, help="how many are scored, about")
    parser.add_argument("--timed", type=int, default=20, help="how many are scored in both precisions")
    parser.add_argument("--top", type=int, default=15, help="finalists")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings.known_in(read_config(arguments.run), str(arguments.run))
    history = read_run(arguments.run).history
    SearchSpace.named(settings.block_space)
    order = sorted(range(len(history)), key=lambda place: -history[place].score)
    rounds = tournaments(history, settings.evolution.population)
    contested = [rivals(history, alive) for alive in rounds]
    chosen = dict.fromkeys(
        [*order[: 2 * arguments.top], *(place for near in contested if len(near) > 1 for place in near)]
    )
    rest = [place for place in range(len(history)) if place not in chosen]
    random.Random(0).shuffle(rest)
    places = [*chosen, *rest[: max(0, arguments.candidates - len(chosen))]]
    random.Random(0).shuffle(places)
    context = build_scoring_context(settings, open_data(settings), warm=settings.warms_up)
    single, half = (
        Scorer(ScoringContext.of(context.supernet, context.batches, precision=precision), settings.ranking.first)
        for precision in PRECISIONS
    )
    archs = [Architecture.from_json(item.architecture) for item in history]
    found: dict[int, Pair] = {}
    for place in places:
        found[place] = history[place].score, half(evaluation_of(archs[place])).score
        print(f"\r{len(found)} of {len(places)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    beginning = [pair for place, pair in found.items() if history[place].iteration == 0]
    evolved = [pair for place, pair in found.items() if history[place].iteration > 0]
    apart = sorted(abs(one - other) for one, other in found.values())
    best = [sorted(found, key=lambda place: -found[place][number])[: arguments.top] for number in (0, 1)]
    close = [near for near in contested if len(near) > 1]
    turned = [near for near in close if len({max(near, key=lambda place: found[place][one]) for one in (0, 1)}) > 1]
    print(
        f"{settings.block_space}: {len(history)} candidates in {len(rounds)} rounds, {len(found)} of them scored again"
    )
    print(f"  Kendall's τ: all {tau([*beginning, *evolved])}, random {tau(beginning)}, evolved {tau(evolved)}")
    print(f"  scores differ by {statistics.median(apart):.3f} (median), {apart[-1]:.3f} (most)")
    same = "the same" if best[0][0] == best[1][0] else "another"
    print(f"  best candidate: {same}; {len(set(best[0]) & set(best[1]))} of the best {arguments.top} are the same")
    print(f"  rounds with another parent: {len(turned)} of {len(rounds)}, of which {len(close)} were close")
    ratios = [seconds(single, archs[place]) / seconds(half, archs[place]) for place in places[: arguments.timed]]
    if ratios:
        print(f"  seconds in single precision / in bfloat16, median of {len(ratios)}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
