"""The paper's own experiments, small, with one command: theorem 2, the ablation, and the result table.

    python -m benchmarks.paper --output runs/paper                       # all three, on MovieLens-100K
    python -m benchmarks.paper --output runs/paper --parts table --seeds 3
    python -m benchmarks.paper --data data/criteo --preset criteo --candidates 2048 --output runs/paper-criteo

Writes `index.html`, and for each part a folder with its table as Markdown, its figures as CSV and its plot. The same
command goes on where a killed one was; what two parts need, a search or a training, is done once. The top of each
part's file says what it does and where it differs from the paper.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.paper import ablation, table, theorem2
from benchmarks.paper.runs import Runs
from benchmarks.paper.sections import PARTS, Section, write_page
from recnas.candidates.families import FAMILIES
from recnas.cli.flags import add_setting_flags, given_settings
from recnas.runs.presets import read_settings, with_preset
from recnas.runs.settings import Settings
from recnas.train.amount import Amount
from recnas.util.console import Console
from recnas.util.errors import InputError, RunError
from recnas.util.plain_values import merge

QUICK = {"candidates": 6, "best": 2, "top_k": 1, "random": 2, "warmups": [0.01]}
"""Sizes with which all is done in a minute, to see that it works: the figures mean nothing."""
QUICK_SETTINGS = {
    "proxy": {
        "batch_size": 8,
        "tune_steps": 2,
        "tune_validation_rows": 100,
        "short_training_rows": 256,
    },
    "final": {"other_learning_rates": []},
}
QUICK_STEPS = max(theorem2.WARMUPS.values()) + 1

COMMON_SETTINGS = (
    "space",
    "workers",
    "checkpoint_seconds",
    "warmup.max_rows_per_table",
    "warmup.optimization",
    "proxy",
    "final.epochs",
    "final.optimization",
    "final.other_learning_rates",
    "final.baselines",
)
"""The settings of `recnas search` that all searches and trainings have in common."""


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the parts that are asked for; gives the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.quick:
        # Sizes that are given stay.
        parser.set_defaults(**QUICK)
        arguments = parser.parse_args(argv)
    try:
        _check(arguments)
        _make(arguments)
    except (InputError, RunError, OSError) as error:
        print(f"benchmarks.paper: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("benchmarks.paper: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _make(arguments: argparse.Namespace) -> None:
    console = Console(not arguments.quiet)
    parts = [name for name in PARTS if name in arguments.parts]
    # Looked at before the first part begins.
    runs = None if parts == ["theorem2"] else _runs(arguments, console)
    for place, name in enumerate(parts, start=1):
        console.say(f"part {place} of {len(parts)}: {name}")
        section = _part(name, arguments, runs)
        page = write_page(arguments.output)
        print(f"## {section.title}\n\n{section.markdown}", flush=True)
    print(f"look at it: {page}")


def _part(name: str, arguments: argparse.Namespace, runs: Runs | None) -> Section:
    output = arguments.output / name
    if name == "theorem2":
        return theorem2.run(output, 1, QUICK_STEPS) if arguments.quick else theorem2.run(output)
    assert runs is not None
    if name == "ablation":
        return ablation.run(runs, output, arguments.best, arguments.ablation_warmup, arguments.seeds)
    return table.run(runs, output, arguments.top_k, arguments.random, arguments.warmups, arguments.seeds)


def _runs(arguments: argparse.Namespace, console: Console) -> Runs:
    # The paper's space and warm-up, without limits, whatever the preset is for. What random candidates inherit on the
    # way is of no use here; a search's best are trained apart.
    given: dict[str, Any] = {
        "space": "nasrec-small",
        "limits": {"max_macs": None},
        "warmup": {"paths": 1, "probe_candidates": 0},
        "final": {"baselines": list(FAMILIES)},
    }
    if arguments.quick:
        given = merge(given, QUICK_SETTINGS)
    given = merge(given, given_settings(arguments))
    # Each search and each training has a folder of its own in there.
    values = with_preset(arguments.data, arguments.output, arguments.preset, given)
    return Runs(arguments.output, read_settings(Settings, values, arguments.preset), arguments.candidates, console)


def _check(arguments: argparse.Namespace) -> None:
    for name in ("seeds", "candidates", "best", "top_k", "random"):
        if (value := getattr(arguments, name)) < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")
    sizes = {"ablation": ("best",), "table": ("top_k", "random")}
    for name in (name for part in arguments.parts for name in sizes.get(part, ())):
        if (value := getattr(arguments, name)) > arguments.candidates:
            raise InputError(f"--{name.replace('_', '-')} is {value}, of {arguments.candidates} --candidates")
    for amounts in (arguments.warmups, arguments.ablation_warmup):
        for amount in amounts:
            Amount(amount)
            if amounts.count(amount) > 1:
                raise InputError(f"a warm-up of {amount:g} is asked for twice")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def add(flag: str, default: Any, text: str, **more: Any) -> None:
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        parser.add_argument(flag, default=default, help=f"{text} (default: {shown})", **more)

    add("--output", Path("runs/paper"), "folder for everything that is measured and made", type=Path)
    add("--parts", list(PARTS), "what to make", nargs="+", choices=PARTS, metavar="PART")
    add("--data", Path("data/movielens"), "the data set's folder, for ablation and table", type=Path)
    add("--preset", "cross", "settings to begin with: a name from configs/, or a YAML file")
    add("--seeds", 1, "how often searches and trainings are done", type=int, metavar="N")
    add("--candidates", 128, "candidates of each search; the paper's are of 2048", type=int, metavar="N")
    add("--best", 15, "ablation: the best of each criterion that are trained", type=int, metavar="N")
    add("--ablation-warmup", [0.01], "ablation: amounts of warm-up", type=float, nargs="+", metavar="X")
    add("--warmups", [0.0, 0.01, 1.0], "table: amounts for ZiCo and SiGeo", type=float, nargs="+", metavar="X")
    add("--top-k", 3, "table: the best of each search that are trained", type=int, metavar="N")
    add("--random", 15, "table: random candidates that random search trains", type=int, metavar="N")
    parser.add_argument(
        "--quick", action="store_true", help="other defaults: the smallest sizes, to see that all of it works"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the results")
    add_setting_flags(parser, Settings, only=COMMON_SETTINGS, without=["proxy.score", "proxy.rerank"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
