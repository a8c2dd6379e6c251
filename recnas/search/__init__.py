"""What chooses: a strategy that proposes and learns, one loop that scores and records, executors that run the work.

The package itself can be called: `recnas.search(data=…, run=…)` runs a whole search. `run_baselines`, which is
`recnas.baselines`, trains baselines alone, or for a finished search.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recnas.candidates.families import FAMILIES
from recnas.runs.final_settings import OWN
from recnas.runs.presets import read_settings, resolve, with_preset
from recnas.runs.settings import CodeFlag, Settings
from recnas.strategies.base import Strategy
from recnas.strategies.evolution import EvolutionSettings, RegularizedEvolution
from recnas.strategies.registry import strategy_name
from recnas.util.callable_package import make_callable
from recnas.util.errors import InputError, suggested
from recnas.util.plain_values import merge
from recnas.util.user_code import is_user_code

__all__ = ["EvolutionSettings", "RegularizedEvolution", "Settings", "run_baselines", "run_search"]


def run_search(
    data: str | Path | None = None,
    run: str | Path | None = None,
    *,
    preset: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    log_to: str | Collection[str] = (),
    strategy: str | Strategy | None = None,
    all_cores: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Finds a model for a data set: warm-up, exploring, re-ranking, final training.

    Args:
        data: The data set's folder.
        run: The folder for everything the search decides, measures and makes.
        preset: Settings to begin with: a name from `configs/`, or a YAML file such as a run's `config.yaml`.
        overwrite: Replace an earlier run in that folder.
        resume: Go on with the run in that folder, if there is one, with the settings it was begun with.
        progress: Show progress on standard error.
        log_to: Trackers that are told of the run: `mlflow`, `tensorboard`.
        strategy: What proposes candidates: a name, as in `Settings`, or an object that has not begun. A run that was
            begun with an object is resumed with one of the same class.
        all_cores: Where `workers` says nothing, train candidates by one process a core, as from the command line, and
            not by this one.
        **settings: Settings in the place of the preset's, nested as in `config.yaml`: see `Settings`.

    Returns:
        What the run's `results.json` holds.

    Raises:
        InputError: The data set or the settings do not fit, the run's folder is taken, or a tracker cannot be had.
        RunError: The training diverged.

    With several workers or `all_cores` a script calls this under `if __name__ == "__main__":`, as every worker imports
    the script.

    Example:
        >>> recnas.search("data/criteo", "runs/criteo", space="nasrec-full", seed=1)
    """
    _check_flags(overwrite, resume)
    if isinstance(strategy, Strategy):
        settings["strategy"] = strategy_name(type(strategy))
        if is_user_code(settings["strategy"]):
            settings["strategy_trains"] = strategy.trains
    elif strategy is not None:
        settings["strategy"] = strategy
    resolved = resolve(Settings, data, run, preset, resume, settings)
    if not resolved.searches:
        raise InputError("a search trains at least one candidate (top_k); `recnas baselines` trains nothing else")
    # Imported only now: settings can be read and shown without loading torch.
    from recnas.search.context import RunOptions
    from recnas.search.run import on_all_cores, search

    if all_cores:
        resolved = on_all_cores(resolved)
    own = strategy if isinstance(strategy, Strategy) else None
    return search(resolved, RunOptions(overwrite, resume, progress, _names(log_to)), strategy=own)


def run_baselines(
    data: str | Path | None = None,
    run: str | Path | None = None,
    *,
    models: Sequence[str] | None = None,
    learning_rates: Sequence[float] | None = None,
    preset: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    log_to: str | Collection[str] = (),
    **settings: Any,
) -> dict[str, Any]:
    """Trains baselines: in a run of their own, or for a finished run, to whose results they are added.

    Each is trained by its family's own recipe, with what settings change of it, or as a preset says. Of several
    trainings of one, the best on validation counts. Those that are added to a finished run are trained as its settings
    say.

    Args:
        data: The data set's folder; a finished run knows its own.
        run: The folder for everything that is measured and made, or a finished run.
        models: Names in `recnas.candidates.families`, or `module:Class` for one of your own; None for all of networks.
        learning_rates: Peaks of the schedule to try; None for those of the preset, or the recipe's own.
        preset: Settings of the final training to begin with: a name from `configs/`, or a YAML file.
        overwrite: Replace an earlier run without a search in that folder.
        resume: Go on with the run in that folder, if there is one, with the settings it was begun with.
        progress: Show progress on standard error.
        log_to: Trackers that are told of the run: `mlflow`, `tensorboard`.
        **settings: Settings in the place of the preset's, nested as in `config.yaml`: see `Settings`.

    Returns:
        What the run's `results.json` holds.

    Raises:
        InputError: The data set, the settings or the names do not fit, the run's folder is taken, or a
            tracker cannot be had.
        RunError: No model could be trained to the end.

    Example:
        >>> recnas.baselines("data/criteo", "runs/rivals", models=["dlrm", "deepfm"], preset="criteo")
    """
    from recnas.runs.confirmation import check_cluster, check_code
    from recnas.runs.folder import begun_with, holds_search, is_finished

    _check_flags(overwrite, resume)
    given = with_preset(data, run, preset, settings)
    before = begun_with(Path(run), Settings.command) if run is not None and not overwrite else None
    finished = before is not None and is_finished(Path(run))
    if run is not None and holds_search(Path(run)):
        if overwrite:
            raise InputError(f"{run} holds a search; leave --overwrite out to add to it, or choose another --run")
        if not finished:
            raise InputError(
                f"{run} holds a search that has not ended; "
                f"`{suggested('recnas', 'search', '--run', Path(run), '--resume')}` resumes it"
            )
    wanted: dict[str, Any] = {}
    if finished:
        # These it keeps until the new models are trained.
        kept = Settings.known_in(before, f"{run}").final
        wanted |= {"top_k": kept.top_k, "baselines": list(kept.baselines)}
    else:
        wanted |= {"top_k": 0} if models is None else {"top_k": 0, "baselines": list(models)}
    if before is None or not (finished or resume):
        before = {"final": {"baselines": list(FAMILIES)}}
    if learning_rates is not None:
        final = merge(before, given).get("final", {}) | wanted
        wanted |= _rates(learning_rates, final.get("baseline_recipes", OWN))
    resolved = read_settings(Settings, merge(merge(before, given), {"final": wanted}), preset)
    check_cluster(resolved, settings, preset or f"{run}")
    if not finished:
        # Nothing is searched here, so that other code which the settings name is not run.
        check_code(
            resolved, {"final": wanted}, preset or f"{run}", {"final.baselines": CodeFlag("--models", "baseline")}
        )
    names = tuple(FAMILIES if models is None else models)
    # An unknown name is an error here too.
    replace(resolved.final, baselines=names)
    # Imported only now, as above.
    from recnas.search.baselines import add_baselines, train_baselines
    from recnas.search.context import RunOptions

    options = RunOptions(overwrite, resume, progress, _names(log_to))
    return add_baselines(resolved, names, options) if finished else train_baselines(resolved, options)


def _check_flags(overwrite: bool, resume: bool) -> None:
    if overwrite and resume:
        raise InputError("--overwrite makes a run anew, --resume resumes it; take one of them")


def _names(given: str | Collection[str]) -> tuple[str, ...]:
    """One name, or several."""
    return (given,) if isinstance(given, str) else tuple(given)


def _rates(learning_rates: Sequence[float], recipes: str) -> dict[str, Any]:
    """Learning rates as settings of the final training."""
    if not learning_rates:
        raise InputError("--learning-rates needs a number or more")
    if recipes == OWN:
        return {"baseline_learning_rates": list(learning_rates)}
    first, *others = learning_rates
    return {"optimization": {"learning_rate": first}, "other_learning_rates": others}


make_callable(__name__, run_search)
