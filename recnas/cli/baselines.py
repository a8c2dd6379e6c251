"""`recnas baselines`: published models, trained as a search trains its own."""

from __future__ import annotations

import argparse

from recnas.candidates.families import FAMILIES, TREES
from recnas.cli.base import Command
from recnas.cli.flags import add_setting_flags, joined, reader
from recnas.cli.run_flags import add_log_to, add_run_flags, next_commands, of_run
from recnas.runs.result_table import result_table
from recnas.search import Settings, run_baselines

SETTINGS = (
    "seed", "workers", "ray", "train_rows", "checkpoint_seconds", "sharding", "inputs", "final.epochs",
    "final.optimization", "final.evaluations", "final.patience", "final.dropout", "final.embedding_dim",
    "final.embedding_std", "final.tuning.trials", "final.baseline_recipes", "final.ensemble",
)  # fmt: skip
"""The settings of a search that count here, too."""


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_run_flags(
        parser,
        data="the data set's folder; a finished run knows its own",
        run="a folder for everything that is measured and made, or a finished run to add to",
        preset="settings of the final training to begin with, as for `recnas search`; flags override it",
        overwrite="replace an earlier run without a search there",
        resume="resume the run in that folder, as if it had never stopped",
    )
    add_log_to(parser)
    parser.add_argument(
        "--models",
        type=reader(tuple[str, ...]),
        nargs="*",
        metavar="NAME",
        help=f"some of {', '.join(FAMILIES)} (default: all of these); {' and '.join(TREES)} (trees; CatBoost "
        "needs the extra recnas[catboost]); module:Class is one of your own",
    )
    parser.add_argument(
        "--learning-rates",
        type=reader(tuple[float, ...]),
        nargs="*",
        metavar="X",
        help="peak learning rates; each model is trained with all, and the best on validation counts (default: the "
        "run's or the preset's, else each model's own)",
    )
    parser.add_argument(
        "--budget",
        dest="setting:final.tuning.budget",
        default=argparse.SUPPRESS,
        metavar="TIME",
        help="time for tuning all models, such as 10m, in the place of --tune or beside it",
    )
    add_setting_flags(parser, Settings, only=SETTINGS, without=["final.optimization.learning_rate"])


def _run(arguments: argparse.Namespace) -> None:
    results = run_baselines(
        arguments.data,
        arguments.run,
        models=joined(arguments.models),
        learning_rates=joined(arguments.learning_rates),
        log_to=arguments.log_to,
        **of_run(arguments),
    )
    print(result_table(results))
    print(next_commands(results["run"], arguments.log_to))


BASELINES = Command(
    "baselines",
    "data set or run -> baselines (DLRM, DeepFM, ...), each with a good recipe of its own, or tuned",
    "train baselines, each by its own recipe, tuned, or as a search trains its own, in a run of their own, or added to "
    "a finished run",
    "recnas baselines --data data/criteo --run runs/criteo",
    _add_flags,
    _run,
    resumes=True,
)
