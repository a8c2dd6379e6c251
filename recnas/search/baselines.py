"""Hand-made models without a search, or added to a finished run, trained as beside a search's finalists."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from recnas.candidates.definition import BASELINE
from recnas.data import Dataset
from recnas.execution.opening import open_executor
from recnas.execution.torchrun import led
from recnas.features.schema import SPLITS
from recnas.nn.baselines.registry import import_baselines
from recnas.runs.folder import CONFIG, FINAL_TRAINING, RESULTS, TEST, open_run, shared_files
from recnas.runs.outlook import Outlook
from recnas.runs.plan import write_plan
from recnas.runs.results import best_trained, check_judged, read_results
from recnas.runs.settings import Settings
from recnas.search.costs import Costs
from recnas.search.data_summary import say_rows
from recnas.search.finalists import start_training
from recnas.search.finals import hand_made, run_finals, train_models
from recnas.search.plan import plan_search
from recnas.search.run import describe_data
from recnas.tracking import check_trackers, tracked
from recnas.util.console import Console
from recnas.util.files import read_yaml, write_json, write_text
from recnas.util.user_code import from_file_name


def train_baselines(
    settings: Settings, *, overwrite: bool, resume: bool, progress: bool, log_to: Collection[str] = ()
) -> dict[str, Any]:
    """Trains the hand-made models of `settings.final.baselines` in a run without a search.

    Args:
        settings: What to do; `final.top_k` is 0.
        overwrite: Replace an earlier run without a search in that folder.
        resume: Go on with the run in that folder, if there is one.
        progress: Show how far it is and a line for each result, on standard error.
        log_to: Trackers that are told of the run: `mlflow`, `tensorboard`.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, or the run's folder is taken.
        RunError: No model could be trained to the end.
    """
    lead = partial(_train_baselines, settings, overwrite=overwrite, resume=resume, progress=progress, log_to=log_to)
    return led(lead, partial(start_training, settings))


def _train_baselines(
    settings: Settings, *, overwrite: bool, resume: bool, progress: bool, log_to: Collection[str]
) -> dict[str, Any]:
    check_trackers(log_to)
    dataset = Dataset(settings.data)
    plan = plan_search(settings, {split: dataset.rows(split) for split in SPLITS})
    console = Console(progress, plan.names)
    console.outlook = Outlook(plan)
    costs, started = Costs(settings, dataset), time.perf_counter()
    import_baselines(settings.final.baselines)
    say_rows(console, dataset)
    with (
        open_executor(
            settings.workers, settings.ray, start_training, (settings.as_seen_by_workers,), console.say
        ) as executor,
        open_run(settings, dataset.schema, overwrite, resume) as run,
        tracked(run, log_to, console),
    ):
        write_plan(run, plan)
        executor.check_files(shared_files(run, dataset.path))
        describe_data(run, dataset)
        results = run_finals(run, settings, dataset, [], costs, executor, console)
        results |= {"run": str(run), "search": None, "seconds": time.perf_counter() - started}
        write_json(run / RESULTS, results)
    return results


def add_baselines(
    settings: Settings, names: tuple[str, ...], *, progress: bool, log_to: Collection[str] = ()
) -> dict[str, Any]:
    """Trains hand-made models with the settings of a finished run, and adds them to its results.

    Models that it has are left alone. A process that is killed loses the work in flight at most: the same call goes on.

    Args:
        settings: The run's own.
        names: The models.
        progress, log_to: As in `train_baselines`.

    Returns:
        What `results.json` holds then.

    Raises:
        InputError: The data set is another one than the run's.
        RunError: None of them could be trained to the end.
    """
    lead = partial(_add_baselines, settings, names, progress=progress, log_to=log_to)
    return led(lead, partial(start_training, settings))


def _add_baselines(
    settings: Settings, names: tuple[str, ...], *, progress: bool, log_to: Collection[str]
) -> dict[str, Any]:
    check_trackers(log_to)
    console, dataset = Console(progress, (FINAL_TRAINING, TEST)), Dataset(settings.data)
    costs = Costs(settings, dataset)
    import_baselines(names)
    with (
        open_executor(
            settings.workers, settings.ray, start_training, (settings.as_seen_by_workers,), console.say
        ) as executor,
        open_run(settings, dataset.schema, overwrite=False, resume=True) as run,
        tracked(run, log_to, console),
    ):
        executor.check_files(shared_files(run, dataset.path))
        results = read_results(run)
        check_judged(results["models"], run / RESULTS)
        known = [model["id"] for model in results["models"]]
        new = [entrant for entrant in hand_made(names) if entrant.id not in known]
        if not new:
            console.say(f"{run} has them all")
        else:
            models = train_models(run, settings, dataset, [], new, costs, executor, console)
            results["models"] += models
            results |= best_trained(results["models"])
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
