"""`recnas search`: the best model for a data set."""

from __future__ import annotations

import argparse
from functools import partial

from recnas.cli.base import Command
from recnas.cli.flags import add_setting_flags
from recnas.cli.memory_remedy import TABLE_CAP, tables_of_folder
from recnas.cli.run_flags import add_log_to, add_run_flags, next_commands, of_run
from recnas.runs.result_table import result_table
from recnas.search import Settings, run_search


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add_run_flags(
        parser,
        data="the data set's folder",
        run="the folder for everything the run decides, measures and makes",
        preset="settings to begin with: quick (2 minutes), default (10) or thorough (an hour); the published searches "
        "criteo, avazu and kdd; cross, demo; or a YAML file such as a run's config.yaml; flags override it",
        overwrite="replace an earlier run in that folder",
        resume="resume the run in that folder, with its own settings, as if it had never stopped",
    )
    add_log_to(parser)
    add_setting_flags(parser, Settings)


def _run(arguments: argparse.Namespace) -> None:
    results = run_search(arguments.data, arguments.run, log_to=arguments.log_to, all_cores=True, **of_run(arguments))
    print(result_table(results))
    print(next_commands(results["run"], arguments.log_to))


SEARCH = Command(
    "search",
    "data set -> run: thousands of candidates ranked, the best trained",
    "find a model: rank thousands of candidates without training them, train the best from scratch",
    "recnas search --data data/criteo --preset criteo --run runs/criteo",
    _add_flags,
    _run,
    resumes=True,
    memory_remedy=partial(tables_of_folder, flag=TABLE_CAP),
)
