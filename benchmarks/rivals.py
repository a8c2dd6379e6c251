"""A search against the baselines and against a random search of the same time, over several seeds.

    python -m benchmarks.rivals data/movielens --preset cross --output runs/rivals/movielens
    python -m benchmarks.rivals data/flights --preset cross --learning-rate 0.1 --embedding-rate 5 --output …

For each seed three runs are made in the output folder: `search-<seed>` as the preset says, but for baselines;
`baselines-<seed>`, all baselines, each at the preset's learning rates; and `random-<seed>`, which trains as many random
candidates in full as the time of that search allows and takes the one that is best on validation. All have the same
budget for a training and the same rates to choose from. A run that was killed is resumed when the command is given
again; what has ended is not done again. Expensive baselines can be kept to some of the seeds: name the others with
`--models`, and add them with `recnas baselines --run OUTPUT/baselines-0 --models xdeepfm`. A seed's best baseline is
that of those that all seeds have.

Every choice is made on the validation rows: the learning rate, the candidate, and which baseline is a seed's best. What
is compared is the log loss on the test rows: differences are paired by seed, with the 95 % interval and the
p-value of Student's t-test.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

import recnas
from recnas.candidates.families import FAMILIES
from recnas.cli.flags import add_setting_flags, given_settings
from recnas.runs.folder import is_finished
from recnas.runs.presets import load_preset
from recnas.runs.reader import read_run
from recnas.runs.results import best_trained, read_results
from recnas.runs.rungs import other_learning_rates
from recnas.runs.settings import Settings
from recnas.runs.status import settings_in
from recnas.search.costs import Costs
from recnas.search.feeding import open_data
from recnas.space import Architecture
from recnas.util.errors import InputError, RunError
from recnas.util.files import write_text
from recnas.util.plain_values import merge

Model = Mapping[str, Any]
Results = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--preset", default="cross", help="settings of all runs (default: cross)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--models", nargs="*", help="baselines (default: all)")
    parser.add_argument("--output", type=Path, required=True)
    # Settings of all runs, in the place of the preset's; the benchmark has its own of these two.
    add_setting_flags(parser, Settings, without=["seed", "final.baselines"])
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1:
        parser.error("--seeds must be 1 or more")
    try:
        compare(arguments)
    except (InputError, RunError) as error:
        raise SystemExit(f"benchmarks.rivals: {error}") from None


def compare(arguments: argparse.Namespace) -> None:
    """Makes all runs, seed after seed, and prints the table after each."""
    values = merge(load_preset(arguments.preset), given_settings(arguments))
    found = []
    for seed in range(arguments.seeds):
        found.append(runs_of_seed(arguments.data, arguments.output, values | {"seed": seed}, arguments.models))
        text = table(found)
        write_text(arguments.output / "table.md", text)
        print(f"\nafter seed {seed}\n\n{text}", flush=True)


def runs_of_seed(data: Path, output: Path, values: dict[str, Any], models: list[str] | None) -> dict[str, Results]:
    """The three runs of a seed, made or read."""
    seed, folder = values["seed"], output / f"search-{values['seed']}"
    settings = merge(values, {"final": {"baselines": []}})
    search = recnas.search(data, folder, resume=True, **settings)
    baselines = trained_baselines(data, output / f"baselines-{seed}", models or list(FAMILIES), values)
    affords = affordable(settings_in(folder, Settings), search)
    minutes = spent(folder, search) / 60
    print(f"seed {seed}: the search took {minutes:.1f} minutes, time for {affords} random candidates", flush=True)
    evolution = {"population": affords, "iterations": 0, "tournament": 1, "children": 1}
    blind = {
        "strategy": "random",
        "proxy": {"score": "none"},
        "evolution": evolution,
        "final": {"top_k": affords, "strategy": "full"},
    }
    randoms = recnas.search(data, output / f"random-{seed}", resume=True, **merge(settings, blind))
    for name, results in (("search", search), ("random", randoms)):
        results["minutes"] = spent(output / f"{name}-{seed}", results) / 60
    return {"search": search, "random": randoms, "baselines": baselines}


def trained_baselines(data: Path, run: Path, models: list[str], values: dict[str, Any]) -> Results:
    """Baselines, trained or read; a run that has ended may have others too, and gets those that it lacks."""
    if not is_finished(run):
        return recnas.baselines(data, run, models=models, resume=True, **values)
    known = read_results(run)
    missing = [name for name in models if name not in [model["id"] for model in known["models"]]]
    return recnas.baselines(run=run, models=missing) if missing else known


def affordable(settings: Settings, search: Results) -> int:
    """How many random candidates can be trained in full, the best at all learning rates, in the time of a search.

    A training's time grows with the multiply-accumulates of a row; how fast, the search's own final trainings tell.
    Random candidates have the limits that the search has, and cost what those cost that it began with.

    Args:
        settings: The search's.
        search: Its results.
    """
    trained = [model for model in search["models"] if model["status"] == "trained"]
    seconds = sum(model["seconds"] for model in trained)
    work = sum(model["macs"] * len(model["learning_rates"]) for model in trained)
    costs = Costs(settings, open_data(settings))
    history = read_run(settings.run).history
    drawn = [Architecture.from_json(item.architecture) for item in history if item.iteration == 0]
    mean = statistics.mean(costs.of(arch, "macs") for arch in drawn)
    trainings = spent(Path(settings.run), search) * settings.processes / (seconds / work * mean)
    return max(1, math.ceil(trainings) - len(other_learning_rates(settings.final)))


def spent(run: Path, results: Results) -> float:
    """Seconds of a run's warm-up, search and final trainings, those of earlier processes included."""
    read = read_run(run)
    trained = sum(model["seconds"] for model in results["models"])
    warmed = read.warmup.seconds if read.warmup else 0.0
    return warmed + results["search"]["seconds"] + trained / (read.setting("workers") or 1)


def best_of(results: Results) -> Model:
    """The model of a run that is best on validation; of a search's run, of those that it searched."""
    chosen = best_trained(results["models"])
    id = chosen["best_searched"] or chosen["best"]
    return next(model for model in results["models"] if model["id"] == id)


def table(found: Sequence[Mapping[str, Results]]) -> str:
    """All models over the seeds, and the paired differences, as Markdown."""
    chosen: dict[str, list[Model]] = {
        "search": [best_of(runs["search"]) for runs in found],
        "random search": [best_of(runs["random"]) for runs in found],
        "best baseline": [best_of({"models": of_all_seeds(runs, found)}) for runs in found],
    }
    sound = [model for runs in found for model in runs["baselines"]["models"] if model["status"] == "trained"]
    for name in dict.fromkeys(model["id"] for model in sound):
        chosen[name] = [model for model in sound if model["id"] == name]
    lines = [
        f"{len(found)} seeds, mean ± standard deviation",
        "",
        "| model | validation log loss | test log loss | test AUC | dense parameters |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, models in chosen.items():
        cells = [
            _spread([model[split][key] for model in models])
            for split, key in (("validation", "log_loss"), ("test", "log_loss"), ("test", "auc"))
        ]
        parameters = statistics.mean(model["parameters"] for model in models)
        fewer = "" if len(models) == len(found) else f", {len(models)} of the seeds"
        lines.append(f"| {name}{fewer} | {' | '.join(cells)} | {parameters:,.0f} |")
    lines += ["", "Test log loss of the search, less that of its rival (below 0, the search is better):", ""]
    for name in [name for name, models in chosen.items() if len(models) == len(found)][1:]:
        lines.append(f"- {name}: {difference(losses(chosen['search']), losses(chosen[name]))}")
    for name, which in (("search", "search"), ("random search", "random")):
        times = [runs[which]["minutes"] for runs in found]
        counts = [runs[which]["search"]["candidates"] for runs in found]
        lines.append(
            f"\n{name}: {statistics.mean(counts):,.0f} candidates and {statistics.mean(times):.1f} minutes a seed."
        )
    picked = [model["id"] for model in chosen["best baseline"]]
    lines.append(f"\nBest baseline, by seed: {', '.join(picked)}.")
    return "\n".join(lines) + "\n"


def of_all_seeds(runs: Mapping[str, Results], found: Sequence[Mapping[str, Results]]) -> list[Model]:
    """The baselines of a seed that the other seeds have too: a best one is to be the best of the same."""
    common = set.intersection(*({model["id"] for model in other["baselines"]["models"]} for other in found))
    return [model for model in runs["baselines"]["models"] if model["id"] in common]


def losses(models: Sequence[Model]) -> list[float]:
    """Their log losses on the test rows."""
    return [model["test"]["log_loss"] for model in models]


def difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The mean of paired differences, its 95 % interval, and the p-value of a paired t-test."""
    pairs = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.mean(pairs)
    if len(pairs) < 2 or statistics.stdev(pairs) == 0:
        return f"{mean:+.4f}"
    test = stats.ttest_rel(ours, theirs)
    low, high = test.confidence_interval(0.95)
    return f"{mean:+.4f} ({low:+.4f} … {high:+.4f}), p = {test.pvalue:.2g}"


def _spread(values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} ± {spread:.4f}"


if __name__ == "__main__":
    main()
