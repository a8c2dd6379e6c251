"""Baselines without a search, or added to a finished run, trained as beside a search's finalists."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from recnas.candidates.network import BASELINE, Baseline
from recnas.execution.torchrun import led
from recnas.features.schema import SPLITS
from recnas.runs.folder import CONFIG, RESULTS
from recnas.runs.outlook import Outlook
from recnas.runs.plan import write_plan
from recnas.runs.results import best_trained, check_judged, read_results
from recnas.runs.settings import Settings
from recnas.search.baseline_candidates import check_baseline_candidates
from recnas.search.conclusion import comparison_entry, ensemble_entry, model_entries
from recnas.search.context import RunOptions
from recnas.search.costs import Costs
from recnas.search.data_summary import say_rows
from recnas.search.feeding import open_data
from recnas.search.run import conclude, describe_data, open_context
from recnas.search.stages import go_through, last_stages, plan_search, stages_of
from recnas.search.worker import Worker
from recnas.tracking import check_trackers
from recnas.util.console import Console
from recnas.util.files import read_yaml, write_json, write_text
from recnas.util.user_code import from_file_name


def train_baselines(settings: Settings, options: RunOptions) -> dict[str, Any]:
    """Trains the baselines of `settings.final.baselines` in a run without a search.

    Args:
        settings: What to do; `final.top_k` is 0.
        options: How it is begun and followed.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, or the run's folder is taken.
        RunError: No model could be trained to the end.
    """
    return led(partial(_train_baselines, settings, options), partial(Worker, settings))


def _train_baselines(settings: Settings, options: RunOptions) -> dict[str, Any]:
    check_trackers(options.log_to)
    dataset = open_data(settings)
    plan = plan_search(settings, {split: dataset.rows(split) for split in SPLITS})
    console = Console(options.progress, plan.names)
    console.outlook = Outlook(plan)
    costs, started = Costs(settings, dataset), time.perf_counter()
    check_baseline_candidates(settings, settings.final.baselines, dataset.schema)
    say_rows(console, dataset)
    with open_context(settings, dataset, costs, console, options) as context:
        write_plan(context.run, plan)
        describe_data(context.run, dataset)
        findings = go_through(context, stages_of(settings))
        results = conclude(context, findings) | {"search": None, "seconds": time.perf_counter() - started}
        write_json(context.run / RESULTS, results)
    return results


def add_baselines(settings: Settings, names: tuple[str, ...], options: RunOptions) -> dict[str, Any]:
    """Trains baselines with the settings of a finished run, and adds them to its results.

    Models that it has are left alone. A process that is killed loses the work in flight at most: the same call goes on.

    Args:
        settings: The run's own.
        names: The models.
        options: How it is followed.

    Returns:
        What `results.json` holds then.

    Raises:
        InputError: The data set is another one than the run's.
        RunError: None of them could be trained to the end.
    """
    return led(partial(_add_baselines, settings, names, options), partial(Worker, settings))


def _add_baselines(settings: Settings, names: tuple[str, ...], options: RunOptions) -> dict[str, Any]:
    check_trackers(options.log_to)
    console, dataset = Console(options.progress), open_data(settings)
    costs = Costs(settings, dataset)
    check_baseline_candidates(settings, names, dataset.schema)
    with open_context(settings, dataset, costs, console, replace(options, overwrite=False, resume=True)) as context:
        run = context.run
        results = read_results(run)
        check_judged(results["models"], run / RESULTS)
        known = [model["id"] for model in results["models"]]
        new = [name for name in names if Baseline(name).id not in known]
        if not new:
            console.say(f"{run} has them all")
        else:
            # Beside what the run did, calls that were killed may have recorded some of these, and others.
            context.history.disregard_order()
            stages = last_stages(settings, new)
            console.stages = tuple(stage.name for stage in stages)
            findings = go_through(context, stages)
            results["models"] += model_entries(context, findings)
            results |= best_trained(results["models"]) | {
                "ensemble": ensemble_entry(context, findings),
                "comparison": comparison_entry(context),
            }
            write_json(run / RESULTS, results)
        # Also when a killed process has come so far: a run's settings say what its results hold.
        _remember(
            run, settings, [from_file_name(model["id"]) for model in results["models"] if model["kind"] == BASELINE]
        )
    return results


def _remember(run: Path, settings: Settings, names: list[str]) -> None:
    if list(settings.final.baselines) != names:
        config = read_yaml(run / CONFIG)
        config["final"]["baselines"] = names
        write_text(run / CONFIG, yaml.safe_dump(config, sort_keys=False))
