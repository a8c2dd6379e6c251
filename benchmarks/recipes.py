"""How good are baselines by their own recipes, and how far are they from what tuning finds?

    python -m benchmarks.recipes data/movielens data/flights data/synthetic --output runs/recipes
    python -m benchmarks.recipes data/flights --output runs/recipes-crossed --cross month:day --models deepfm dcnv2

For each data set: every family by its own recipe with each of `--seeds` seeds (`own-<seed>`), and, with `--tune N`,
every family tuned in N trials, the first of which is its own recipe (`tuned`). With `--cross` own candidates have
these joint ids, too. One thread and one process do it; a run that was killed is resumed when the command is given
again, and what has ended is not done again.

Every choice is made on the validation rows. The table has, for each family, the mean log loss on validation and test
over the seeds and its standard deviation, the seconds of a training, the tuned figures, and how much better tuning is
on validation and test: there seed 0 stands against the best trial.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import recnas
from recnas.candidates.families import FAMILIES
from recnas.util.errors import InputError, RunError
from recnas.util.files import write_text

Entries = Mapping[str, Mapping[str, Any]]
"""Models of a run's results, by id."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=list(FAMILIES), metavar="NAME", help="families (default: all)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--tune", type=int, metavar="N", help="trials of each family (default: no tuning)")
    parser.add_argument("--cross", nargs="+", default=[], metavar="A:B", help="joint ids of own candidates")
    given = parser.parse_args(argv)
    try:
        for data in given.data:
            text = table(data, given.output / data.name, given.models, given.seeds, given.tune, given.cross)
            write_text(given.output / f"{data.name}.md", text)
            print(f"\n{data.name}\n\n{text}", flush=True)
    except (InputError, RunError) as error:
        sys.exit(f"benchmarks.recipes: {error}")


def table(
    data: Path, output: Path, models: Sequence[str], seeds: int, trials: int | None, crosses: Sequence[str]
) -> str:
    """Makes a data set's runs, or reads them; gives its table."""
    own = [trained(data, output / f"own-{seed}", models, seed, crosses, None) for seed in range(seeds)]
    tuned = trained(data, output / "tuned", models, 0, crosses, trials) if trials else {}
    lines = [
        "| model | validation | test | s | tuned: validation | test | better by, validation | test |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(models, key=lambda name: _mean(own, name, "validation")):
        figures = [f"{_mean(own, name, split):.4f}{_deviation(own, name, split)}" for split in ("validation", "test")]
        seconds = statistics.mean(run[name]["seconds"] for run in own)
        cells = [recnas_title(name), *figures, f"{seconds:.0f}"]
        if name in tuned:
            found = [tuned[name][split]["log_loss"] for split in ("validation", "test")]
            gains = [
                own[0][name][split]["log_loss"] - tuned[name][split]["log_loss"] for split in ("validation", "test")
            ]
            cells += [f"{loss:.4f}" for loss in found] + [f"{gain:.4f}" for gain in gains]
        else:
            cells += [""] * 4
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def trained(
    data: Path, run: Path, models: Sequence[str], seed: int, crosses: Sequence[str], trials: int | None
) -> Entries:
    """A run's models by id; it is made, resumed or read, and a finished one gets the models that it lacks."""
    settings: dict[str, Any] = {"seed": seed, "workers": 1, "final": {}}
    if trials:
        settings["final"]["tuning"] = {"trials": trials}
    if crosses:
        settings["inputs"] = {"crosses": list(crosses)}
    known: dict[str, Any] = {}
    for name in models:
        # A family at a time: a failure of one leaves the others.
        known |= _entries(recnas.baselines(data, run / name, models=[name], resume=True, **settings))
    return known


def recnas_title(name: str) -> str:
    """What a person calls a family."""
    return FAMILIES[name].title if name in FAMILIES else name


def _entries(results: Mapping[str, Any]) -> dict[str, Any]:
    return {model["id"]: model for model in results["models"]}


def _mean(runs: Sequence[Entries], name: str, split: str) -> float:
    return statistics.mean(run[name][split]["log_loss"] for run in runs)


def _deviation(runs: Sequence[Entries], name: str, split: str) -> str:
    losses = [run[name][split]["log_loss"] for run in runs]
    return f" ± {statistics.stdev(losses):.4f}" if len(losses) > 1 else ""


if __name__ == "__main__":
    main()
