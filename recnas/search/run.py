"""A search: its stages one after the other, and their results. A run is a folder, written as it goes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from recnas.candidates.families import USUAL_FAMILIES
from recnas.candidates.network import save_network
from recnas.data import Dataset, describe
from recnas.execution.opening import open_executor
from recnas.execution.torchrun import led
from recnas.features.schema import SPLITS
from recnas.nn.model import default_device
from recnas.nn.processes import num_started
from recnas.proxies.registry import check_proxy_name
from recnas.runs.folder import ARCHITECTURE, DATA, RESULTS, check_openable, finished, open_run, shared_files
from recnas.runs.outlook import Outlook
from recnas.runs.plan import write_plan
from recnas.runs.results import best_trained, current
from recnas.runs.settings import MOST_USUAL_WORKERS, Settings
from recnas.search.baseline_candidates import check_baseline_candidates
from recnas.search.conclusion import comparison_entry, ensemble_entry, front, model_entries
from recnas.search.context import RunContext, RunOptions
from recnas.search.costs import Costs
from recnas.search.data_summary import data_entry, say_rows
from recnas.search.exploring import check_limits
from recnas.search.feeding import keep_inputs, open_data
from recnas.search.own_objectives import find_objective
from recnas.search.rows_for_budget import fitted_to_budget
from recnas.search.scoring import check_precision, check_proxy_rows
from recnas.search.search_stage import named_strategy
from recnas.search.stage import Findings
from recnas.search.stages import go_through, plan_search, stages_of
from recnas.search.warmup_stage import say_warm_up
from recnas.search.worker import Worker
from recnas.strategies.base import Strategy
from recnas.tracking import check_trackers, tracked
from recnas.util.console import Console
from recnas.util.cores import available_cores
from recnas.util.files import write_json
from recnas.util.user_code import is_user_code


def search(
    settings: Settings, options: RunOptions | None = None, *, strategy: Strategy | None = None
) -> dict[str, Any]:
    """Finds a model for a data set; everything it decides, measures and makes is in the run's folder.

    A process that is killed, at whatever moment, loses the work in flight at most: the same search with `resume` goes
    on and ends with the history, the finalists and the figures of one that was left alone.

    Of several processes that `torchrun` started all call this; they train together, and the first one does the rest.

    Args:
        settings: What to do.
        options: How it is begun and followed.
        strategy: What proposes candidates, in the place of the one that the settings name; it has not begun.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, the run's folder is taken, or a tracker cannot be had.
        RunError: The training diverged.
    """
    lead = partial(_search, settings, RunOptions() if options is None else options, strategy)
    return led(lead, partial(Worker, settings))


def _search(settings: Settings, options: RunOptions, strategy: Strategy | None) -> dict[str, Any]:
    console = Console(options.progress)
    check_trackers(options.log_to)
    if options.resume and (results := finished(settings)) is not None:
        console.say(f"{settings.run} is finished")
        with tracked(Path(settings.run), options.log_to, console):
            pass
        return current(results)
    for name in settings.ranking.names:
        check_proxy_name(name)
    started = time.perf_counter()
    whole = Dataset(settings.data)
    check_openable(settings, whole.own_schema, options.overwrite, options.resume)
    settings = fitted_to_budget(settings, whole, options.resume, console)
    dataset = open_data(settings)
    costs = Costs(settings, dataset)
    if not settings.trains:
        costs.check_counts()
    timed = settings.limits.max_latency_ms is not None
    if strategy is None and not is_user_code(settings.explorer):
        strategy = named_strategy(settings)
    if strategy is not None and settings.limits.bounds and not timed and not settings.trains:
        check_limits(strategy, settings, costs)
    # Code of the user's own is imported when nothing else can be refused but for what its proxies declare, and before
    # anything is replaced.
    plan = plan_search(settings, {split: dataset.rows(split) for split in SPLITS})
    if settings.ranking.inherits:
        check_proxy_rows(settings, dataset)
        check_precision(settings)
    console.stages, console.outlook = plan.names, Outlook(plan)
    check_baseline_candidates(settings, settings.final.baselines, dataset.schema)
    if strategy is None:
        strategy = named_strategy(settings)
    for name in settings.evolution.own_objectives:
        find_objective(name)
    say_rows(console, dataset)
    with open_context(settings, dataset, costs, console, options) as context:
        write_plan(context.run, plan)
        if timed:
            # What is timed must have the machine to itself.
            context.executor.wait_for_start()
            if not settings.trains:
                costs.check_latency()
                check_limits(strategy, settings, costs)
        describe_data(context.run, dataset)
        keep_inputs(context.run, settings.inputs, dataset)
        if not settings.trains:
            say_warm_up(console, settings)
        findings = go_through(context, stages_of(settings, strategy))
        results = conclude(context, findings)
        results["search"] = {
            "candidates": len(findings.explored),
            # JSON has no -inf.
            "reranked": {
                result.candidate.network_id: result.score if math.isfinite(result.score) else None
                for result in findings.reranked or ()
            },
            "seconds": findings.seconds,
            "warmup_rows": findings.warmup_rows,
        }
        results["seconds"] = time.perf_counter() - started
        write_json(context.run / RESULTS, results)
    return results


def on_all_cores(settings: Settings) -> Settings:
    """Settings with one worker a core, where a search trains its candidates and nothing is said of workers.

    A cluster, the processes that `torchrun` started, and a GPU do the work in their own way.
    """
    said = settings.workers is not None or settings.ray is not None or num_started() > 1
    if said or not settings.trains or default_device().type != "cpu":
        return settings
    return replace(settings, workers=min(available_cores(), MOST_USUAL_WORKERS))


@contextmanager
def open_context(
    settings: Settings, dataset: Dataset, costs: Costs, console: Console, options: RunOptions
) -> Iterator[RunContext]:
    """A run's folder, its workers and its trackers, while the `with` block lasts.

    Raises:
        InputError: The folder is taken, or workers do not see it.
    """
    # Workers are started first: in a script without a main guard that fails before anything is replaced.
    with (
        open_executor(settings.workers, settings.ray, Worker, (settings.as_seen_by_workers,), console.say) as executor,
        open_run(settings, dataset.own_schema, options.overwrite, options.resume) as run,
        tracked(run, options.log_to, console),
    ):
        executor.check_files(shared_files(run, dataset.path))
        context = RunContext(run, settings, dataset, costs, executor, console)
        with closing(context.history):
            yield context


def conclude(context: RunContext, findings: Findings) -> dict[str, Any]:
    """What `results.json` says about models and data; the best searched architecture is written, too."""
    settings, dataset = context.settings, context.dataset
    models = model_entries(context, findings)
    best = best_trained(models)
    if (searched := best["best_searched"]) is not None:
        save_network(findings.chosen[searched].candidate.network, context.run / ARCHITECTURE)
    return {
        **best,
        "front": front(models, settings.evolution.objectives, settings.families) if settings.searches else [],
        "data": data_entry(settings, dataset) | {"positive_rate": dataset.schema.positive_rate("train")},
        "space": _space(settings) if settings.searches else None,
        "models": models,
        "ensemble": ensemble_entry(context, findings),
        "comparison": comparison_entry(context),
        "run": str(context.run),
    }


def _space(settings: Settings) -> str:
    """What is searched, in words."""
    blocks = [] if settings.block_space is None else [settings.block_space]
    if not settings.trains:
        return blocks[0]
    families = list(settings.families)
    if every := set(USUAL_FAMILIES) <= set(families):
        families = [name for name in families if name not in USUAL_FAMILIES]
    *others, last = [*([f"all {len(USUAL_FAMILIES)} families of networks"] if every else []), *families, *blocks]
    return f"{', '.join(others)} and {last}" if others else last


def describe_data(run: Path, dataset: Dataset) -> None:
    """What the report tells about the data; written now, as the data set may be gone when the report is made."""
    if not (run / DATA).exists():
        # One look at every column: seconds for millions of rows, beside minutes of warm-up.
        write_json(run / DATA, describe(dataset.path).to_json())
