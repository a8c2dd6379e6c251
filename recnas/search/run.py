"""A search: warm-up, evolution, shortlist, final training, results. A run is a folder, written as it goes."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from recnas.data import Dataset, describe
from recnas.execution.executor import Executor, computing_with
from recnas.execution.opening import open_executor
from recnas.execution.torchrun import joined, led
from recnas.features.schema import SPLITS, Schema
from recnas.nn.baselines.registry import import_baselines
from recnas.proxies.registry import check_proxy_name
from recnas.runs.folder import DATA, RESULTS, SEARCH, check_openable, finished, open_run, shared_files
from recnas.runs.history import FILE_NAME as HISTORY
from recnas.runs.history import History, Recorded
from recnas.runs.outlook import RECENT_CANDIDATES, Outlook
from recnas.runs.plan import write_plan
from recnas.runs.results import with_best
from recnas.runs.settings import Settings
from recnas.search.costs import Costs
from recnas.search.data_summary import say_rows
from recnas.search.finalists import start_training
from recnas.search.finals import run_finals
from recnas.search.plan import plan_search
from recnas.search.reranking import make_shortlist
from recnas.search.scoring import (
    check_proxy_rows,
    scored_by,
    start_scoring,
    stop_scoring,
)
from recnas.search.warmup_stage import join_warm_up, warm_up_supernet
from recnas.space import SearchSpace
from recnas.strategies.evolution import RegularizedEvolution
from recnas.tracking import check_trackers, tracked
from recnas.util.console import Console
from recnas.util.files import write_json


def search(
    settings: Settings,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    log_to: Collection[str] = (),
) -> dict[str, Any]:
    """Finds a model for a data set; everything it decides, measures and makes is in the run's folder.

    A process that is killed, at whatever moment, loses the work in flight at most: the same search with `resume` goes
    on and ends with the history, the finalists and the figures of one that was left alone.

    Of several processes that `torchrun` started all call this; they train together, and the first one does the rest.

    Args:
        settings: What to do.
        overwrite: Replace an earlier run in that folder.
        resume: Go on with the run in that folder, if there is one.
        progress: Show how far it is and a line for each result, on standard error.
        log_to: Trackers that are told of the run: `mlflow`, `tensorboard`.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, the run's folder is taken, or a tracker cannot be had.
        RunError: The training diverged.
    """
    lead = partial(_search, settings, overwrite=overwrite, resume=resume, progress=progress, log_to=log_to)
    return led(lead, partial(prepare_process, settings))


def _search(
    settings: Settings, *, overwrite: bool, resume: bool, progress: bool, log_to: Collection[str]
) -> dict[str, Any]:
    console = Console(progress)
    check_trackers(log_to)
    if resume and (results := finished(settings)) is not None:
        results = with_best(results)
        console.say(f"{settings.run} is finished")
        with tracked(Path(settings.run), log_to, console):
            pass
        return results
    for name in settings.ranking.names:
        check_proxy_name(name)
    dataset = Dataset(settings.data)
    costs = Costs(settings, dataset)
    costs.check_counts()
    started = time.perf_counter()
    timed = settings.limits.max_latency_ms is not None
    if settings.limits.bounds and not timed:
        _check_limits(settings, costs)
    check_openable(settings, dataset.schema, overwrite, resume)
    # A module of the user's own is imported when nothing else can be refused but for what its proxies declare, and
    # before anything is replaced.
    plan = plan_search(settings, {split: dataset.rows(split) for split in SPLITS})
    if settings.ranking.inherits:
        check_proxy_rows(settings, dataset)
    console.stages, console.outlook = plan.names, Outlook(plan)
    import_baselines(settings.final.baselines)
    say_rows(console, dataset)
    # Workers are started first: in a script without a main guard that fails before anything is replaced.
    with (
        open_executor(
            settings.workers, settings.ray, prepare_process, (settings.as_seen_by_workers,), console.say
        ) as executor,
        open_run(settings, dataset.schema, overwrite, resume) as run,
        tracked(run, log_to, console),
    ):
        write_plan(run, plan)
        executor.check_files(shared_files(run, dataset.path))
        if timed:
            # What is timed must have the machine to itself.
            executor.wait_for_start()
            costs.check_latency()
            _check_limits(settings, costs)
        describe_data(run, dataset)
        found = find_candidates(run, settings, dataset, costs, executor, console)
        results = run_finals(run, settings, dataset, found.ranked, costs, executor, console)
        results["run"] = str(run)
        results["search"] = {
            "candidates": len(found.history),
            # JSON has no -inf.
            "shortlist": {
                item.proposal.id: item.scored.score if math.isfinite(item.scored.score) else None
                for item in found.shortlist or ()
            },
            "seconds": found.seconds,
            "warmup_rows": found.warmup_rows,
        }
        results["seconds"] = time.perf_counter() - started
        write_json(run / RESULTS, results)
    return results


def prepare_process(settings: Settings) -> None:
    """Prepares this process to score a run's candidates and to train its models."""
    start_scoring(settings)
    start_training(settings)


@dataclass(frozen=True)
class Found:
    """What a search has come to before its final training.

    Attributes:
        history: Every candidate in the order of scoring.
        shortlist: The best of them with their scores of the second look; None where there was none.
        seconds: What both looks took.
        warmup_rows: Training rows of the warm-up.
    """

    history: list[Recorded]
    shortlist: list[Recorded] | None
    seconds: float
    warmup_rows: int

    @property
    def ranked(self) -> list[Recorded]:
        """The candidates that finalists are chosen from."""
        return self.history if self.shortlist is None else self.shortlist


def find_candidates(
    run: Path, settings: Settings, dataset: Dataset, costs: Costs, executor: Executor, console: Console
) -> Found:
    """A search up to the final training: warm-up, if the ranking needs one, evolution, and the shortlist.

    Args:
        run: The run's folder; what is done in it already is not done again.
        settings: The run's.
        dataset: What is learned from.
        costs: What candidates cost.
        executor: Of processes that `prepare_process` has prepared.
        console: Where it is shown.

    Raises:
        Diverged: The warm-up's loss is not a finite number.
    """
    try:
        rows = 0
        if settings.warms_up:
            proxies = settings.ranking.proxies.items()
            if fresh := sorted(name for name, proxy in proxies if proxy.declaration.weights == "fresh"):
                console.say(f"warm-up: {', '.join(fresh)} will look at warm weights, and is published for fresh ones")
            # Every score hangs on what comes of it. Cores that are left measure what candidates inherit.
            with joined(join_warm_up, settings), computing_with(threads=1):
                rows = warm_up_supernet(run, settings, dataset, executor.check, console)
        else:
            why = "looks at fresh weights" if settings.ranking.inherits else "looks at nothing that is inherited"
            console.say(f"warm-up: none, {settings.proxy.score!r} {why}")
        history, seconds = _evolve(run, settings, dataset.schema, costs, executor, console)
        shortlist = None
        if settings.ranking.second is not None:
            shortlist, more = make_shortlist(run, settings, history, dataset.schema, costs, executor, console)
            seconds += more
    finally:
        stop_scoring()
    return Found(history, shortlist, seconds, rows)


def describe_data(run: Path, dataset: Dataset) -> None:
    """What the report tells about the data; written now, as the data set may be gone when the report is made."""
    if not (run / DATA).exists():
        # One look at every column: seconds for millions of rows, beside minutes of warm-up.
        write_json(run / DATA, describe(dataset.path).to_json())


def _evolution(settings: Settings, costs: Costs) -> RegularizedEvolution:
    """The run's evolution, before its first round; a random search is one that ends with its first population."""
    evolution = settings.evolution
    if not settings.evolves:
        evolution = replace(evolution, population=evolution.candidates, iterations=0)
    return RegularizedEvolution(
        SearchSpace.named(settings.space),
        evolution,
        random.Random(f"{settings.seed}/search"),
        costs.affordable,
        costs.smallest,
        costs.objectives,
    )


def _check_limits(settings: Settings, costs: Costs) -> None:
    """Draws the first candidates once before the warm-up: limits that leave too few are known at once."""
    _evolution(settings, costs).ask()


def _evolve(
    run: Path, settings: Settings, schema: Schema, costs: Costs, executor: Executor, console: Console
) -> tuple[list[Recorded], float]:
    evolution = _evolution(settings, costs)
    history = History(run)
    if history.dropped:
        console.say(f"{run / HISTORY}: the last line was cut short; its candidate is scored again")
    if history.num_known:
        console.say(f"search: {history.num_known:,} candidates scored before")
    best, recent = -float("inf"), deque[float](maxlen=RECENT_CANDIDATES)
    start = time.perf_counter()
    with (
        closing(history),
        console.bar(settings.evolution.candidates, SEARCH, "candidates") as bar,
    ):
        while proposals := evolution.ask():
            scores = []
            with closing(history.fill(proposals, partial(scored_by, executor, schema))) as results:
                for scored, known in results:
                    scores.append(scored.score)
                    best = max(best, scored.score)
                    if known:
                        bar.skip()
                    else:
                        recent.append(scored.seconds)
                        if taken := sum(recent):
                            bar.went(executor.side_by_side * len(recent) / taken)
                        bar.update(note=f"best score {best:.2f}")
            evolution.tell(scores)
    # What a process before spent is known by its candidates.
    seconds = history.seconds_before / executor.side_by_side + time.perf_counter() - start
    count = len(history.recorded)
    if count < settings.evolution.candidates:
        console.say(f"search: no new candidate was found after {count:,}; it ends here")
    console.say(f"search: {count:,} candidates in {seconds:.0f} s ({count / seconds:.1f} a second)")
    return history.recorded, seconds
