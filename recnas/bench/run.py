"""Many simulated searches of several strategies on one table: a folder with all regrets, ranks, and a page."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from recnas.bench.comparison import BUDGETS, anytime, critical_difference, standings
from recnas.bench.shipped import open_table
from recnas.bench.simulation import Simulation, loss_at
from recnas.bench.surrogate import Surrogate
from recnas.bench.text import to_markdown
from recnas.runs.settings import Settings
from recnas.strategies.base import Strategy
from recnas.strategies.registry import find_strategy, strategies
from recnas.util.console import Console
from recnas.util.errors import InputError
from recnas.util.files import write_json, write_text, writing

REFERENCE = "random-trained"
"""The strategy that others are held against."""
RESULTS, PAGE, REGRETS = "results.json", "strategies.md", "regrets.json"
FILES = (RESULTS, REGRETS, PAGE, "report.html")
"""What is written of a comparison."""
SLOW = ("gp",)
"""Strategies whose proposals take a second: they are simulated where they are named."""


@dataclass(frozen=True)
class Searches:
    """What came of a strategy's simulated searches.

    Attributes:
        strategy: Its name.
        losses: Expected test log loss of what each had at each moment, `[seeds, budgets]`.
        seconds: Wall-clock time of one search, the mean.
        trainings: Whole trainings of one search, the mean.
    """

    strategy: str
    losses: np.ndarray
    seconds: float
    trainings: float


def usual_strategies() -> list[str]:
    """The names of the strategies that train, but for those whose proposals take too long for hundreds of searches."""
    return [name for name, cls in strategies().items() if cls.trains and name not in SLOW]


def run_bench(
    table: str,
    run: Path | str,
    names: Sequence[str] | None = None,
    seeds: int = 100,
    most: int = BUDGETS[-1],
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Simulates searches of strategies on a table.

    Args:
        table: A shipped table's name, or a Parquet file.
        run: The folder for what comes of it.
        names: Of strategies that train; None: the usual ones that can search the table's space.
        seeds: Searches of each.
        most: How long a search is, in median training times of the table.
        workers: Processes that simulate; what comes of it does not depend on them.
        overwrite: Replace an earlier comparison in that folder.
        progress: Show how far it is, on standard error.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: A strategy is unknown, trains nothing or cannot search the table's space, the table has no
            surrogate, or the folder is taken.
        RunError: The folder cannot be made or written to.
    """
    for name in names or ():
        if not find_strategy(name).trains:
            raise InputError(f"{name} ranks candidates and trains none of them; a simulation has strategies that train")
    console, start, folder = Console(progress), time.perf_counter(), Path(run)
    _check_room(folder, overwrite)
    opened = open_table(table)
    surrogate = Surrogate(opened)
    names = _able(Simulation(opened, surrogate), names, console)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    budgets = [*(budget for budget in BUDGETS if budget < most), most]
    unit = float(opened.frame["seconds"].median())
    jobs = [(name, seed) for name in names for seed in range(seeds)]
    found: dict[str, dict[int, tuple[list[float], float, int]]] = {name: {} for name in names}
    with (
        console.bar(len(jobs), "searches", "searches") as bar,
        ProcessPoolExecutor(workers, get_context("spawn"), _begin, (table, unit, budgets)) as pool,
    ):
        for (name, seed), outcome in zip(jobs, pool.map(_search, jobs, chunksize=4), strict=True):
            found[name][seed] = outcome
            bar.update()
    searches = [
        Searches(
            name,
            np.array([losses for losses, _, _ in of_seeds.values()]),
            statistics.mean(seconds for _, seconds, _ in of_seeds.values()),
            statistics.mean(trainings for _, _, trainings in of_seeds.values()),
        )
        for name, of_seeds in found.items()
    ]
    best = min(float(item.losses.min()) for item in searches)
    best = min(best, min(surrogate.mean(candidate).test for candidate in opened if candidate.id in surrogate))
    results = _results(table, opened.about, surrogate, searches, best, budgets, unit)
    results["seconds"] = time.perf_counter() - start
    write_json(folder / RESULTS, results)
    write_text(folder / REGRETS, json.dumps({item.strategy: (item.losses - best).tolist() for item in searches}))
    write_text(folder / PAGE, to_markdown(results))
    return results


def _check_room(folder: Path, overwrite: bool) -> None:
    """Raises InputError if a folder has something else, or an earlier comparison that is not to be replaced."""
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name] if folder.exists() else []
    if others := sorted(set(there) - set(FILES)):
        raise InputError(f"{folder} has {others[0]}; choose another --run for what comes of simulated searches")
    if there and not overwrite:
        raise InputError(f"{folder} has an earlier comparison; choose another --run, or --overwrite to replace it")


def _able(simulation: Simulation, names: Sequence[str] | None, console: Console) -> list[str]:
    """The strategies that can search the space, the reference first; one that was named and cannot is refused."""
    found = []
    for name in usual_strategies() if names is None else names:
        try:
            simulation.begin(_made(name), seconds=1.0, seed=0)
        except InputError as error:
            if names is not None:
                raise
            console.say(f"{name} is left out: {error}")
        else:
            found.append(name)
    return [REFERENCE, *(name for name in found if name != REFERENCE)]


def _made(name: str) -> Strategy:
    return find_strategy(name).from_settings(Settings(strategy=name))


def _results(
    table: str,
    about: dict[str, Any],
    surrogate: Surrogate,
    searches: Sequence[Searches],
    best: float,
    budgets: Sequence[float],
    unit: float,
) -> dict[str, Any]:
    names = [item.strategy for item in searches]
    regrets = np.array([item.losses for item in searches]) - best
    seeds = regrets.shape[1]
    at = {
        budget: [asdict(item) for item in standings(names, regrets[:, :, place], REFERENCE)]
        for place, budget in enumerate(budgets)
    }
    return {
        "table": Path(table).stem,
        "data": about["data"],
        "varies": about["varies"],
        "fit": asdict(surrogate.fit),
        "best": best,
        "unit_seconds": unit,
        "seeds": seeds,
        "budgets": list(budgets),
        "critical_difference": critical_difference(len(names), seeds),
        "anytime": [asdict(anytime(item.strategy, own, budgets)) for item, own in zip(searches, regrets, strict=True)],
        "standings": {str(budget): lines for budget, lines in at.items()},
        "cost": {item.strategy: {"seconds": item.seconds, "trainings": item.trainings} for item in searches},
    }


_simulation: Simulation | None = None
_unit: float = 1.0
_budgets: Sequence[float] = ()


def _begin(table: str, unit: float, budgets: Sequence[float]) -> None:
    """Makes a process ready to simulate."""
    global _simulation, _unit, _budgets
    opened = open_table(table)
    _simulation, _unit, _budgets = Simulation(opened, Surrogate(opened)), unit, budgets


def _search(job: tuple[str, int]) -> tuple[list[float], float, int]:
    """One search: the expected test log loss at each moment, its wall-clock time, and its whole trainings."""
    name, seed = job
    assert _simulation is not None, "_begin comes first"
    start = time.perf_counter()
    moments = _simulation.search(_made(name), _budgets[-1] * _unit, seed)
    seconds = time.perf_counter() - start
    before = _simulation.surrogate.typical
    losses = [loss_at(moments, budget * _unit, before) for budget in _budgets]
    return losses, seconds, moments[-1].trainings if moments else 0
